// Explicit masks as arguments of a call: every representation and shape against the reference,
// tiles that are skipped, and what is said of masks that do not fit.
#include <gmock/gmock.h>

#include <cmath>
#include <thread>

#include "tests/runtime/engine/problem.h"

namespace maskjit::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

const Engine& engine() {
  static const Engine shared(memory_only());
  return shared;
}

const char* const kExplicit =
    "attention main(m: tensor<bit>[batch, num_heads, q_len, kv_len]) { mask explicit(m) }";

// About a quarter of the entries, in some blocks of 32 x 32 only.
Tensor random_entries(const std::vector<int64_t>& shape, bool weighted, uint64_t seed = 1) {
  std::mt19937_64 random(seed);
  Tensor values(weighted ? ElementType::F32 : ElementType::Bool, shape);
  const int64_t columns = shape.back();
  std::vector<int> kinds(64);
  for (int& kind : kinds) kind = static_cast<int>(random() % 4);
  for (int64_t i = 0; i < values.size(); ++i) {
    const int64_t block = i / columns / 32 * 5 + i % columns / 32 * 3;
    const int kind = kinds[static_cast<size_t>(block % 64)];
    const bool active = kind == 0 || (kind != 1 && random() % 4 == 0);
    const double weight = weighted ? static_cast<double>(random() % 16 + 1) / 16 : 1;
    values.set(i, active ? weight : 0);
  }
  return values;
}

Mask random_mask(const std::vector<int64_t>& shape, bool weighted, uint64_t seed = 1) {
  return *Mask::from_dense(random_entries(shape, weighted, seed).view());
}

TEST(ExplicitMask, RepresentationsAndTypes) {
  for (bool weighted : {false, true}) {
    const Mask mask = random_mask({1, 2, 33, 70}, weighted);
    for (const Mask& m :
         {mask, mask.index(), *Mask::full({1, 2, 33, 70}), *Mask::empty({1, 2, 33, 70})}) {
      for (ElementType type : {ElementType::F32, ElementType::BF16}) {
        SCOPED_TRACE(m.describe());
        expect_reference(engine(), {.spec = kExplicit, .type = type, .masks = {{"m", m}}});
      }
    }
  }
}

TEST(ExplicitMask, Shapes) {
  struct Shape {
    int64_t batch, heads, kv_heads, q_len, kv_len;
  };
  for (const Shape& s : {Shape{1, 2, 1, 130, 200},
                         {2, 4, 2, 1, 300},
                         {2, 8, 1, 3, 129},
                         {1, 1, 1, 64, 64},
                         {1, 3, 3, 65, 63},
                         {1, 1, 1, 5, 1}}) {
    for (bool weighted : {false, true}) {
      for (const std::vector<int64_t>& shape :
           {std::vector<int64_t>{s.batch, s.heads, s.q_len, s.kv_len},
            {1, 1, s.q_len, s.kv_len},
            {s.batch, 1, 1, s.kv_len},
            {1, s.heads, s.q_len, 1}}) {
        const Mask mask = random_mask(shape, weighted, static_cast<uint64_t>(s.kv_len));
        SCOPED_TRACE(mask.describe());
        for (bool weights : {false, true}) {
          expect_reference(engine(), {.spec = kExplicit,
                                      .batch = s.batch,
                                      .num_heads = s.heads,
                                      .num_kv_heads = s.kv_heads,
                                      .q_len = s.q_len,
                                      .kv_len = s.kv_len,
                                      .masks = {{"m", mask}},
                                      .weights = weights});
        }
      }
    }
  }
}

TEST(ExplicitMask, InTheAlgebraOfMasks) {
  const std::string declaration =
      "attention main(m: tensor<bit>[batch, num_heads, q_len, kv_len], n: tensor<bit>[q_len, "
      "kv_len]) ";
  for (const char* clauses : {
           "{ mask causal() & (sink(4) | explicit(m)) & n[q_index, k] }",
           "{ mask explicit(m) | n[q_index, k] score softcap(s, 2.0) }",
           "{ mask !explicit(m) | local(5) & n[q_index, k] }",
           "{ mask explicit(m) ^ n[q_index, k] }",
       }) {
    SCOPED_TRACE(clauses);
    expect_reference(engine(), {.spec = declaration + clauses,
                                .q_len = 70,
                                .kv_len = 140,
                                .masks = {{"m", random_mask({1, 2, 70, 140}, true, 2)},
                                          {"n", random_mask({70, 140}, true, 3).index()}}});
  }
}

