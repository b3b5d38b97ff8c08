#include "masker_dsl/check/builder.h"

#include <array>
#include <cmath>
#include <limits>

namespace maskjit::check {

using ir::Op;
using ir::Scalar;
using ir::Type;
using ir::Value;

namespace {

constexpr int64_t kMin = std::numeric_limits<int64_t>::min();

int64_t floor_div(int64_t a, int64_t b) {
  const int64_t quotient = a / b;
  return a % b != 0 && (a < 0) != (b < 0) ? quotient - 1 : quotient;
}

}  // namespace

std::optional<Scalar> Builder::constant_of(Value value) const {
  const ir::Node& node = function_.node(value);
  if (node.op != Op::Const) return std::nullopt;
  return node.constant;
}

Value Builder::track(Value value) {
  if (value.id < depths_.size() && depths_[value.id] != 0) return value;
  uint32_t depth = 0;
  for (const Value operand : function_.node(value).operands) {
    if (operand.id < depths_.size()) depth = std::max(depth, depths_[operand.id]);
  }
  if (value.id >= depths_.size()) depths_.resize(value.id + 1, 0);
  depths_[value.id] = depth + 1;
  if (depth >= kMaxDepth || function_.size() > kMaxNodes) problem_ = Problem::TooLarge;
  return value;
}

std::optional<Scalar> Builder::fold(Op op, const Scalar& a, const Scalar& b) {
  if (a.type == Type::Float && b.type == Type::Float) {
    switch (op) {
      case Op::Add:
        return Scalar::of_float(a.real + b.real);
      case Op::Sub:
        return Scalar::of_float(a.real - b.real);
      case Op::Mul:
        return Scalar::of_float(a.real * b.real);
      case Op::Div:
        return Scalar::of_float(a.real / b.real);
      default:
        return std::nullopt;
    }
  }
  if (a.type != Type::Int || b.type != Type::Int) return std::nullopt;
  const int64_t x = a.integer, y = b.integer;
  int64_t result = 0;
  bool overflow = false;
  switch (op) {
    case Op::Add:
      overflow = __builtin_add_overflow(x, y, &result);
      break;
    case Op::Sub:
      overflow = __builtin_sub_overflow(x, y, &result);
      break;
    case Op::Mul:
      overflow = __builtin_mul_overflow(x, y, &result);
      break;
    case Op::FloorDiv:
      overflow = x == kMin && y == -1;
      result = y == 0 || overflow ? 0 : floor_div(x, y);
      break;
    case Op::FloorMod:
      result = y == 0 || y == -1 ? 0 : x - floor_div(x, y) * y;
      break;
    case Op::Min:
      result = std::min(x, y);
      break;
    case Op::Max:
      result = std::max(x, y);
      break;
    case Op::And:
      result = x & y;
      break;
    case Op::Or:
      result = x | y;
      break;
    case Op::Xor:
      result = x ^ y;
      break;
    case Op::Shl:
      result = static_cast<int64_t>(static_cast<uint64_t>(x) << (y & 63));
      break;
    case Op::Shr:
      result = x >> (y & 63);
      break;
    default:
      return std::nullopt;
  }
  if (overflow) {
    problem_ = Problem::Overflow;
    return Scalar::of_int(0);
  }
  return Scalar::of_int(result);
}

Value Builder::binary(Op op, Value a, Value b) {
  const std::optional<Scalar> x = constant_of(a), y = constant_of(b);
  const bool divides = op == Op::FloorDiv || op == Op::FloorMod;
  const bool shifts = op == Op::Shl || op == Op::Shr;
  if (y && divides && y->integer == 0) problem_ = Problem::DivisionByZero;
  if (y && shifts && (y->integer < 0 || y->integer > 63)) problem_ = Problem::ShiftOutOfRange;
  if (x && y) {
    if (const std::optional<Scalar> folded = fold(op, *x, *y)) return constant(*folded);
  }
  return track(function_.binary(op, a, b));
}

Value Builder::unary(Op op, Value a) {
  if (const std::optional<Scalar> x = constant_of(a)) {
    const bool is_int = x->type == Type::Int;
    if (is_int && (op == Op::Neg || op == Op::Abs) && x->integer == kMin) {
      problem_ = Problem::Overflow;
      return constant(Scalar::of_int(0));
    }
    if (op == Op::Neg)
      return constant(is_int ? Scalar::of_int(-x->integer) : Scalar::of_float(-x->real));
    if (op == Op::Abs) {
      return constant(is_int ? Scalar::of_int(std::abs(x->integer))
                             : Scalar::of_float(std::fabs(x->real)));
    }
    if (op == Op::Not && is_int) return constant(Scalar::of_int(~x->integer));
    if (op == Op::ToFloat && is_int)
      return constant(Scalar::of_float(static_cast<double>(x->integer)));
  }
  return track(function_.unary(op, a));
}

Value Builder::select(Value condition, Value a, Value b) {
  return track(function_.select(condition, a, b));
}

Value Builder::load(uint32_t tensor, const std::vector<Value>& subscripts) {
  return track(function_.tensor_op(Op::TensorLoad, tensor, subscripts));
}

Value Builder::to_float(Value value) {
  return type(value) == Type::Int ? unary(Op::ToFloat, value) : value;
}

}  // namespace maskjit::check
