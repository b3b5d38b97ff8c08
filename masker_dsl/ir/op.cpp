#include "masker_dsl/ir/op.h"

#include <array>

namespace maskjit::ir {
namespace {

constexpr std::array<OpInfo, kNumOps> kOps = {{
    {Op::Const, "const", 0, "a constant", false},
    {Op::Variable, "var", 0, "an element's position or score, a launch size, or a tile bound",
     false},
    {Op::Parameter, "param", 0, "a parameter of the function", false},
    {Op::Share, "share", 1, "floor(share * n) in f64, saturating; the share is a constant", false},
    {Op::Add, "add", 2, "a + b; Int wraps", true},
    {Op::Sub, "sub", 2, "a - b; Int wraps", false},
    {Op::Mul, "mul", 2, "a * b; Int wraps", true},
    {Op::Min, "min", 2, "the smaller; Float: a NaN operand gives the other one, and -0 < +0", true},
    {Op::Max, "max", 2, "the larger; Float: a NaN operand gives the other one, and -0 < +0", true},
    {Op::Neg, "neg", 1, "-a; Int wraps", false},
    {Op::Abs, "abs", 1, "|a|; Int wraps, so that abs of the least Int is itself", false},
    {Op::FloorDiv, "floor_div", 2,
     "floor(a / b); a // 0 is 0, and the least Int // -1 wraps to itself", false},
    {Op::FloorMod, "floor_mod", 2, "a - b * floor(a / b), with the sign of b; a % 0 is 0", false},
    {Op::Shl, "shl", 2, "a << (b mod 64), wraps", false},
    {Op::Shr, "shr", 2, "a >> (b mod 64), arithmetic", false},
    {Op::And, "and", 2, "Bool: logical and; Int: bitwise and", true},
    {Op::Or, "or", 2, "Bool: logical or; Int: bitwise or", true},
    {Op::Xor, "xor", 2, "Bool: exclusive or; Int: bitwise exclusive or", true},
    {Op::Not, "not", 1, "Bool: logical not; Int: bitwise complement", false},
    {Op::Div, "div", 2, "a / b, IEEE", false},
    {Op::Exp, "exp", 1, "e to the power of a", false},
    {Op::Log, "log", 1, "natural logarithm; -inf at 0, NaN below", false},
    {Op::Tanh, "tanh", 1, "hyperbolic tangent", false},
    {Op::Sqrt, "sqrt", 1, "square root; NaN below 0", false},
    {Op::Floor, "floor", 1, "the largest Int not above a; saturates, NaN gives 0", false},
    {Op::ToFloat, "to_float", 1, "the nearest Float", false},
    {Op::Eq, "eq", 2, "a == b; Float: false if unordered", true},
    {Op::Ne, "ne", 2, "a != b; Float: true if unordered", true},
    {Op::Lt, "lt", 2, "a < b; Float: false if unordered", false},
    {Op::Le, "le", 2, "a <= b; Float: false if unordered", false},
    {Op::Select, "select", 3, "condition ? a : b", false},
    {Op::TensorLoad, "tensor_load", -1,
     "the element at the subscripts; a dimension of extent 1 broadcasts, out of range reads 0",
     false},
    {Op::TensorMin, "tensor_min", -1,
     "minimum of tensor_load over lo..hi (the last two operands) of the last dimension; 0 if lo > "
     "hi",
     false},
    {Op::TensorMax, "tensor_max", -1,
     "maximum of tensor_load over lo..hi (the last two operands) of the last dimension; 0 if lo > "
     "hi",
     false},
    {Op::TensorWeight, "tensor_weight", -1,
     "the weight of an element of a bit tensor, subscripts as tensor_load; 0 where the bit is",
     false},
    {Op::TensorAny, "tensor_any", -1,
     "is some tensor_load true over lo..hi of the last two dimensions of a bit tensor?", false},
    {Op::TensorAll, "tensor_all", -1,
     "is every tensor_load true over lo..hi of the last two dimensions of a bit tensor?", false},
}};

constexpr bool table_is_in_order() {
  for (int i = 0; i < kNumOps; ++i) {
    if (static_cast<int>(kOps[static_cast<size_t>(i)].op) != i) return false;
  }
  return true;
}
static_assert(table_is_in_order());

}  // namespace

const OpInfo& info(Op op) { return kOps[static_cast<size_t>(op)]; }

std::optional<Op> parse_op(std::string_view name) {
  for (const OpInfo& entry : kOps) {
    if (entry.name == name) return entry.op;
  }
  return std::nullopt;
}

}  // namespace maskjit::ir
