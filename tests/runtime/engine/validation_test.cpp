// What is said about calls that cannot be: exact messages, for they are part of the API.
#include <gmock/gmock.h>

#include <cmath>

#include "tests/runtime/engine/problem.h"

namespace maskjit::testing {
namespace {

using ::testing::HasSubstr;

class Validation : public ::testing::Test {
 protected:
  static const Engine& engine() {
    static const Engine shared(memory_only());
    return shared;
  }
  static Attention attention(const std::string& spec, const Values& values = {}) {
    const auto loaded = engine().load_text(spec);
    EXPECT_TRUE(loaded) << loaded.error().message;
    const auto bound = loaded->bind(values);
    EXPECT_TRUE(bound) << bound.error().message;
    return *bound;
  }
  // A valid call of [2, 4, 8, 16] queries and [2, 2, 12, 16] keys, for tests to spoil.
  void SetUp() override {
    memory_.resize(1 << 16);
    inputs_.query = view(ElementType::F32, {2, 4, 8, 16});
    inputs_.key = view(ElementType::F32, {2, 2, 12, 16});
    inputs_.value = view(ElementType::F32, {2, 2, 12, 24});
    outputs_.output = view(ElementType::F32, {2, 4, 8, 24});
  }
  TensorView view(ElementType type, std::vector<int64_t> shape) {
    return TensorView::contiguous(memory_.data(), type, std::move(shape));
  }
  // run and prepare refuse alike.
  std::string message(const std::string& spec = "masker main() = causal()") {
    const Attention a = attention(spec);
    const Status status = a.run(inputs_, outputs_);
    if (status) return "";
    const auto prepared = a.prepare(inputs_, outputs_);
    EXPECT_FALSE(prepared);
    EXPECT_EQ(prepared.error().message, status.error().message);
    EXPECT_EQ(status.error().kind, ErrorKind::InvalidInput);
    return status.error().message;
  }

