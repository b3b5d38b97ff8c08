#include "masker_dsl/passes/simplify.h"

#include "masker_dsl/passes/fold.h"
#include "masker_dsl/passes/rewrite.h"
#include "masker_dsl/passes/simplifier.h"

namespace maskjit::passes {

using ir::Op;
using ir::Type;
using ir::Value;

std::optional<int64_t> Simplifier::integer(Value v) const {
  const ir::Node& node = function_[v];
  if (node.op != Op::Const || node.type == Type::Float) return std::nullopt;
  return node.constant.integer;
}

std::optional<double> Simplifier::real(Value v) const {
  const ir::Node& node = function_[v];
  if (node.op != Op::Const || node.type != Type::Float) return std::nullopt;
  return node.constant.real;
}

bool Simplifier::match(Value v, Op op, Value& x) const {
  const ir::Node& node = function_[v];
  if (node.op != op) return false;
  x = node.operands[0];
  return true;
}

bool Simplifier::match(Value v, Op op, Value& x, Value& y) const {
  const ir::Node& node = function_[v];
  if (node.op != op) return false;
  x = node.operands[0];
  y = node.operands[1];
  return true;
}

bool Simplifier::match_constant(Value v, Op op, Value& x, int64_t& c) const {
  Value a, b;
  if (!match(v, op, a, b)) return false;
  if (op == Op::Sub) std::swap(a, b);
  if (op != Op::Sub) order(a, b);
  const std::optional<int64_t> constant = integer(b);
  if (!constant) return false;
  x = a;
  c = *constant;
  return true;
}

void Simplifier::order(Value& a, Value& b) const {
  if (is_const(a) && !is_const(b)) std::swap(a, b);
}

Value Simplifier::build(Op op, Value a, Value b, Value c) {
  ir::Node like;
  like.op = op;
  const Value operands[] = {a, b, c};
  return rebuild(like, std::span(operands, static_cast<size_t>(ir::info(op).operands)));
}

Value Simplifier::rebuild(const ir::Node& like, std::span<const Value> operands) {
  if (auto constant = folded(function_, like, operands)) return function_.constant(*constant);
  auto operand = [&](size_t i) { return i < operands.size() ? operands[i] : Value{}; };
  const Value replacement = rule(like, operand(0), operand(1), operand(2));
  return replacement.valid() ? replacement : function_.rebuild(like, operands);
}

Value Simplifier::rule(const ir::Node& like, Value a, Value b, Value c) {
  switch (like.op) {
    case Op::Const:
    case Op::Variable:
    case Op::Parameter:
    case Op::Exp:
    case Op::Log:
    case Op::Tanh:
    case Op::Sqrt:
    case Op::Floor:
    case Op::ToFloat:
    case Op::TensorLoad:
      return {};
    case Op::Share:
      return like.constant.real == 0 ? function_.constant_int(0) : Value{};
    case Op::Add:
      return is_float(a) ? add_float(a, b) : add(a, b);
    case Op::Sub:
      return is_float(a) ? sub_float(a, b) : sub(a, b);
    case Op::Mul:
      return is_float(a) ? mul_float(a, b) : mul(a, b);
    case Op::Min:
    case Op::Max:
      return min_max(like.op, a, b);
    case Op::Neg:
      return neg(a);
    case Op::Abs:
      return abs(a);
    case Op::FloorDiv:
      return floor_div(a, b);
    case Op::FloorMod:
      return floor_mod(a, b);
    case Op::Shl:
    case Op::Shr:
      return shift(like.op, a, b);
    case Op::And:
    case Op::Or:
      return function_.type(a) == Type::Bool ? and_or(like.op, a, b) : bitwise(like.op, a, b);
    case Op::Xor:
      return function_.type(a) == Type::Bool ? exclusive_or(a, b) : bitwise(like.op, a, b);
    case Op::Not:
      return invert(a);
    case Op::Div:
      return div(a, b);
    case Op::Eq:
    case Op::Ne:
      return equal(like.op, a, b);
    case Op::Lt:
    case Op::Le:
      return less(like.op, a, b);
    case Op::Select:
      return select(a, b, c);
    case Op::TensorMin:
    case Op::TensorMax:
    case Op::TensorWeight:
    case Op::TensorAny:
    case Op::TensorAll:
      return {};
  }
  return {};
}

namespace {

// lo..hi of one element is that element. Bool tensors stay: their minimum is an Int.
bool is_single_element(const ir::Function& function, const ir::Node& like,
                       std::span<const Value> operands) {
  if (like.op != Op::TensorMin && like.op != Op::TensorMax) return false;
  return operands[operands.size() - 1] == operands[operands.size() - 2] &&
         ir::value_type(function.tensors()[like.index].element) != Type::Bool;
}

ir::Function sweep(const ir::Function& function) {
  return rewrite(function, [](const Visit& visit) {
    if (is_single_element(visit.out, visit.node, visit.operands)) {
      return visit.out.tensor_op(Op::TensorLoad, visit.node.index,
                                 visit.operands.first(visit.operands.size() - 1));
    }
    return Simplifier(visit.out).rebuild(visit.node, visit.operands);
  });
}

}  // namespace

ir::Function simplify(const ir::Function& function) { return to_fixed_point(function, sweep); }

}  // namespace maskjit::passes
