#pragma once
// Handlers of arithmetic instructions, over the 32 lanes of a warp at once.
//
// alu.inc is compiled once for each instruction set of the host that is worth it; find_alu gives
// the handler for the best one that this CPU has.
#include "runtime/device/emulator/instruction.h"

namespace maskjit::emulator {

// Registers of a function start with this header; slots count from its beginning.
struct RegisterHeader {
  uint32_t carry = 0;  // condition code CC.CF, one bit a lane
};
inline constexpr uint32_t kRegisterHeaderBytes = 256;

// acc[16][8] += a[16][k] * b[k][8], each sum one fused multiply-add after the other, k ascending.
using MultiplyFunction = void (*)(float* acc, const float* a, const float* b, int k);

// The handler of an instruction, by its op, types, modes and immediate; null if there is none.
AluFunction find_alu(const Instruction& instruction);
MultiplyFunction matrix_multiply();
// Instruction sets that alu.inc was compiled for and this CPU has, the best last.
int alu_levels();
// For tests: the handler of one of them.
AluFunction find_alu_at(int level, const Instruction& instruction);

}  // namespace maskjit::emulator
