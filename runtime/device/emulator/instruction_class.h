#pragma once
// The class under which an instruction is counted.
#include <string_view>

#include "runtime/device/emulator/program.h"

namespace maskjit::emulator {

// Does `detail` of such an instruction name a MemoryAccess?
bool reads_access(Kind kind);
// access: of the instruction, or null.
std::string_view class_of(const Instruction& instruction, const MemoryAccess* access);

}  // namespace maskjit::emulator
