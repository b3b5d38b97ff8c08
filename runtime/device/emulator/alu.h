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

// mma of floating-point matrices. slots: those of D, A, B and C, as many as the shape says. Each
// sum of products is a chain of fused multiply-adds in f32, ascending in k.
using MultiplyFunction = void (*)(std::byte* registers, const MatrixShape& shape,
                                  const uint32_t* slots);

// The handler of an instruction, by its op, types, modes and immediate; null if there is none.
AluFunction find_alu(const Instruction& instruction);
MultiplyFunction matrix_multiply();
// Instruction sets that alu.inc was compiled for and this CPU has, the best last.
int alu_levels();
MultiplyFunction matrix_multiply_at(int level);
// For tests: the handler of one of them.
AluFunction find_alu_at(int level, const Instruction& instruction);

}  // namespace maskjit::emulator
