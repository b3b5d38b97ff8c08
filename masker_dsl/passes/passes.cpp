#include "masker_dsl/passes/passes.h"

#include <array>

#include "masker_dsl/ir/text.h"
#include "masker_dsl/passes/fold.h"
#include "masker_dsl/passes/narrow.h"
#include "masker_dsl/passes/separate.h"
#include "masker_dsl/passes/simplify.h"

namespace maskjit::passes {
namespace {

// Constants first, because the other passes look for them. Local identities next, so that narrow
// and separate see few forms of the same thing. Narrow before separate: a comparison that ranges
// decide need not be rearranged. Simplify again for what these two leave.
constexpr std::array<PassInfo, 5> kPipeline = {{
    {"fold", "evaluates ops on constants", fold},
    {"simplify", "applies local identities", simplify},
    {"narrow", "uses value ranges to decide comparisons and drop clamps", narrow},
    {"separate", "gathers what depends on the key on one side of a comparison", separate},
    {"simplify", "applies local identities to the rearranged comparisons", simplify},
}};

// Far more than real programs need; stops a pair of passes that undo each other.
constexpr int kMaxRounds = 32;

}  // namespace

std::span<const PassInfo> pipeline() { return kPipeline; }

ir::Function run_pipeline(const ir::Function& function, int limit) {
  ir::Function current = ir::compact(function, false);
  int runs = 0;
  for (int round = 0; round < kMaxRounds; ++round) {
    const std::string before = ir::print(current);
    for (const PassInfo& pass : kPipeline) {
      if (limit >= 0 && runs >= limit) return current;
      current = pass.run(current);
      ++runs;
    }
    if (ir::print(current) == before) break;
  }
  return current;
}

}  // namespace maskjit::passes
