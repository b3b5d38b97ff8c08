#pragma once
// The op table: the single list from which printer, parser, verifier, interpreter, analysis and
// lowering take their cases. Every op is pure and total: it has a defined result for every operand.
#include <cstdint>
#include <optional>
#include <string_view>

namespace maskjit::ir {

enum class Op : uint8_t {
  // leaves
  Const,      // payload: Scalar
  Variable,   // payload: Var
  Parameter,  // payload: index into Function::params
  Share,      // payload: double; operand int n: floor(share * n) in f64
  // arithmetic, Int x Int -> Int or Float x Float -> Float
  Add,
  Sub,
  Mul,
  Min,
  Max,
  Neg,
  Abs,
  // Int only; x // 0 = 0 and x % 0 = 0; floor semantics as in Python
  FloorDiv,
  FloorMod,
  Shl,  // shift amounts are taken modulo 64
  Shr,  // arithmetic
  // Bool x Bool -> Bool (logical) or Int x Int -> Int (bitwise)
  And,
  Or,
  Xor,
  Not,
  // Float only
  Div,  // IEEE
  Exp,
  Log,
  Tanh,
  Sqrt,
  // Float -> Int, saturating, NaN -> 0
  Floor,
  // Int -> Float
  ToFloat,
  // comparisons of two Int, two Float (IEEE, unordered is false; Ne is true) or (Eq, Ne) two Bool
  Eq,
  Ne,
  Lt,
  Le,
  // Bool x T x T -> T
  Select,
  // payload: tensor index; one Int subscript a dimension; out of range reads 0 / false
  TensorLoad,
  // payload: tensor index; subscripts of the leading dimensions, then lo and hi of the last one:
  // the minimum / maximum over lo..hi inclusive of what TensorLoad gives (an out-of-range subscript
  // counts as 0, lo > hi gives 0). Tile functions only; a Bool tensor counts as Int, 0 or 1.
  TensorMin,
  TensorMax,
  // payload: index of a Bit tensor; subscripts as TensorLoad: the weight of the element, 0 where
  // the bit is
  TensorWeight,
  // payload: index of a Bit tensor of rank 2 or more; subscripts of the leading dimensions, then lo
  // and hi of the last but one and of the last one: is some / every element of the rectangle set?
  // Tile functions only. Kernels may say yes for some and no for every in doubt.
  TensorAny,
  TensorAll,
};
inline constexpr int kNumOps = static_cast<int>(Op::TensorAll) + 1;

struct OpInfo {
  Op op;
  std::string_view name;     // in the text form
  int operands;              // -1: depends on the payload
  std::string_view meaning;  // one line, for the reference page
  bool commutative;
};

const OpInfo& info(Op op);
std::optional<Op> parse_op(std::string_view name);

}  // namespace maskjit::ir
