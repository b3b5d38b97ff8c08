#pragma once
// Runs LLVM's passes over an instantiated module. Level 0 only inlines what must be inlined; level
// 3 is the pipeline for kernels.
namespace llvm {
class Module;
class TargetMachine;
}  // namespace llvm

namespace maskjit::codegen {

// `pass_limit` >= 0 stops after so many passes (bisection).
void optimize(llvm::Module& module, llvm::TargetMachine& machine, int level, int pass_limit = -1);

}  // namespace maskjit::codegen
