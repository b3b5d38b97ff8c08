#pragma once
// Bodies for the device instructions that C++ has no name for (nvptx/common/device.h declares them,
// mj_mma_*, mj_ldmatrix*): LLVM's intrinsics, which the back-end selects like any other
// instruction, where inline assembly would cost it copies of every operand.
namespace llvm {
class Module;
}

namespace maskjit::codegen {

void define_device_instructions(llvm::Module& module);

}  // namespace maskjit::codegen
