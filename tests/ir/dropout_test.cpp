// Philox, the pattern of dropout, and what dropout does to the reference attention.
#include "masker_dsl/interp/dropout.h"

#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <random>
#include <set>

#include "masker_dsl/interp/attention.h"

namespace maskjit::interp {
namespace {

// The known answers that the authors publish with Random123.
TEST(Philox, KnownAnswers) {
  EXPECT_EQ(philox({0, 0, 0, 0}, {0, 0}),
            (PhiloxCounter{0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8}));
  const uint32_t ones = 0xFFFFFFFF;
  EXPECT_EQ(philox({ones, ones, ones, ones}, {ones, ones}),
            (PhiloxCounter{0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD}));
  EXPECT_EQ(philox({0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344}, {0xA4093822, 0x299F31D0}),
            (PhiloxCounter{0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1}));
}

// Kept elements among 64 x 512 of each of 2 x 3 heads, by what is asked for.
std::vector<bool> pattern(const Dropout& dropout) {
  std::vector<bool> kept;
  for (int64_t b = 0; b < 2; ++b) {
    for (int64_t h = 0; h < 3; ++h) {
      for (int64_t i = 0; i < 64; ++i) {
        for (int64_t j = 0; j < 512; ++j) kept.push_back(dropout.keeps(b, h, i, j));
      }
    }
  }
  return kept;
}

// Half-width of the interval around the expectation that a binomial count of n leaves with
// probability below 1e-9, by the normal approximation.
double band(double n, double p) { return 6.2 * std::sqrt(n * p * (1 - p)) + 1; }

TEST(Dropout, KeepsTheShareThatItShould) {
  for (const double p : {0.0, 0.001, 0.1, 0.5, 0.9, 0.999}) {
    for (const uint64_t seed : {0ull, 1ull, 0xFFFFFFFFFFFFFFFFull}) {
      const std::vector<bool> kept = pattern(Dropout(p, seed, 7, false));
      const auto n = static_cast<double>(kept.size());
      const auto count = static_cast<double>(std::count(kept.begin(), kept.end(), true));
      EXPECT_NEAR(count, n * (1 - p), band(n, p)) << p << " seed " << seed;
    }
  }
}

// Two patterns that differ in one of the things that they are keyed by agree as often as
// independent ones do.
TEST(Dropout, PatternsAreIndependent) {
  const double p = 0.5;
  const auto kept = [&](uint64_t seed, uint64_t offset) {
    return pattern(Dropout(p, seed, offset, false));
  };
  const std::vector<bool> base = kept(3, 5);
  const auto expect_independent = [&](const std::vector<bool>& other, size_t shift,
                                      const char* what) {
    size_t equal = 0, n = 0;
    for (size_t i = 0; i + shift < base.size(); ++i, ++n) equal += base[i] == other[i + shift];
    const auto count = static_cast<double>(n);
    EXPECT_NEAR(static_cast<double>(equal), count / 2, band(count, 0.5)) << what;
  };
  expect_independent(kept(4, 5), 0, "seed");
  expect_independent(kept(3 + (1ull << 32), 5), 0, "upper half of the seed");
  expect_independent(kept(3, 6), 0, "offset");
  expect_independent(kept(3, 5 + (1ull << 32)), 0, "upper half of the offset");
  expect_independent(kept(5, 3), 0, "seed and offset exchanged");
  for (const size_t keys : {1, 2, 4, 16, 32, 48, 64, 65}) expect_independent(base, keys, "key");
  expect_independent(base, 512, "query");
  expect_independent(base, 64 * 512, "head");
  expect_independent(base, 3 * 64 * 512, "batch");
}

TEST(Dropout, IsAFunctionOfItsArguments) {
  EXPECT_EQ(pattern(Dropout(0.3, 11, 22, false)), pattern(Dropout(0.3, 11, 22, true)));
  // A higher probability drops what a lower one drops, and more.
  const std::vector<bool> low = pattern(Dropout(0.2, 1, 2, false));
  const std::vector<bool> high = pattern(Dropout(0.6, 1, 2, false));
  for (size_t i = 0; i < low.size(); ++i) EXPECT_TRUE(low[i] || !high[i]);
}

struct Small {
  AttentionInputs inputs;
  std::vector<double> query, key, value;
  ir::Function function;

