#pragma once
// KernelSpec -> one llvm::Module with nothing undefined but memory intrinsics: links the template,
// its matrix unit and the support functions, defines the specialisation constants and hooks,
// rewrites target attributes (clang stamps them on every function and they win over the target
// machine's), and makes everything internal but the entry points.
#include <memory>
#include <string>

#include "codegen/spec/kernel_spec.h"
#include "masker_dsl/analysis/tile_analysis.h"

namespace llvm {
class LLVMContext;
class Module;
}  // namespace llvm

namespace maskjit::codegen {

struct TargetAttributes {
  std::string cpu;       // "x86-64-v4"
  std::string features;  // "+avx512bf16,..."
  std::string tune;      // scheduling model
};
TargetAttributes attributes_of(const Target& target);

// The linked template before anything is specialised.
std::unique_ptr<llvm::Module> link_template(const KernelSpec& spec, llvm::LLVMContext& context);

// Constants, hooks, attributes and linkage.
void specialise(const ir::Program& program, const analysis::TileFunctions& tiles,
                const KernelSpec& spec, const Target& target, llvm::Module& module);

}  // namespace maskjit::codegen