TEST(ExplicitMask, RowMaximumOverAllKeys) {
  expect_reference(engine(), {.spec = kExplicit,
                              .additive = ElementType::F32,
                              .masks = {{"m", random_mask({1, 2, 33, 70}, true)}},
                              .row_max_over_all = true});
}

// Booleans and weights may be given as they are.
TEST(ExplicitMask, MadeOfAView) {
  for (bool weighted : {false, true}) {
    expect_reference(engine(), {.spec = kExplicit,
                                .tensors = {{"m", random_entries({1, 2, 33, 70}, weighted)}}});
  }
}

// A masker over Booleans takes an explicit mask's bits, and the other way round.
TEST(ExplicitMask, IsATensorOfBools) {
  expect_reference(engine(), {.spec = "attention main(m: tensor<bit>[batch, num_heads, q_len, "
                                      "kv_len]) { mask table(m) }",
                              .masks = {{"m", random_mask({1, 2, 33, 70}, true)}}});
  expect_reference(engine(), {.spec = "attention main(m: tensor<bool>[batch, num_heads, q_len, "
                                      "kv_len]) { mask explicit(m) }",
                              .tensors = {{"m", random_entries({1, 2, 33, 70}, false)}}});
}

struct Call {
  Tensor query, key, value, output;
  AttentionInputs inputs;
  AttentionOutputs outputs;

  Call(int64_t q_len, int64_t kv_len)
      : query(ElementType::F32, {1, 2, q_len, 32}),
        key(ElementType::F32, {1, 2, kv_len, 32}),
        value(ElementType::F32, {1, 2, kv_len, 32}),
        output(ElementType::F32, {1, 2, q_len, 32}) {
    for (Tensor* t : {&query, &key, &value}) {
      for (int64_t i = 0; i < t->size(); ++i) t->set(i, static_cast<double>(i % 7) / 7);
    }
    inputs.query = query.view();
    inputs.key = key.view();
    inputs.value = value.view();
    outputs.output = output.view();
  }
};

Attention bound(const std::string& text) { return *engine().load_text(text)->bind(); }

// The values of keys without an active entry are NaN: a tile of them that is not skipped would
// leave its mark.
TEST(ExplicitMask, EmptyTilesAreSkipped) {
  for (const int64_t q_len : {int64_t{1}, int64_t{192}}) {
    Call call(q_len, 512);
    Tensor bits(ElementType::Bool, {1, 2, q_len, 512});
    for (int64_t i = 0; i < bits.size(); ++i) bits.set(i, i % 512 / 64 % 3 == 1 ? 1 : 0);
    for (int64_t i = 0; i < call.value.size(); ++i) {
      if (i / 32 % 512 / 64 % 3 != 1) call.value.set(i, NAN);
    }
    call.inputs.masks.emplace("m", *Mask::from_dense(bits.view()));
    ASSERT_TRUE(bound(kExplicit).run(call.inputs, call.outputs).ok());
    for (double v : call.output.values()) ASSERT_TRUE(std::isfinite(v));
  }
}

TEST(ExplicitMask, WithoutWeightsTheKernelKnowsOfNone) {
  Call call(33, 70);
  const Attention attention = bound(kExplicit);
  call.inputs.masks.emplace("m", random_mask({1, 2, 33, 70}, false));
  EXPECT_THAT(attention.prepare(call.inputs, call.outputs)->spec, HasSubstr("tensors=[1u]"));
  call.inputs.masks.at("m") = random_mask({1, 2, 33, 70}, true);
  EXPECT_THAT(attention.prepare(call.inputs, call.outputs)->spec, HasSubstr("tensors=[1uw]"));
  // Nor where the mask is read but its weights do not matter.
  EXPECT_THAT(bound("attention main(m: tensor<bit>[batch, num_heads, q_len, kv_len]) { mask "
                    "!explicit(m) }")
                  .prepare(call.inputs, call.outputs)
                  ->spec,
              HasSubstr("tensors=[1u]"));
}

