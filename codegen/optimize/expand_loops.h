#pragma once
// Unrolls the loops that templates mark for it, in one go.
#include <llvm/IR/PassManager.h>

namespace maskjit::codegen {

// Replaces each loop with llvm.loop.unroll.full metadata by its iterations, with nested ones, as
// long as its exit condition is a constant in every iteration; else leaves it as it is. Constants
// are folded on the way, and what they make unreachable is never written. LLVM's own unroller
// rewrites the loop once for each level of a nest and asks ScalarEvolution each time.
struct ExpandLoopsPass : llvm::PassInfoMixin<ExpandLoopsPass> {
  static llvm::PreservedAnalyses run(llvm::Function& function,
                                     llvm::FunctionAnalysisManager& analyses);
};

}  // namespace maskjit::codegen
