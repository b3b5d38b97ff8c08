// The reference attention against examples worked out by hand.
#include "masker_dsl/interp/attention.h"

#include <cmath>

#include "masker_dsl/ir/text.h"

namespace maskjit::interp {
namespace {

using ir::Op;
using ir::Value;

constexpr double kInf = std::numeric_limits<double>::infinity();

ir::Function attention(bool causal) {
  ir::Function f;
  const Value q = f.variable(ir::Var::Query), k = f.variable(ir::Var::Key);
  f.add_result("mask", causal ? f.binary(Op::Le, k, q) : f.constant_bool(true));
  f.add_result("score", f.variable(ir::Var::Score));
  return f;
}

// Two queries, two keys, one head. With scale ln 2 and these keys the logits are ln 2 * {{1, 0},
// {2, 1}}, so that all weights are powers of two.
class TwoByTwo : public testing::Test {
 protected:
  TwoByTwo() {
    inputs_.shape = {.q_len = 2, .kv_len = 2, .head_dim = 2, .value_dim = 2};
    inputs_.query = query_;
    inputs_.key = key_;
    inputs_.value = value_;
    inputs_.scale = std::log(2.0);
  }

  static void expect_near(const std::vector<double>& actual, const std::vector<double>& expected) {
    ASSERT_EQ(actual.size(), expected.size());
    for (size_t i = 0; i < actual.size(); ++i) {
      if (std::isinf(expected[i])) {
        EXPECT_EQ(actual[i], expected[i]) << "element " << i;
      } else {
        EXPECT_NEAR(actual[i], expected[i], 1e-14) << "element " << i;
      }
    }
  }