std::string message(const Attention& attention, const Call& call) {
  const Status status = attention.run(call.inputs, call.outputs);
  return status ? "" : status.error().message;
}

TEST(ExplicitMask, MasksThatDoNotFit) {
  Call call(33, 70);
  const Attention attention = bound(kExplicit);
  EXPECT_EQ(message(attention, call),
            "tensor 'm' (bit[batch, num_heads, q_len, kv_len]) is missing");
  call.inputs.masks.emplace("m", *Mask::full({2, 33, 70}));
  EXPECT_EQ(
      message(attention, call),
      "tensor 'm' is declared bit[batch, num_heads, q_len, kv_len], but full mask[2, 33, 70], "
      "4620 of 4620 active is given");
  call.inputs.masks.at("m") = *Mask::empty({1, 2, 32, 70});
  EXPECT_EQ(message(attention, call),
            "tensor 'm' empty mask[1, 2, 32, 70], 0 of 4480 active is declared bit[batch, "
            "num_heads, q_len, kv_len], and q_len is 33, not 32 (1 broadcasts)");
  call.inputs.masks.at("m") = *Mask::full({1, 1, 1, 70});
  EXPECT_EQ(message(attention, call), "");
  call.inputs.masks.emplace("n", *Mask::full({1, 1, 1, 70}));
  EXPECT_EQ(message(attention, call), "the spec has no tensor 'n'; it has m");
  call.inputs.masks.erase("n");
  Tensor view(ElementType::Bool, {1, 1, 1, 70});
  call.inputs.tensors.emplace("m", view.view());
  EXPECT_EQ(message(attention, call),
            "tensor 'm' is given as a mask and as a view; give one of them");
  call.inputs.masks.clear();
  EXPECT_EQ(message(attention, call), "");
  call.inputs.tensors.at("m").type = ElementType::I8;
  EXPECT_EQ(message(attention, call),
            "tensor 'm': a mask cannot be made of i8[1, 1, 1, 70]: element types bool, f16, bf16, "
            "f32 and f64 are possible");
}

TEST(ExplicitMask, OtherTensorsAreNoMasks) {
  Call call(33, 70);
  call.inputs.masks.emplace("doc", *Mask::full({1, 70}));
  EXPECT_EQ(message(bound("attention main(doc: tensor<i32>[batch, kv_len]) { mask document(doc) }"),
                    call),
            "tensor 'doc' is declared i32[batch, kv_len], but a mask is given");
}

TEST(ExplicitMask, IsDescribedAsAParameter) {
  const std::vector<ParameterInfo> parameters = bound(kExplicit).parameters();
  ASSERT_EQ(parameters.size(), 1u);
  EXPECT_EQ(parameters[0].type, "bit[batch, num_heads, q_len, kv_len]");
  EXPECT_EQ(parameters[0].binding_time, "tensor");
}

// One mask in calls of several threads at once.
TEST(ExplicitMask, ThreadsShareAMask) {
  const Attention attention = bound(kExplicit);
  const Mask mask = random_mask({1, 2, 130, 300}, true).index();
  std::vector<std::unique_ptr<Call>> calls;
  for (int i = 0; i < 4; ++i) {
    calls.push_back(std::make_unique<Call>(130, 300));
    calls.back()->inputs.masks.emplace("m", mask);
  }
  {
    std::vector<std::jthread> threads;
    for (auto& call : calls) {
      threads.emplace_back(
          [&attention, &call] { EXPECT_TRUE(attention.run(call->inputs, call->outputs).ok()); });
    }
  }
  for (const auto& call : calls) EXPECT_EQ(call->output.values(), calls[0]->output.values());
}

}  // namespace
}  // namespace maskjit::testing
