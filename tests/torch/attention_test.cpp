// The C++ API on tensors. What both APIs share is tested from Python (operator_test.py).
#include "runtime/torch/attention.h"

#include <ATen/ops/full.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/scaled_dot_product_attention.h>
#include <gtest/gtest.h>

namespace maskjit::torch {
namespace {

double difference(const at::Tensor& a, const at::Tensor& b) {
  return a.sub(b).abs().max().item<double>();
}

struct Tensors {
  at::Tensor query = at::randn({2, 4, 50, 32});
  at::Tensor key = at::randn({2, 2, 50, 32});
  at::Tensor value = at::randn({2, 2, 50, 24});
  at::Tensor sdpa() const {
    return at::scaled_dot_product_attention(query, key, value, {}, 0.0, true, {}, true);
  }
};

TEST(TorchAttention, Output) {
  const Tensors t;
  const CompiledSpec spec = compile("causal");
  EXPECT_LT(difference(attention(spec, t.query, t.key, t.value), t.sdpa()), 1e-5);
  const at::Tensor rows_first =
      attention(spec, t.query, t.key, t.value, Options{.transposed = true});
  EXPECT_EQ(rows_first.sizes(), (at::IntArrayRef{2, 50, 4, 24}));
  EXPECT_LT(difference(rows_first.transpose(1, 2), t.sdpa()), 1e-5);
}

TEST(TorchAttention, ParametersAndResults) {
  const Tensors t;
  const CompiledSpec spec =
      compile(Source{"attention main(c: int, runtime n: int, len: tensor<i32>[batch]) {\n"
                     "  mask causal() & q - k < n + c & k < len[batch]\n}",
                     "main",
                     "",
                     {{"c", int64_t{40}}}});
  Options options;
  options.runtime = {{"n", int64_t{10}}};
  options.tensors = {{"len", at::full({2}, 50, at::kInt)}};
  const auto results = attention_results(spec, t.query, t.key, t.value,
                                         {ResultKind::Lse, ResultKind::Output}, options);
  EXPECT_EQ(results[0].sizes(), (at::IntArrayRef{2, 4, 50}));
  EXPECT_LT(difference(results[1], t.sdpa()), 1e-5);
}

TEST(TorchAttention, MergePartials) {
  const Tensors t;
  const CompiledSpec spec = compile("causal");
  std::vector<at::Tensor> outputs, lses;
  for (const auto& [begin, end] : {std::pair<int64_t, int64_t>{0, 30}, {30, 50}}) {
    Options options;
    options.q_offset = -begin;
    const auto part =
        attention_results(spec, t.query, t.key.slice(2, begin, end), t.value.slice(2, begin, end),
                          {ResultKind::Output, ResultKind::Lse}, options);
    outputs.push_back(part[0]);
    lses.push_back(part[1]);
  }
  EXPECT_LT(difference(merge_partials(outputs, lses).first, t.sdpa()), 1e-5);
}

TEST(TorchAttention, Errors) {
  const Tensors t;
  EXPECT_THROW(compile("causl"), c10::ValueError);
  EXPECT_THROW(compile("causal() & top_k(-3)"), c10::ValueError);
  const CompiledSpec spec = compile("causal");
  try {
    (void)attention(spec, t.query, t.key, t.value.slice(2, 0, 3));
    FAIL();
  } catch (const c10::ValueError& error) {
    EXPECT_STREQ(error.what_without_backtrace(),
                 "key f32[2, 2, 50, 32] and value f32[2, 2, 3, 24] differ in kv_len: 50 and 3");
  }
  EXPECT_THROW((void)attention(spec, t.query.clone().requires_grad_(), t.key, t.value),
               c10::NotImplementedError);
}

}  // namespace
}  // namespace maskjit::torch
