// Selectors whose scorers rank keys by an index, through the public API against the f64 reference.
#include <gtest/gtest.h>

#include "tests/runtime/engine/scorer_cases.h"

namespace maskjit {
namespace {

using testing::Layout;
using testing::Problem;
using testing::Tensor;

constexpr int64_t kHeadDim = 32;

class Scorers : public ::testing::TestWithParam<testing::SequenceCase> {
 protected:
  static Problem problem() { return testing::scorer_problem(GetParam(), 4, 2, kHeadDim); }
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

INSTANTIATE_TEST_SUITE_P(All, Scorers, ::testing::ValuesIn(testing::scorer_cases(kHeadDim)),
                         [](const auto& info) { return info.param.name; });

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
  EXPECT_NE(error(*pages, given).find("the index of f32[1, 1, 50, 8] for 2 heads"),
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
