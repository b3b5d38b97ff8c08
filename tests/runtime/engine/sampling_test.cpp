// What samplers promise, over many seeds: numerators and denominators without bias, errors within
// what adaptive was asked for. Seeds are fixed: a test that passes, passes again.
#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "tests/runtime/engine/problem.h"

namespace maskjit {
namespace {

using testing::Tensor;

constexpr int64_t kQueries = 4, kHeadDim = 16;
// A mean over seeds may be this many standard errors from what it estimates. With some 100 means a
// test, a correct sampler fails one in 10,000 times (normal tails), had the seeds not been chosen.
constexpr double kErrors = 5;

// Denominators [kQueries] and numerators [kQueries, kHeadDim], relative to exp(0).
struct Sums {
  std::vector<double> denominator, numerator;
};

class Samplers : public ::testing::Test {
 protected:
  void SetUp() override { fill(96, 1.5); }

  // Keys and queries whose logits have this standard deviation, roughly.
  void fill(int64_t kv_len, double spread) {
    std::mt19937 random(17);
    std::normal_distribution<double> normal;
    query = Tensor(ElementType::F32, {1, 1, kQueries, kHeadDim});
    key = Tensor(ElementType::F32, {1, 1, kv_len, kHeadDim});
    value = Tensor(ElementType::F32, {1, 1, kv_len, kHeadDim});
    for (int64_t i = 0; i < query.size(); ++i) query.set(i, spread * normal(random));
    for (int64_t i = 0; i < key.size(); ++i) key.set(i, normal(random));
    for (int64_t i = 0; i < value.size(); ++i) value.set(i, 1 + normal(random));
  }

  Attention load(const std::string& mask) const {
    const auto spec = engine.load_text("attention main { mask " + mask + " }");
    EXPECT_TRUE(spec) << spec.error().message;
    return *spec->bind();
  }

  Sums run(const Attention& attention, uint64_t seed) const {
    Tensor output(ElementType::F32, {1, 1, kQueries, kHeadDim});
    Tensor lse(ElementType::F32, {1, 1, kQueries});
    const Status done = attention.run({.query = query.view(),
                                       .key = key.view(),
                                       .value = value.view(),
                                       .sampling = {.seed = seed, .offset = seed * 3}},
                                      {.output = output.view(), .lse = lse.view()});
    EXPECT_TRUE(done) << done.error().message;
    Sums sums;
    for (int64_t i = 0; i < kQueries; ++i) {
      const double denominator = std::exp(lse.at(i));
      sums.denominator.push_back(denominator);
      for (int64_t d = 0; d < kHeadDim; ++d)
        sums.numerator.push_back(output.at(i * kHeadDim + d) * denominator);
    }
    return sums;
  }

  // Every sum, on average over the seeds, is that of `exact`.
  void expect_unbiased(const std::string& sampler, const std::string& exact, int seeds) const {
    const Attention attention = load(sampler);
    const Sums want = run(load(exact), 0);
    std::vector<double> truth = want.denominator;
    truth.insert(truth.end(), want.numerator.begin(), want.numerator.end());
    std::vector<double> total(truth.size()), squares(truth.size());
    for (int seed = 0; seed < seeds; ++seed) {
      Sums sums = run(attention, static_cast<uint64_t>(seed));
      sums.denominator.insert(sums.denominator.end(), sums.numerator.begin(), sums.numerator.end());
      for (size_t i = 0; i < total.size(); ++i) {
        const double off = sums.denominator[i] - truth[i];
        total[i] += off;
        squares[i] += off * off;
      }
    }
    for (size_t i = 0; i < total.size(); ++i) {
      const double mean = total[i] / seeds;
      const double error = std::sqrt((squares[i] / seeds - mean * mean) / (seeds - 1));
      EXPECT_LE(std::abs(mean), kErrors * error + 1e-5 * std::abs(truth[i]))
          << sampler << ", sum " << i << " of " << truth[i];
    }
  }

  const Engine engine{testing::memory_only()};
  Tensor query, key, value;
};

TEST_F(Samplers, RandomIsUnbiased) {
  expect_unbiased("random(0.3)", "full()", 2000);
  expect_unbiased("causal() & (sink(2) then local(8) then random(0.1))", "causal()", 2000);
}

TEST_F(Samplers, AdaptiveIsUnbiased) {
  expect_unbiased("sink(4) then top_k(10) then adaptive(base = 10%, epsilon = 0.3, delta = 0.2)",
                  "full()", 2000);
}

TEST_F(Samplers, MagicPigIsUnbiased) {
  expect_unbiased("magic_pig(tables = 12, bits = 3)", "full()", 1500);
  expect_unbiased("sink(4) then magic_pig(tables = 6, bits = 2, centre = false)", "full()", 1500);
}

// The relative error of the denominator is above epsilon in a share of at most delta of the draws,
// within three standard errors of that share.
TEST_F(Samplers, AdaptiveKeepsItsPromise) {
  fill(2000, 1.5);
  const Sums want = run(load("full()"), 0);
  for (const auto& [epsilon, delta] :
       {std::pair{0.1, 0.2}, {0.1, 0.05}, {0.05, 0.1}, {0.25, 0.25}}) {
    const Attention attention = load(fmt::format(
        "sink(16) then local(16) then top_k(2%) then adaptive(base = 5%, epsilon = {}, delta = {})",
        epsilon, delta));
    const int seeds = 500;
    int failures = 0;
    double kept = 0;
    for (int seed = 0; seed < seeds; ++seed) {
      const Sums sums = run(attention, static_cast<uint64_t>(seed));
      for (size_t i = 0; i < sums.denominator.size(); ++i) {
        const double error = std::abs(sums.denominator[i] / want.denominator[i] - 1);
        failures += error > epsilon ? 1 : 0;
        kept += error;
      }
    }
    const double draws = seeds * kQueries;
    std::printf("epsilon %.2f, delta %.2f: %.4f of the draws beyond, mean error %.4f\n", epsilon,
                delta, failures / draws, kept / draws);
    EXPECT_LE(failures / draws, delta + 3 * std::sqrt(delta * (1 - delta) / draws))
        << "epsilon " << epsilon;
  }
}

}  // namespace
}  // namespace maskjit
