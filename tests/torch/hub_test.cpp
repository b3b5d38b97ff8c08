// sparse-attention-hub's surface in C++; its formulas are replayed from Python (hub_test.py).
#include "runtime/torch/hub.h"

#include <ATen/Context.h>
#include <ATen/ops/full.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/scaled_dot_product_attention.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>
#include <gtest/gtest.h>

#include <cmath>

namespace maskjit::torch::hub {
namespace {

constexpr double kScaling = 0.25;

double difference(const at::Tensor& a, const at::Tensor& b) {
  return a.sub(b).abs().max().item<double>();
}

struct Tensors {
  at::Tensor queries = at::randn({2, 4, 9, 16});
  at::Tensor keys = at::randn({2, 2, 40, 16});
  at::Tensor values = at::randn({2, 2, 40, 16});
  at::Tensor sdpa(const at::Tensor& active) const {
    return at::scaled_dot_product_attention(queries, keys, values, active, 0.0, false, kScaling,
                                            true)
        .transpose(1, 2);
  }
};

TEST(TorchHub, MaskedAttention) {
  const Tensors t;
  at::Tensor active = at::randn({2, 4, 9, 40}).gt(0.5);
  active.select(3, 0).fill_(true);
  const auto view = TensorView::contiguous(active.data_ptr(), ElementType::Bool, {2, 4, 9, 40});
  const Result<Mask> mask = Mask::from_dense(view);
  ASSERT_TRUE(mask);
  const auto [output, weights] = get_masked_attention_output(false, t.queries, t.keys, t.values, {},
                                                             kScaling, 0.0, *mask, true);
  EXPECT_EQ(output.sizes(), (at::IntArrayRef{2, 9, 4, 16}));
  EXPECT_LT(difference(output, t.sdpa(active)), 1e-5);
  EXPECT_LT(difference(weights.sum(-1), weights.sum(-1).fill_(1)), 1e-5);
  EXPECT_EQ(difference(weights.masked_fill(active, 0), at::zeros_like(weights)), 0);
  const at::Tensor numerator =
      get_attention_numerator(false, t.queries, t.keys, t.values, {}, kScaling, 0.0, *mask);
  const at::Tensor denominator =
      get_attention_denominator(false, t.queries, t.keys, {}, kScaling, 0.0, *mask);
  EXPECT_EQ(denominator.sizes(), (at::IntArrayRef{2, 4, 9, 1}));
  EXPECT_LT(difference(numerator.div(denominator).transpose(1, 2), output), 1e-5);
}

TEST(TorchHub, ResearchAttention) {
  const Tensors t;
  const auto attention = ResearchAttention::create_from_config(
      {SinkMaskerConfig{int64_t{4}}, LocalMaskerConfig{0.29}, std::string("strided(7)")});
  const auto [output, weights] =
      attention.custom_attention(false, t.queries, t.keys, t.values, {}, kScaling, 0.0);
  EXPECT_FALSE(weights.defined());
  at::Tensor active = at::zeros({9, 40}, at::kBool);
  for (int64_t i = 0; i < 9; ++i) {
    for (int64_t k = 0; k < 40; ++k) {
      const int64_t q = i + 31;
      active.data_ptr<bool>()[i * 40 + k] = k < 4 || (q - 11 < k && k <= q) || (q - k) % 7 == 0;
    }
  }
  EXPECT_LT(difference(output, t.sdpa(active)), 1e-5);
}

TEST(TorchHub, SamplingDrawsAnewAtEachCall) {
  const Tensors t;
  const auto attention = ResearchAttention::create_from_config(
      {SinkMaskerConfig{int64_t{4}}, RandomSamplingMaskerConfig{0.5}});
  const auto weights = [&] {
    return attention
        .custom_attention(false, t.queries, t.keys, t.values, {}, kScaling, 0.0, nullptr, true)
        .weights;
  };
  at::manual_seed(3);
  const at::Tensor first = weights();
  EXPECT_GT(difference(first, weights()), 0);
  at::manual_seed(3);
  EXPECT_EQ(difference(first, weights()), 0);
  const at::Tensor drawn = first.slice(3, 4);
  const double kept = drawn.ne(0).sum().item<double>() / static_cast<double>(drawn.numel());
  EXPECT_NEAR(kept, 0.5, 0.05);  // of 2592
  EXPECT_EQ(first.slice(3, 0, 4).eq(0).sum().item<int64_t>(), 0);
}

TEST(TorchHub, OracleTopK) {
  const Tensors t;
  const auto attention = ResearchAttention::create_from_config(
      {SinkMaskerConfig{int64_t{4}}, OracleTopKConfig{int64_t{5}}});
  const at::Tensor weights =
      attention
          .custom_attention(false, t.queries, t.keys, t.values, {}, kScaling, 0.0, nullptr, true)
          .weights;
  EXPECT_EQ(difference(weights.ne(0).sum(-1), at::full({2, 4, 9}, 9)), 0);
}

TEST(TorchHub, DropoutInTraining) {
  const Tensors t;
  const auto weights = [&](bool training) {
    return get_masked_attention_output(training, t.queries, t.keys, t.values, {}, kScaling, 0.5, {},
                                       true)
        .weights;
  };
  EXPECT_EQ(weights(false).eq(0).sum().item<int64_t>(), 0);
  const at::Tensor left = weights(true);
  const double dropped = left.eq(0).sum().item<double>() / static_cast<double>(left.numel());
  EXPECT_NEAR(dropped, 0.5, 0.05);  // of 2880
  EXPECT_LT(difference(left.sum(-1), left.sum(-1).fill_(1)), 1e-5);
  EXPECT_GT(difference(left, weights(true)), 0);
}

TEST(TorchHub, Errors) {
  const Tensors t;
  EXPECT_THROW((void)get_num_key_value_groups(t.queries, t.queries.slice(1, 0, 3)),
               c10::ValueError);
  EXPECT_THROW((void)get_attention_denominator(false, t.queries, t.keys, {}, kScaling, 0.0,
                                               *Mask::full({2, 4, 9, 39})),
               c10::ValueError);
}

}  // namespace
}  // namespace maskjit::torch::hub