  Small() {
    std::mt19937_64 random(1);
    std::normal_distribution<double> normal;
    for (auto [data, size] : {std::pair{&query, 2 * 4 * 5 * 8}, std::pair{&key, 2 * 2 * 9 * 8},
                              std::pair{&value, 2 * 2 * 9 * 3}}) {
      for (int i = 0; i < size; ++i) data->push_back(normal(random));
    }
    inputs.shape = {2, 4, 2, 5, 9, 8, 3};
    inputs.query = query;
    inputs.key = key;
    inputs.value = value;
    const ir::Value mask = function.binary(ir::Op::Le, function.variable(ir::Var::Key),
                                           function.variable(ir::Var::Query));
    function.add_result("mask", mask);
    function.add_result("score", function.variable(ir::Var::Score));
  }
};

TEST(DropoutAttention, MultipliesNormalisedWeights) {
  Small problem;
  AttentionOptions options;
  options.dense_weights = true;
  const AttentionResults plain = reference_attention(problem.function, problem.inputs, options);
  for (const bool renormalise : {false, true}) {
    const Dropout dropout(0.4, 9, 1, renormalise);
    problem.inputs.dropout = dropout;
    const AttentionResults r = reference_attention(problem.function, problem.inputs, options);
    EXPECT_EQ(r.row_max, plain.row_max);
    for (int64_t row = 0; row < 2 * 4 * 5; ++row) {
      const int64_t b = row / 20, h = row / 5 % 4, i = row % 5;
      double left = 0;
      std::vector<double> expected(9);
      for (int64_t j = 0; j < 9; ++j) {
        const double w = plain.weights[static_cast<size_t>(row * 9 + j)];
        expected[static_cast<size_t>(j)] = dropout.keeps(b, h, i, j) ? w / 0.6 : 0;
        left += expected[static_cast<size_t>(j)];
      }
      const auto at = static_cast<size_t>(row);
      const double factor = renormalise && left > 0 ? 1 / left : 1;
      EXPECT_NEAR(r.denominator[at], plain.denominator[at] * (renormalise ? left : 1), 1e-12);
      if (renormalise && left == 0) {
        EXPECT_EQ(r.lse[at], -INFINITY);
      } else {
        EXPECT_NEAR(r.lse[at], plain.lse[at] + (renormalise ? std::log(left) : 0), 1e-12);
      }
      for (int64_t d = 0; d < 3; ++d) {
        double output = 0;
        for (int64_t j = 0; j < 9; ++j) {
          const double w = expected[static_cast<size_t>(j)] * factor;
          EXPECT_NEAR(r.weights[static_cast<size_t>(row * 9 + j)], w, 1e-12);
          output += w * problem.value[static_cast<size_t>(((b * 2 + h / 2) * 9 + j) * 3 + d)];
        }
        EXPECT_NEAR(r.output[static_cast<size_t>(row * 3 + d)], output, 1e-12);
      }
    }
  }
}

// The mean over many offsets of the output with dropout is the output without.
TEST(DropoutAttention, IsUnbiased) {
  Small problem;
  const AttentionResults plain = reference_attention(problem.function, problem.inputs);
  constexpr int kRounds = 4000;
  std::vector<double> sum(plain.output.size()), squares(plain.output.size());
  for (int round = 0; round < kRounds; ++round) {
    problem.inputs.dropout.emplace(0.25, 42, static_cast<uint64_t>(round), false);
    const AttentionResults r = reference_attention(problem.function, problem.inputs);
    for (size_t i = 0; i < sum.size(); ++i) {
      sum[i] += r.output[i];
      squares[i] += r.output[i] * r.output[i];
    }
  }
  for (size_t i = 0; i < sum.size(); ++i) {
    const double mean = sum[i] / kRounds;
    const double variance = squares[i] / kRounds - mean * mean;
    // Six standard errors: 120 means are all inside with probability above 1 - 1e-6.
    EXPECT_NEAR(mean, plain.output[i], 6 * std::sqrt(variance / kRounds)) << i;
  }
}

}  // namespace
}  // namespace maskjit::interp
