// Selectors whose scorers rank keys by an index, through the public API against the f64 reference.
#include <gtest/gtest.h>

#include <cmath>

#include "tests/runtime/engine/problem.h"

namespace maskjit {
namespace {

using testing::Layout;
using testing::Problem;
using testing::Tensor;

constexpr int64_t kHeadDim = 32;

Tensor channel_table(int64_t heads) {
  Tensor table(ElementType::I32, {heads, 6});
  for (int64_t i = 0; i < table.size(); ++i) table.set(i, static_cast<double>(i * 7 % kHeadDim));
  return table;
}

// A perceptron of two layers of 16 and 40 outputs for each head.
Tensor perceptron(int64_t heads, double phase) {
  Tensor mlp(ElementType::F32, {heads, kHeadDim * 16 + 16 + 16 * 40 + 40});
  for (int64_t i = 0; i < mlp.size(); ++i)
    mlp.set(i, std::sin(static_cast<double>(i) * 1.7 + phase));
  return mlp;
}

struct Case {
  const char* name;
  const char* attention;
  bool channels = false, hash = false;
};
const Case kCases[] = {
    {"Pages",
     "attention main { mask causal() & (sink(4) then local(8) then top_k(40, by = "
     "page_bound(16))) }"},
    {"SmallPages",
     "attention main { mask causal() & top_k(30, by = page_bound(7, bits = 4, "
     "min_pages = 1)) }"},
    {"PagesByMass", "attention main { mask sink(4) then top_p(0.5, by = page_bound(16)) }"},
    {"NoPages", "attention main { mask top_k(0, by = page_bound(16, min_pages = 0)) }"},
    {"Channels",
     "attention main(table: tensor<i32>[num_heads, 6]) { mask causal() & (sink(4) then top_k(10%, "
     "by = channels(table, bits = 4))) }",
     true},
    {"Hash",
     "attention main(a: tensor<f32>[num_heads, 1208], b: tensor<f32>[num_heads, 1208]) { mask "
     "causal() & (sink(4) then top_k(20, by = hash_bits(a, b, bits = 40, layers = 2, hidden = 16, "
     "activation = gelu))) }",
     false, true},
    {"ProductQuantisation",
     "attention main { mask causal() & (local(8) then top_k(20, by = "
     "pq_codes(sub_dims = 8, bits = 4))) }"},
    {"MagicPig",
     "attention main { mask causal() & (sink(4) then magic_pig(tables = 20, bits = 3)) "
     "}"},
    {"MagicPigUncentred",
     "attention main { mask local(60) & magic_pig(tables = 8, bits = 2, centre = false) }"},
    {"Mixed",
     "attention main { mask causal() & (sink(2) then top_k(16, by = page_bound(4)) then "
     "top_k(8, by = pq_codes(sub_dims = 4, bits = 3)) then top_k(5) then adaptive(base = "
     "10%, epsilon = 0.2, delta = 0.2)) }"},
};

class Scorers : public ::testing::TestWithParam<Case> {
 protected:
  Problem problem() const {
    Problem p{.spec = GetParam().attention,
              .num_heads = 4,
              .num_kv_heads = 2,
              .kv_len = 170,
              .head_dim = kHeadDim,
              .sampling = {.seed = 3}};
    if (GetParam().channels) p.tensors.emplace("table", channel_table(p.num_heads));
    if (GetParam().hash) {
      p.tensors.emplace("a", perceptron(p.num_heads, 0));
      p.tensors.emplace("b", perceptron(p.num_heads, 1));
    }
    return p;
  }
  void expect(const Problem& problem) const { testing::expect_reference(engine, problem); }
  const Engine engine{testing::memory_only()};
};

TEST_P(Scorers, Prefill) { expect(problem()); }

TEST_P(Scorers, Decoding) {
  Problem p = problem();
  p.q_len = 1;
  p.kv_len = 700;
  expect(p);
}

TEST_P(Scorers, HalfPrecisionAndLayouts) {
  for (const ElementType type : {ElementType::BF16, ElementType::F16}) {
    Problem p = problem();
    p.type = type;
    p.batch = 2;
    p.layout = Layout::RowsFirst;
    expect(p);
  }
}

TEST_P(Scorers, AdditiveMasks) {
  Problem p = problem();
  for (const ElementType additive : {ElementType::F32, ElementType::BF16, ElementType::F16}) {
    for (const bool finite : {false, true}) {
      p.additive = additive;
      p.additive_is_finite = finite;
      expect(p);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(All, Scorers, ::testing::ValuesIn(kCases),
                         [](const auto& info) { return std::string(info.param.name); });

class IndexInputs : public ::testing::Test {
 protected:
  Result<Attention> load(const std::string& text) const {
    return engine.load_text("attention main(table: tensor<i32>[1, 2] ) { mask " + text + " }")
        ->bind();
  }
  AttentionInputs inputs() const {
    return {.query = query.view(), .key = key.view(), .value = key.view()};
  }
  std::string error(const Attention& attention, const AttentionInputs& given) const {
    const Status done = attention.run(given, {.output = output.view()});
    return done ? "" : done.error().message;
  }
  const Engine engine{testing::memory_only()};
  Tensor query{ElementType::F32, {1, 2, 1, 8}}, key{ElementType::F32, {1, 1, 50, 8}},
      output{ElementType::F32, {1, 2, 1, 8}};
};

TEST_F(IndexInputs, StaleIndex) {
  const auto attention = load("top_k(8, by = page_bound(4))");
  AttentionInputs given = inputs();
  auto index = attention->make_index(given);
  ASSERT_TRUE(index) << index.error().message;
  given.index = *index;
  EXPECT_EQ(error(*attention, given), "");
  Tensor longer(ElementType::F32, {1, 1, 51, 8});
  given.key = longer.view();
  given.value = longer.view();
  EXPECT_NE(error(*attention, given)
                .find("the index has 50 keys, but key f32[1, 1, 51, 8] has 51: call update(keys)"),
            std::string::npos)
      << error(*attention, given);
  ASSERT_TRUE(index->update(longer.view()));
  EXPECT_EQ(error(*attention, given), "");
}

TEST_F(IndexInputs, IndexOfAnotherSpecOrShape) {
  const auto pages = load("top_k(8, by = page_bound(4))");
  const auto codes = load("top_k(8, by = pq_codes(4, 2))");
  AttentionInputs given = inputs();
  given.index = *pages->make_index(given);
  EXPECT_NE(error(*codes, given).find("has no part for pq_codes"), std::string::npos)
      << error(*codes, given);
  Tensor two(ElementType::F32, {1, 2, 50, 8});
  given.key = two.view();
  given.value = two.view();
  EXPECT_NE(error(*pages, given).find("is not one of query f32[1, 2, 1, 8] and key f32[1, 2, 50"),
            std::string::npos)
      << error(*pages, given);
}

TEST_F(IndexInputs, MissingTensorAndNothingToIndex) {
  const auto channels = load("top_k(8, by = channels(table))");
  EXPECT_NE(error(*channels, inputs()).find("tensor 'table' (i32[1, 2]) is missing"),
            std::string::npos)
      << error(*channels, inputs());
  const auto exact = load("top_k(8)");
  const auto none = exact->make_index(inputs());
  ASSERT_FALSE(none);
  EXPECT_NE(none.error().message.find("there is nothing to index"), std::string::npos);
}

}  // namespace
}  // namespace maskjit
