#pragma once
// llvm::Module -> bytes of a host object. (load.cpp, without LLVM: bytes -> executable code.)
#include <memory>
#include <string>

#include "codegen/compile.h"
#include "codegen/spec/kernel_spec.h"

namespace llvm {
class Module;
class TargetMachine;
}  // namespace llvm

namespace maskjit::codegen {

std::unique_ptr<llvm::TargetMachine> create_target_machine(const Target& target, int opt_level);

std::string emit_object(llvm::Module& module, llvm::TargetMachine& machine);
std::string emit_assembly(llvm::Module& module, llvm::TargetMachine& machine);

}  // namespace maskjit::codegen
