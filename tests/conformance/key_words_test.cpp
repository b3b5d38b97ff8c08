// Masks of 64 keys at once (mj_keep_word): what has them, that they are right, and what they save.
#include <gtest/gtest.h>

#include <cmath>

#include "codegen/lower/lower.h"
#include "tests/conformance/emulator_launch.h"

namespace maskjit::conformance {
namespace {

ProblemDescription describe(const std::string& mask) {
  ProblemDescription d;
  d.mask = mask;
  d.num_heads = 2;
  d.num_kv_heads = 1;
  d.q_len = 70;
  d.kv_len = 150;
  d.head_dim = 32;
  return d;
}

// Counts of the forward kernel of sm_80, and its results.
Results run(const Problem& problem, emulator::Report& report) {
  const codegen::Target target = *codegen::Target::parse("sm_80");
  const codegen::KernelSpec spec = *codegen::select_template(problem.program(), problem.spec(),
                                                             target, "nvptx/attention_forward")
                                        .spec;
  Results results = run_on_emulator(problem, spec, target, 1, report);
  EXPECT_TRUE(report.ok()) << report.fault->render();
  return results;
}

double largest_difference(const std::vector<double>& a, const std::vector<double>& b) {
  if (a.size() != b.size()) return INFINITY;
  double largest = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    if (a[i] == b[i]) continue;  // infinities
    const double d = std::abs(a[i] - b[i]);
    if (std::isnan(d)) return INFINITY;
    largest = std::max(largest, d);
  }
  return largest;
}

class KeyWords : public testing::TestWithParam<const char*> {};

TEST_P(KeyWords, AreTheMask) {
  ProblemDescription description = describe(GetParam());
  if (description.mask.find("runtime") != std::string::npos)
    description.runtime = {{"far", 9e18}, {"low", -9e18}};
  const Problem problem(description);
  EXPECT_TRUE(codegen::has_keep_words(problem.program(), problem.spec()));
  emulator::Report report;
  const Results actual = run(problem, report);
  const Results expected = problem.reference();
  EXPECT_LE(largest_difference(actual.output, expected.output), 1e-5);
  EXPECT_LE(largest_difference(actual.lse, expected.lse), 1e-5);
}

INSTANTIATE_TEST_SUITE_P(
    All, KeyWords,
    testing::Values(
        "causal()", "q - k < 20 & k <= q", "k == q", "k != q - 3", "!(k < q - 9) | k == 0",
        "q % 2 == 0 ? k <= q : k > q - 7", "(k < 40) == (q < 120)", "(k < 40) != (k + 5 > q)",
        "k - 5 <= q & 70 - k <= q % 50", "window(17, 9) | sink(3)", "head == 0 | k < 64",
        "attention main(runtime far: int, runtime low: int) {\n"
        " mask k <= far & low < k & (k == low | q - k <= far)\n}",
        "attention main(m: tensor<bit>[batch, num_heads, q_len, kv_len]) {\n"
        " mask causal() & (sink(4) | explicit(m))\n}",
        "attention main(m: tensor<bit>[q_len, kv_len]) {\n mask m[q_index + 3, k] ^ k < q\n}"));

TEST(KeyWordsOf, OtherMasksAreNone) {
  for (const char* mask : {"strided(13)", "k // 7 == q // 7", "k * k < q", "((k ^ q) & 21) != 5"}) {
    const Problem problem(describe(mask));
    EXPECT_FALSE(codegen::has_keep_words(problem.program(), problem.spec())) << mask;
  }
}

// The same mask twice, once as what is not known to be an interval: in partial tiles the predicate
// of every element costs several times as much as all the rest.
TEST(KeyWordsOf, CostAFractionOfThePredicate) {
  uint64_t instructions[2];
  const char* masks[2] = {"k <= q", "k <= q & (k ^ q) >= 0"};
  for (int i = 0; i < 2; ++i) {
    ProblemDescription description = describe(masks[i]);
    description.q_len = description.kv_len = 128;
    description.element = MJ_BF16;
    const Problem problem(description);
    EXPECT_EQ(codegen::has_keep_words(problem.program(), problem.spec()), i == 0);
    emulator::Report report;
    run(problem, report);
    instructions[i] = report.counts.warp_instructions;
    for (const char* name : {"integer", "compare", "control", "move"})
      RecordProperty(std::string(name) + (i == 0 ? "_words" : "_elements"),
                     static_cast<int>(report.counts.by_class.at(name)));
    std::cout << masks[i] << ": " << instructions[i] << " instructions of warps\n";
  }
  EXPECT_LT(2 * instructions[0], instructions[1]);
}

}  // namespace
}  // namespace maskjit::conformance