  std::vector<double> memory_;
  AttentionInputs inputs_;
  AttentionOutputs outputs_;
};

TEST_F(Validation, TheCallThatTheOthersSpoilIsFine) { EXPECT_EQ(message(), ""); }

TEST_F(Validation, RanksAndMissingOperands) {
  inputs_.query = view(ElementType::F32, {4, 8, 16});
  EXPECT_EQ(
      message(),
      "query f32[4, 8, 16] has 3 dimensions; 4 are needed: [batch, num_heads, q_len, head_dim]");
  inputs_.query = {};
  EXPECT_EQ(message(), "query is missing: [batch, num_heads, q_len, head_dim]");
}

TEST_F(Validation, SizesThatDiffer) {
  inputs_.key = view(ElementType::F32, {3, 2, 12, 16});
  EXPECT_EQ(message(), "query f32[2, 4, 8, 16] and key f32[3, 2, 12, 16] differ in batch: 2 and 3");
  inputs_.key = view(ElementType::F32, {2, 2, 12, 32});
  EXPECT_EQ(message(),
            "query f32[2, 4, 8, 16] and key f32[2, 2, 12, 32] differ in head_dim: 16 and 32");
  inputs_.key = view(ElementType::F32, {2, 4, 12, 16});
  EXPECT_EQ(message(),
            "key f32[2, 4, 12, 16] and value f32[2, 2, 12, 24] differ in num_kv_heads: 4 and 2");
  inputs_.key = view(ElementType::F32, {2, 2, 13, 16});
  EXPECT_EQ(message(),
            "key f32[2, 2, 13, 16] and value f32[2, 2, 12, 24] differ in kv_len: 13 and 12");
  inputs_.key = view(ElementType::F32, {2, 3, 12, 16});
  inputs_.value = view(ElementType::F32, {2, 3, 12, 24});
  EXPECT_EQ(message(),
            "4 query heads are no multiple of 3 key heads: query f32[2, 4, 8, 16], key f32[2, 3, "
            "12, 16]");
  inputs_.key = view(ElementType::F32, {2, 0, 12, 16});
  inputs_.value = view(ElementType::F32, {2, 0, 12, 24});
  EXPECT_EQ(message(), "key f32[2, 0, 12, 16] has no heads");
}

TEST_F(Validation, ElementTypes) {
  inputs_.value = view(ElementType::BF16, {2, 2, 12, 24});
  EXPECT_EQ(
      message(),
      "query f32[2, 4, 8, 16] and value bf16[2, 2, 12, 24] differ in element type: f32 and bf16");
  inputs_.query = view(ElementType::I32, {2, 4, 8, 16});
  EXPECT_EQ(message(),
            "query i32[2, 4, 8, 16] has element type i32; f32, f16 and bf16 are possible");
}

TEST_F(Validation, HeadDimensions) {
  inputs_.query = view(ElementType::F32, {2, 4, 8, 0});
  inputs_.key = view(ElementType::F32, {2, 2, 12, 0});
  EXPECT_EQ(message(), "query f32[2, 4, 8, 0] has head dimension 0; 1 to 65536 are possible");
}

TEST_F(Validation, Views) {
  inputs_.query.strides[3] = 2;
  EXPECT_EQ(message(), "query f32[2, 4, 8, 16] has stride 2 in its last dimension; it must be 1");
  inputs_.query.strides.pop_back();
  EXPECT_EQ(message(), "query f32[2, 4, 8, 16] has 3 strides for 4 dimensions");
  inputs_.query = view(ElementType::F32, {2, 4, -8, 16});
  EXPECT_EQ(message(), "query f32[2, 4, -8, 16] has a dimension outside of 0 to 1073741824");
  inputs_.query = view(ElementType::F32, {2, 4, (int64_t{1} << 30) + 1, 16});
  EXPECT_EQ(message(),
            "query f32[2, 4, 1073741825, 16] has a dimension outside of 0 to 1073741824");
  inputs_.query = view(ElementType::F32, {1 << 20, 1 << 20, 1 << 20, 16});
  inputs_.key = view(ElementType::F32, {1 << 20, 1 << 20, 12, 16});
  inputs_.value = view(ElementType::F32, {1 << 20, 1 << 20, 12, 16});
  EXPECT_EQ(message(), "query f32[1048576, 1048576, 1048576, 16] is too large");
  inputs_.query = TensorView::contiguous(nullptr, ElementType::F32, {2, 4, 8, 16});
  EXPECT_EQ(message(), "query f32[2, 4, 8, 16] has no data");
  inputs_.query.data = reinterpret_cast<std::byte*>(memory_.data()) + 2;
  EXPECT_EQ(message(),
            "the data of query f32[2, 4, 8, 16] is not aligned to its elements of 4 bytes");
}

TEST_F(Validation, AdditiveMask) {
  inputs_.additive_mask = view(ElementType::F32, {2, 3, 8, 12});
  EXPECT_EQ(
      message(),
      "additive_mask f32[2, 3, 8, 12] and query f32[2, 4, 8, 16] differ in num_heads: 3 and 4 "
      "(1 broadcasts)");
  inputs_.additive_mask = view(ElementType::F32, {1, 1, 8, 11});
  EXPECT_EQ(message(), "additive_mask f32[1, 1, 8, 11] has 11 columns for 12 keys");
  inputs_.additive_mask = view(ElementType::F32, {1, 1, 8, 1});
  EXPECT_EQ(message(), "additive_mask f32[1, 1, 8, 1] has 1 columns for 12 keys");
  inputs_.additive_mask = view(ElementType::F64, {1, 1, 8, 12});
  EXPECT_EQ(
      message(),
      "additive_mask f64[1, 1, 8, 12] has element type f64; f32, f16, bf16 and bool are possible");
  inputs_.additive_mask = view(ElementType::F32, {8, 12});
  EXPECT_EQ(message(),
            "additive_mask f32[8, 12] has 2 dimensions; 4 are needed: [batch or 1, num_heads or 1, "
            "q_len or 1, "
            "kv_len or more]");
}

TEST_F(Validation, Outputs) {
  outputs_.output = view(ElementType::F32, {2, 4, 8, 16});
  EXPECT_EQ(message(), "output is f32[2, 4, 8, 16]; this call gives f32[2, 4, 8, 24]");
  outputs_.output = view(ElementType::F16, {2, 4, 8, 24});
  EXPECT_EQ(message(), "output is f16[2, 4, 8, 24]; this call gives f32[2, 4, 8, 24]");
  outputs_.output = view(ElementType::F32, {2, 4, 8, 24});
  outputs_.output.strides[1] = 0;
  EXPECT_EQ(
      message(),
      "output f32[2, 4, 8, 24] has stride 0 in dimension 1: results would overwrite each other");
  outputs_.output.strides = {768, 192, 48, 2};
  EXPECT_EQ(message(),
            "output f32[2, 4, 8, 24] has strides [768, 192, 48, 2]; a unit stride on its last "
            "dimension is "
            "needed");
  outputs_.output = {};
  EXPECT_EQ(message(),
            "no result is asked for: give output, lse, row_max, numerator, denominator or weights "
            "a shape");
  outputs_.lse = view(ElementType::F32, {2, 4, 8});
  EXPECT_EQ(message(), "");
  outputs_.lse.strides = {32, 1, 4};
  EXPECT_EQ(message(), "lse f32[2, 4, 8] has strides [32, 1, 4]; a contiguous view is needed");
  outputs_.lse = view(ElementType::F32, {2, 4, 8, 1});
  EXPECT_EQ(message(), "lse is f32[2, 4, 8, 1]; this call gives f32[2, 4, 8]");
  outputs_.lse = {};
  outputs_.weights = view(ElementType::F32, {2, 4, 8, 16});
  EXPECT_EQ(message(), "weights is f32[2, 4, 8, 16]; this call gives f32[2, 4, 8, 12]");
}

TEST_F(Validation, ScaleAndPositions) {
  inputs_.scale = NAN;
  EXPECT_EQ(message(), "scale is nan");
  inputs_.scale = 1.0f;
  inputs_.q_offset = (int64_t{1} << 30) - 7;
  EXPECT_EQ(message(), "");
  inputs_.q_offset = (int64_t{1} << 30) - 6;
  EXPECT_EQ(message(),
            "q_offset 1073741818 with q_len 8: positions go from -1073741824 to 1073741824");
  inputs_.q_offset = -(int64_t{1} << 30) - 1;
  EXPECT_EQ(message(),
            "q_offset -1073741825 with q_len 8: positions go from -1073741824 to 1073741824");
}

TEST_F(Validation, RuntimeParameters) {
  const std::string spec =
      "attention main(runtime window: int, runtime cap: float = 2.0) { mask local(window) score s "
      "* cap }";
  EXPECT_EQ(message(spec), "run-time parameter 'window' (int) has no value and no default");
  inputs_.runtime = {{"windw", int64_t{3}}};
  EXPECT_EQ(message(spec), "the spec has no run-time parameter 'windw'; did you mean 'window'?");
  inputs_.runtime = {{"x", int64_t{3}}};
  EXPECT_EQ(message(spec), "the spec has no run-time parameter 'x'; it has window, cap");
  EXPECT_EQ(message(), "the spec has no run-time parameter 'x'; it has none");
  inputs_.runtime = {{"window", 2.5}};
  EXPECT_EQ(message(spec), "run-time parameter 'window' is int, but 2.5 is given");
  inputs_.runtime = {{"window", true}};
  EXPECT_EQ(message(spec), "run-time parameter 'window' is int, but true is given");
  inputs_.runtime = {{"window", Share{0.5}}};
  EXPECT_EQ(message(spec), "run-time parameter 'window' is int, but a share of 0.5 is given");
  inputs_.runtime = {{"window", int64_t{1} << 31}};
  EXPECT_EQ(message(spec), "");
  inputs_.runtime = {{"window", (int64_t{1} << 31) + 1}};
  EXPECT_EQ(message(spec),
            "run-time parameter 'window' is 2147483649; -2147483648 to 2147483648 are possible");
  inputs_.runtime = {{"window", -(int64_t{1} << 31) - 1}};
  EXPECT_EQ(message(spec),
            "run-time parameter 'window' is -2147483649; -2147483648 to 2147483648 are possible");
}

TEST_F(Validation, Tensors) {
  const std::string spec =
      "masker main(doc: tensor<i32>[batch, kv_len], t: tensor<f32>[4]) = doc[batch, k] > 0 & t[k % "
      "4] > 0.0";
  inputs_.tensors["doc"] = view(ElementType::I32, {2, 12});
  EXPECT_EQ(message(spec), "tensor 't' (f32[4]) is missing");
  inputs_.tensors["t"] = view(ElementType::F32, {4});
  EXPECT_EQ(message(spec), "");
  inputs_.tensors["t"] = view(ElementType::F32, {1});
  EXPECT_EQ(message(spec), "");
  inputs_.tensors["t"] = view(ElementType::F32, {5});
  EXPECT_EQ(message(spec),
            "tensor 't' f32[5] is declared f32[4], and 4 is 4, not 5 (1 broadcasts)");
  inputs_.tensors["t"] = view(ElementType::F32, {4});
  inputs_.tensors["doc"] = view(ElementType::I32, {3, 12});
  EXPECT_EQ(message(spec),
            "tensor 'doc' i32[3, 12] is declared i32[batch, kv_len], and batch is 2, not 3 (1 "
            "broadcasts)");
  inputs_.tensors["doc"] = view(ElementType::I64, {2, 12});
  EXPECT_EQ(message(spec), "tensor 'doc' is declared i32[batch, kv_len], but i64[2, 12] is given");
  inputs_.tensors["doc"] = view(ElementType::I32, {2, 12, 1});
  EXPECT_EQ(message(spec),
            "tensor 'doc' is declared i32[batch, kv_len], but i32[2, 12, 1] is given");
  inputs_.tensors["doc"] = {};
  EXPECT_EQ(message(spec),
            "tensor 'doc' is declared i32[batch, kv_len], but a view without shape is given");
  inputs_.tensors["doc"] = TensorView::contiguous(nullptr, ElementType::I32, {2, 12});
  EXPECT_EQ(message(spec), "tensor 'doc' i32[2, 12] has no data");
  inputs_.tensors["doc"] = view(ElementType::I32, {2, 12});
  inputs_.tensors["dok"] = view(ElementType::I32, {2, 12});
  EXPECT_EQ(message(spec), "the spec has no tensor 'dok'; did you mean 'doc'?");
}

TEST_F(Validation, WhatABoundSpecDoesNotReadMayBeLeftOut) {
  const Attention a = attention(
      "masker main(use: bool, t: tensor<i32>[kv_len], runtime n: int) = use ? t[k] > n : causal()",
      {{"use", false}});
  EXPECT_TRUE(a.run(inputs_, outputs_));
  inputs_.tensors["t"] = view(ElementType::I32, {12});
  inputs_.runtime = {{"n", int64_t{4}}};
  EXPECT_TRUE(a.run(inputs_, outputs_));
  inputs_.tensors["t"] = view(ElementType::I32, {13});
  EXPECT_FALSE(a.run(inputs_, outputs_));
}

}  // namespace
}  // namespace maskjit::testing
