#pragma once
// The decoded form of an instruction: what the executor reads.
//
// Operands are slots: byte offsets into the register file of a warp, where a value is a vector of
// its 32 lanes (u16, u32 or u64) and a predicate is one 32-bit mask. Constants, addresses of
// variables and special registers have slots like registers, filled before a launch. Until the
// slots are assigned (control_flow.h), operands are the numbers of Values.
#include <cstddef>
#include <cstdint>

#include "runtime/device/emulator/scalar_type.h"

namespace maskjit::emulator {

inline constexpr int kLanes = 32;
inline constexpr uint32_t kAllLanes = 0xFFFFFFFFu;
inline constexpr uint32_t kNone = 0xFFFFFFFFu;  // no operand, no instruction

// Arithmetic: every lane on its own, nothing but registers.
enum class AluOp : uint8_t {
  Mov,
  Add,
  Sub,
  Mul,
  MulHi,
  MulWide,
  Mad,
  MadHi,
  MadWide,
  Div,
  Rem,
  Abs,
  Neg,
  Min,
  Max,
  Sad,
  AddCarry,
  SubCarry,
  MadCarryLo,
  MadCarryHi,
  And,
  Or,
  Xor,
  Not,
  CNot,
  Shl,
  Shr,
  FunnelLeft,
  FunnelRight,
  Lop3,
  Permute,
  BitFieldExtract,
  BitFieldInsert,
  FindLeadingOne,
  ReverseBits,
  CountOnes,
  CountLeadingZeros,
  BitMask,
  DotProduct4,
  DotProduct2,
  Fma,
  Sqrt,
  Rsqrt,
  Rcp,
  Ex2,
  Lg2,
  Sin,
  Cos,
  Tanh,
  CopySign,
  TestProperty,
  SetPredicate,
  Set,
  Select,
  SelectBySign,
  Convert,
  ConvertPacked,
  Pack,
  Unpack,
  IsSpace,
  AddAddress,
};

enum class Kind : uint8_t {
  Alu,
  // Control
  Jump,
  JumpTable,
  Call,
  Return,
  Exit,
  Trap,
  // Memory
  Load,
  Store,
  Atomic,
  Reduce,
  LoadMatrix,
  StoreMatrix,
  Prefetch,
  // Asynchronous copies and barriers in shared memory
  CopyAsync,
  CopyCommit,
  CopyWait,
  CopyArrive,
  BarrierInit,
  BarrierInvalidate,
  BarrierArrive,
  BarrierExpect,
  BarrierTest,
  BarrierPending,
  // Warp and CTA
  Barrier,
  WarpBarrier,
  Shuffle,
  Vote,
  Match,
  ActiveMask,
  WarpReduce,
  Elect,
  MoveMatrix,
  MultiplyMatrix,
  Fence,
  Sleep,
  Clock,
  Nothing,
};

enum class Rounding : uint8_t { Nearest, Zero, Down, Up, NearestAway };
enum class Compare : uint8_t {
  Eq,
  Ne,
  Lt,
  Le,
  Gt,
  Ge,
  Equ,
  Neu,
  Ltu,
  Leu,
  Gtu,
  Geu,
  Number,
  NaN,
};
enum class BoolOp : uint8_t { None, And, Or, Xor };
enum class TestKind : uint8_t { Finite, Infinite, Number, NotANumber, Normal, Subnormal };

struct Modes {
  Rounding rounding = Rounding::Nearest;
  Compare compare = Compare::Eq;
  BoolOp combine = BoolOp::None;
  bool integral = false;  // cvt.rni, .rzi, ...
  bool flush = false;     // .ftz
  bool saturate = false;  // .sat, .satfinite
  bool nan = false;       // min.NaN, max.NaN
  bool xor_sign = false;  // .xorsign.abs
  bool relu = false;
  bool approximate = false;
  bool wrap = false;  // shf.wrap
  bool carry_in = false, carry_out = false;
  bool negate_combined = false;  // setp with !c
};

struct Instruction;
// Executes one instruction of kind Alu for the lanes of `mask`, which is not 0.
using AluFunction = void (*)(std::byte* registers, uint32_t mask, const Instruction& instruction);

struct Instruction {
  AluFunction alu = nullptr;
  Kind kind = Kind::Nothing;
  AluOp op = AluOp::Mov;
  ScalarType type = ScalarType::B32, source_type = ScalarType::B32;
  Modes modes;
  bool guard_negated = false;
  bool checked = false;         // some register may be read before it is written
  uint8_t defs = 0, arity = 0;  // operands[0 .. defs) are written, [defs .. arity) read
  uint32_t guard = kNone;
  uint32_t operands[6] = {kNone, kNone, kNone, kNone, kNone, kNone};
  uint32_t immediate = 0;   // look-up table of lop3, mode of prmt, ...
  uint32_t target = kNone;  // of a jump; index of a callee
  uint32_t join = kNone;    // where the lanes of a divergent jump meet again
  uint32_t detail = kNone;  // index into a table of the function, by kind
  // More operands, in Function::lists: [list, list + list_defs) written, the rest read.
  uint32_t list = 0;
  uint16_t list_defs = 0, list_size = 0;
};

enum class MatrixType : uint8_t { F16, BF16, TF32, S8, U8 };

struct MatrixShape {
  uint8_t m = 16, n = 8, k = 16;
  MatrixType a = MatrixType::F16, b = MatrixType::F16;
  bool half_accumulator = false;  // C and D in f16
  bool integer = false, saturate = false;
  uint8_t a_registers = 4, b_registers = 2, c_registers = 4;
};

}  // namespace maskjit::emulator
