// Random-projection codes: the probability that a key matches is the weight that kernels give it.
#include <gtest/gtest.h>

#include <cmath>
#include <numbers>

#include "tests/runtime/index/support.h"

namespace maskjit {
namespace {

using namespace maskjit::testing;

double weight_of(double angle, int bits, int tables) {
  const double table = std::pow(1 - angle / std::numbers::pi, bits);
  return -std::expm1(tables * std::log1p(-table));
}

// The angle of [q~, 0] and [k~, sqrt(N^2 - |k~|^2)].
double angle_of(const Prepared& prepared, const std::vector<float>& query,
                const std::vector<double>& key) {
  const auto* state = reinterpret_cast<const float*>(prepared.row(1));
  double product = 0, square = 0;
  for (size_t d = 0; d < query.size(); ++d) {
    const double centre = static_cast<double>(state[1 + d]);
    const double q = static_cast<double>(query[d]) - centre;
    product += q * (key[d] - centre);
    square += q * q;
  }
  return std::acos(
      std::clamp(product / std::sqrt(square) / static_cast<double>(state[0]), -1.0, 1.0));
}

TEST(Lsh, WeightsAreTheFormula) {
  Rng rng(1);
  for (int i = 0; i < 40; ++i) {
    KeyIndex::Shape shape = random_shape(rng);
    shape.head_dim = one_of<int64_t>(rng, {16, 64});
    const KeyCache cache(rng, shape, 100);
    const KeyIndex::Lsh part = {.tables = one_of<int>(rng, {1, 8, 75, 1024}),
                                .bits = one_of<int>(rng, {1, 4, 8, 10, 32, 64}),
                                .centre = pick(rng, 0, 1) == 1};
    const KeyIndex index = make_index(cache, part);
    const int64_t batch = pick(rng, 0, shape.batch - 1);
    const int64_t head = pick(rng, 0, shape.num_heads - 1);
    const int64_t kv_head = head / (shape.num_heads / shape.num_kv_heads);
    const auto query = random_query(rng, shape.head_dim);
    for (const codegen::HostLevel level : levels()) {
      const Prepared prepared(index, 0, level, batch, head, query);
      for (int64_t k = 0; k < 100; ++k) {
        const auto key = cache.row(batch, kv_head, k);
        const double angle = angle_of(prepared, query, key);
        const double expected = weight_of(angle, part.bits, part.tables);
        const double got =
            static_cast<double>(prepared.lsh_weight(k, static_cast<float>(dot(query, key))));
        // An angle wrong by 1e-6 or so changes the power by so much.
        const double relative = 1e-5 + 1e-5 * part.bits / std::max(std::numbers::pi - angle, 0.01);
        ASSERT_NEAR(got, expected, relative * expected + 1e-37)
            << index.describe() << ", key " << k << ", angle " << angle;
        ASSERT_GT(got, 0);
        ASSERT_LE(got, 1);
      }
    }
  }
}

// Over many seeds, keys match as often as their weights say.
TEST(Lsh, MatchesAsOftenAsWeightsSay) {
  Rng rng(2);
  const KeyIndex::Shape shape = {ElementType::F32, 1, 1, 1, 32};
  const KeyCache cache(rng, shape, 64);
  const auto query = random_query(rng, 32);
  const KeyIndex::Lsh part = {.tables = 6, .bits = 4};
  constexpr int kSeeds = 3000;
  std::vector<double> matches(64), weights(64);
  for (uint64_t seed = 0; seed < kSeeds; ++seed) {
    const KeyIndex index = make_index(cache, part, seed);
    const Prepared prepared(index, 0, codegen::Target::host().level, 0, 0, query);
    const auto scores = prepared.scores(0, 64);
    for (size_t k = 0; k < 64; ++k) {
      matches[k] += static_cast<double>(scores[k]);
      weights[k] = static_cast<double>(prepared.lsh_weight(
          static_cast<int64_t>(k),
          static_cast<float>(dot(query, cache.row(0, 0, static_cast<int64_t>(k))))));
    }
  }
  // Each within 4.5 standard deviations: all of 64 keys are with a probability above 99.9 %.
  double total = 0, expected = 0;
  for (size_t k = 0; k < 64; ++k) {
    const double p = weights[k];
    EXPECT_NEAR(matches[k] / kSeeds, p, 4.5 * std::sqrt(p * (1 - p) / kSeeds)) << k;
    total += matches[k] / p;
    expected += kSeeds;
  }
  EXPECT_NEAR(total / expected, 1, 0.02);
  EXPECT_GT(*std::ranges::max_element(weights), 2 * *std::ranges::min_element(weights));
}

TEST(Lsh, CentreAndNorm) {
  Rng rng(3);
  for (const int64_t size : {1, 2, 7, 64, 100}) {
    const KeyIndex::Shape shape = {ElementType::BF16, 2, 2, 2, 16};
    const KeyCache cache(rng, shape, size);
    const KeyIndex index = make_index(cache, KeyIndex::Lsh{.tables = 2, .bits = 8});
    const int64_t averaged = std::bit_floor(static_cast<uint64_t>(size));
    const Prepared prepared(index, 0, codegen::Target::host().level, 1, 1, random_query(rng, 16));
    const auto* state = reinterpret_cast<const float*>(prepared.row(1));
    std::vector<double> mean(16);
    for (int64_t k = 0; k < averaged; ++k) {
      for (size_t d = 0; d < 16; ++d)
        mean[d] += cache.row(1, 1, k)[d] / static_cast<double>(averaged);
    }
    double largest = 0;
    for (size_t d = 0; d < 16; ++d) EXPECT_NEAR(static_cast<double>(state[1 + d]), mean[d], 1e-5);
    for (int64_t k = 0; k < size; ++k) {
      double square = 0;
      for (size_t d = 0; d < 16; ++d) square += std::pow(cache.row(1, 1, k)[d] - mean[d], 2);
      largest = std::max(largest, std::sqrt(square));
    }
    if (size == 1) continue;  // the key is the centre
    EXPECT_GE(static_cast<double>(state[0]), largest * (1 - 1e-5));
    EXPECT_LE(static_cast<double>(state[0]), largest * std::pow(2, 0.125) * (1 + 1e-5));
  }
}

// Standard normal numbers, different ones in every place.
TEST(Lsh, Projections) {
  Rng rng(4);
  const KeyIndex::Shape shape = {ElementType::F32, 1, 1, 1, 128};
  const KeyCache cache(rng, shape, 1);
  const KeyIndex index = make_index(cache, KeyIndex::Lsh{.tables = 75, .bits = 8});
  const MjScorer scorer = index.scorer(0);
  const auto* values = static_cast<const float*>(scorer.rows[2].data);
  const int64_t padded = mj_pad_lanes(600);
  double sum = 0, square = 0, fourth = 0, beside = 0, below = 0;
  const double n = 129 * 600;
  for (int64_t d = 0; d < 129; ++d) {
    for (int64_t j = 0; j < 600; ++j) {
      const double x = static_cast<double>(values[d * padded + j]);
      sum += x;
      square += x * x;
      fourth += x * x * x * x;
      if (j > 0) beside += x * static_cast<double>(values[d * padded + j - 1]);
      if (d > 0) below += x * static_cast<double>(values[(d - 1) * padded + j]);
    }
  }
  const double sigma = 1 / std::sqrt(n);
  EXPECT_NEAR(sum / n, 0, 4 * sigma);
  EXPECT_NEAR(square / n, 1, 4 * std::sqrt(2) * sigma);
  EXPECT_NEAR(fourth / n, 3, 4 * std::sqrt(96) * sigma);
  EXPECT_NEAR(beside / n, 0, 4 * sigma);
  EXPECT_NEAR(below / n, 0, 4 * sigma);
}

}  // namespace
}  // namespace maskjit