  const double ln2_ = std::log(2.0);
  const std::vector<double> query_ = {1, 0, 1, 1};
  const std::vector<double> key_ = {1, 1, 0, 1};
  const std::vector<double> value_ = {3, 0, 0, 6};
  AttentionInputs inputs_;
};

TEST_F(TwoByTwo, Full) {
  const AttentionResults r =
      reference_attention(attention(false), inputs_, {.dense_weights = true});
  // e = {{1, 1/2}, {1, 1/2}}.
  expect_near(r.row_max, {ln2_, 2 * ln2_});
  expect_near(r.denominator, {1.5, 1.5});
  expect_near(r.numerator, {3, 3, 3, 3});
  expect_near(r.output, {2, 2, 2, 2});
  expect_near(r.lse, {std::log(3.0), std::log(6.0)});
  expect_near(r.weights, {2.0 / 3, 1.0 / 3, 2.0 / 3, 1.0 / 3});
}

TEST_F(TwoByTwo, Causal) {
  const AttentionResults r = reference_attention(attention(true), inputs_, {.dense_weights = true});
  expect_near(r.output, {3, 0, 2, 2});
  expect_near(r.denominator, {1, 1.5});
  expect_near(r.lse, {ln2_, std::log(6.0)});
  expect_near(r.weights, {1, 0, 2.0 / 3, 1.0 / 3});
}

TEST_F(TwoByTwo, TheOffsetMovesQueries) {
  inputs_.q_offset = -1;  // query 0 is at position -1 and sees nothing
  const AttentionResults r = reference_attention(attention(true), inputs_, {.dense_weights = true});
  expect_near(r.output, {0, 0, 3, 0});
  expect_near(r.denominator, {0, 1});
  expect_near(r.row_max, {-kInf, 2 * ln2_});
  expect_near(r.lse, {-kInf, 2 * ln2_});
  expect_near(r.weights, {0, 0, 1, 0});
}

TEST_F(TwoByTwo, ScoreChangesTheLogit) {
  ir::Function f = attention(false);
  f.mutable_results()[1].value = f.binary(Op::Mul, f.variable(ir::Var::Score), f.constant_float(2));
  const AttentionResults r = reference_attention(f, inputs_);
  expect_near(r.denominator, {1.25, 1.25});
  expect_near(r.row_max, {2 * ln2_, 4 * ln2_});
  EXPECT_THAT(r.weights, testing::IsEmpty());
}

TEST_F(TwoByTwo, AdditiveMask) {
  const std::vector<double> rows = {-kInf, 0, 99, -ln2_, 0, 99};  // a third column that is not read
  inputs_.additive = AdditiveMask{rows, {1, 1, 2, 3}};
  const AttentionResults r = reference_attention(attention(false), inputs_);
  expect_near(r.row_max, {0, ln2_});
  expect_near(r.denominator, {1, 2});
  expect_near(r.output, {0, 6, 1.5, 3});
  const std::vector<double> nothing = {-kInf, -kInf};
  inputs_.additive = AdditiveMask{nothing, {1, 1, 1, 2}};
  const AttentionResults empty = reference_attention(attention(false), inputs_);
  expect_near(empty.output, {0, 0, 0, 0});
  expect_near(empty.denominator, {0, 0});
  expect_near(empty.lse, {-kInf, -kInf});
}

TEST_F(TwoByTwo, BooleanAdditiveMask) {
  const std::vector<double> allowed = {0, 1};
  inputs_.additive = AdditiveMask{allowed, {1, 1, 1, 2}, true};
  expect_near(reference_attention(attention(false), inputs_).output, {0, 6, 0, 6});
}

TEST_F(TwoByTwo, RowMaximumOverAllowedKeys) {
  ir::Function f = attention(false);
  f.mutable_results()[0].value = f.binary(Op::Eq, f.variable(ir::Var::Key), f.constant_int(1));
  const AttentionResults active = reference_attention(f, inputs_);
  const AttentionResults all = reference_attention(f, inputs_, {.row_max_over_all = true});
  expect_near(active.row_max, {0, ln2_});
  expect_near(active.denominator, {1, 1});
  expect_near(all.row_max, {ln2_, 2 * ln2_});
  expect_near(all.denominator, {0.5, 0.5});
  expect_near(all.numerator, {0, 3, 0, 3});
  expect_near(all.output, active.output);
  expect_near(all.lse, active.lse);
}

TEST_F(TwoByTwo, KeptEntriesAreWeightedByTheirProbability) {
  const std::vector<double> kept = {1, 0.5, 0, 0.25};
  inputs_.kept = kept;
  const AttentionResults r =
      reference_attention(attention(false), inputs_, {.dense_weights = true});
  expect_near(r.denominator, {2, 4});
  expect_near(r.output, {1.5, 3, 0, 6});
  expect_near(r.weights, {0.5, 0.5, 0, 1});
}

TEST_F(TwoByTwo, ALogitOfMinusInfinityWeighsNothing) {
  ir::Function f = attention(false);
  f.mutable_results()[1].value = f.constant_float(-kInf);
  const AttentionResults r = reference_attention(f, inputs_);
  expect_near(r.output, {0, 0, 0, 0});
  expect_near(r.lse, {-kInf, -kInf});
}

// Every index reaches the function: heads, groups, batches, lengths, parameters and tensors.
TEST(Reference, BindsVariablesParametersAndTensors) {
  ir::Function f;
  const uint32_t runtime = f.add_param({.name = "r", .time = ir::BindingTime::Runtime});
  const uint32_t doc =
      f.add_tensor({"doc", ir::Element::I32, {{ir::Dim::Kind::Batch}, {ir::Dim::Kind::KvLen}}});
  // score = 1000 batch + 100 head + 10 kv_head + q + doc[batch, k] + r + the sizes
  Value sum = f.parameter(runtime);
  auto add = [&](Value v, int64_t by) {
    sum = f.binary(Op::Add, sum, f.binary(Op::Mul, v, f.constant_int(by)));
  };
  add(f.variable(ir::Var::Batch), 1000);
  add(f.variable(ir::Var::Head), 100);
  add(f.variable(ir::Var::KvHead), 10);
  add(f.variable(ir::Var::Query), 1);
  const Value subscripts[] = {f.variable(ir::Var::Batch), f.variable(ir::Var::Key)};
  add(f.tensor_op(Op::TensorLoad, doc, subscripts), 1);
  for (ir::Var var : {ir::Var::QLen, ir::Var::KvLen, ir::Var::QOffset, ir::Var::BatchSize,
                      ir::Var::NumHeads, ir::Var::NumKvHeads, ir::Var::HeadDim}) {
    add(f.variable(var), 1);
  }
  f.add_result("mask", f.constant_bool(true));
  f.add_result("score", f.unary(Op::ToFloat, sum));

  const std::vector<double> query(2 * 4 * 2 * 3, 0), key(2 * 2 * 3 * 3, 0), value(2 * 2 * 3 * 1, 1);
  const int32_t docs[] = {0, 0, 0, 0, 0, 5};
  AttentionInputs inputs;
  inputs.shape = {2, 4, 2, 2, 3, 3, 1};
  inputs.query = query;
  inputs.key = key;
  inputs.value = value;
  inputs.params = {ir::Scalar::of_int(20000)};
  inputs.tensors = {{docs, ir::Element::I32, {2, 3}, {3, 1}}};
  const AttentionResults r = reference_attention(f, inputs);
  const double sizes = 20000 + 2 + 3 + 1 + 2 + 4 + 2 + 3;
  for (int64_t b = 0; b < 2; ++b) {
    for (int64_t h = 0; h < 4; ++h) {
      for (int64_t i = 0; i < 2; ++i) {
        const size_t row = static_cast<size_t>((b * 4 + h) * 2 + i);
        const double expected =
            sizes + static_cast<double>(1000 * b + 100 * h + 10 * (h / 2) + i + 1);
        EXPECT_EQ(r.row_max[row], expected + (b == 1 ? 5 : 0));
        EXPECT_NEAR(r.output[row], 1, 1e-14);
      }
    }
  }
}

// Query head h reads key head h / G.
TEST(Reference, GroupsQueryHeads) {
  AttentionInputs inputs;
  inputs.shape = {1, 4, 2, 1, 1, 1, 1};
  const std::vector<double> query = {1, 1, 1, 1}, key = {2, 3}, value = {7, 9};
  inputs.query = query;
  inputs.key = key;
  inputs.value = value;
  const AttentionResults r = reference_attention(attention(false), inputs);
  EXPECT_THAT(r.output, testing::ElementsAre(7, 7, 9, 9));
  EXPECT_THAT(r.row_max, testing::ElementsAre(2, 2, 3, 3));
}

TEST(Reference, TakesEmptyShapes) {
  AttentionInputs inputs;
  inputs.shape = {1, 1, 1, 1, 0, 1, 1};
  const std::vector<double> query = {1};
  inputs.query = query;
  const AttentionResults r = reference_attention(attention(true), inputs);
  EXPECT_THAT(r.output, testing::ElementsAre(0));
  EXPECT_THAT(r.lse, testing::ElementsAre(-kInf));
  inputs.shape = {0, 0, 0, 0, 0, 0, 0};
  inputs.query = {};
  EXPECT_THAT(reference_attention(attention(true), inputs).output, testing::IsEmpty());
}

TEST(ReferenceDeathTest, ChecksItsSpans) {
  AttentionInputs inputs;
  inputs.shape = {1, 3, 2, 1, 1, 1, 1};
  EXPECT_DEATH(reference_attention(attention(true), inputs), "not a multiple");
  inputs.shape = {1, 1, 1, 1, 1, 1, 1};
  EXPECT_DEATH(reference_attention(attention(true), inputs), "query size");
}

}  // namespace
}  // namespace maskjit::interp
