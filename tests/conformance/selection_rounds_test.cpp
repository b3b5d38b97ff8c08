// Rounds of queries give what one round gives, bit for bit.
#include <gtest/gtest.h>

#include "codegen/spec/device_templates.h"
#include "tests/conformance/emulator_launch.h"

namespace maskjit::conformance {
namespace {

TEST(SelectionRounds, AgreeWithOneRound) {
  ProblemDescription description;
  description.mask = "causal() & (sink(2) then top_k(9) then random(0.2))";
  description.num_heads = 2;
  description.q_len = 100;
  description.kv_len = 90;
  description.head_dim = 16;
  description.sequence = true;
  const Problem problem(description);
  const codegen::Target target = *codegen::Target::parse("sm_80");
  const codegen::KernelSpec spec =
      *codegen::select_template(problem.program(), problem.spec(), target).spec;
  ASSERT_EQ(spec.template_name, "nvptx/select_forward");
  ASSERT_LT(spec.tile_q, 100);
  emulator::Report one_round, rounds;
  const Results expected = run_on_emulator(problem, spec, target, 1, one_round);
  ASSERT_TRUE(one_round.ok()) << one_round.fault->render();
  const Results actual = run_on_emulator(problem, spec, target, 1, rounds, 1);
  ASSERT_TRUE(rounds.ok()) << rounds.fault->render();
  EXPECT_EQ(actual.output, expected.output);
  EXPECT_EQ(actual.lse, expected.lse);
  EXPECT_EQ(actual.denominator, expected.denominator);
}

}  // namespace
}  // namespace maskjit::conformance
