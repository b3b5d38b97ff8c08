// Rules for Bools, bits, comparisons and Select.
#include <limits>

#include "masker_dsl/ir/evaluate.h"
#include "masker_dsl/passes/simplifier.h"

namespace maskjit::passes {

using ir::Op;
using ir::Type;
using ir::Value;

namespace {
constexpr int64_t kLeast = std::numeric_limits<int64_t>::min();
constexpr int64_t kGreatest = std::numeric_limits<int64_t>::max();
// How deep De Morgan's rules look for a negation that costs nothing.
constexpr int kNegationDepth = 4;
// How deep a condition is looked for in the other side of an And or Or, and how deep its parts are
// taken.
constexpr int kAssumptionDepth = 4;
constexpr int kFactDepth = 3;
}  // namespace

Value Simplifier::bitwise(Op op, Value a, Value b) {
  if (a == b) return op == Op::Xor ? function_.constant_int(0) : a;
  order(a, b);
  Value x, y;
  for (auto [p, q] : {std::pair(a, b), std::pair(b, a)}) {
    if (!match(p, op, x, y) || (x != q && y != q)) continue;
    return op == Op::Xor ? (x == q ? y : x) : p;
  }
  const auto constant = integer(b);
  if (!constant) return {};
  if (*constant == 0) return op == Op::And ? b : a;
  if (*constant == -1) {
    return op == Op::And ? a : op == Op::Or ? b : build(Op::Not, a);
  }
  int64_t c = 0;
  if (match_constant(a, op, x, c)) return build(op, x, build(op, function_.constant_int(c), b));
  return {};
}

Value Simplifier::free_negation(Value a, int depth) {
  const Op op = function_[a].op;
  Value x, y;
  switch (op) {
    case Op::Const:
      return function_.constant_bool(integer(a) == 0);
    case Op::Not:
      match(a, op, x);
      return x;
    case Op::Eq:
    case Op::Ne:
      match(a, op, x, y);
      return build(op == Op::Eq ? Op::Ne : Op::Eq, x, y);
    case Op::Xor:
      match(a, op, x, y);
      return build(Op::Eq, x, y);
    case Op::Lt:
    case Op::Le:
      match(a, op, x, y);
      if (is_float(x)) return {};
      return build(op == Op::Lt ? Op::Le : Op::Lt, y, x);
    case Op::And:
    case Op::Or: {
      if (depth == 0) return {};
      match(a, op, x, y);
      const Value p = free_negation(x, depth - 1);
      if (!p.valid()) return {};
      const Value q = free_negation(y, depth - 1);
      return q.valid() ? build(op == Op::And ? Op::Or : Op::And, p, q) : Value{};
    }
    default:
      return {};
  }
}

Value Simplifier::negation(Value a) {
  const Op op = function_[a].op;
  const Value free = op == Op::And || op == Op::Or ? Value{} : free_negation(a, 0);
  return free.valid() ? free : function_.unary(Op::Not, a);
}

Value Simplifier::assume(Value v, const Fact& fact, int depth) {
  if (v == fact.condition) return function_.constant_bool(fact.truth);
  if (v == fact.negation) return function_.constant_bool(!fact.truth);
  const Op op = function_[v].op;
  if (depth == 0 || function_.type(v) != Type::Bool) return v;
  if (op != Op::And && op != Op::Or && op != Op::Not) return v;
  const std::vector<Value> operands = function_[v].operands;
  const Value a = assume(operands[0], fact, depth - 1);
  if (op == Op::Not) return a == operands[0] ? v : build(Op::Not, a);
  const Value b = assume(operands[1], fact, depth - 1);
  return a == operands[0] && b == operands[1] ? v : build(op, a, b);
}

Value Simplifier::assume_all(Op op, Value facts, Value v, int depth) {
  Value x, y;
  if (depth > 0 && match(facts, op, x, y)) {
    v = assume_all(op, x, v, depth - 1);
    return assume_all(op, y, v, depth - 1);
  }
  return assume(v, {facts, negation(facts), op == Op::And}, kAssumptionDepth);
}

// x < c and x < d, c < x and d < x.
Value Simplifier::join_bounds(Op op, Value a, Value b) {
  Value x, y, p, q;
  if (!match(a, Op::Lt, x, y) || !match(b, Op::Lt, p, q)) return {};
  auto pick = [&](Value u, Value v, bool least) {
    return (*integer(u) < *integer(v)) == least ? u : v;
  };
  if (x == p && integer(y) && integer(q)) {
    return build(Op::Lt, x, pick(y, q, op == Op::And));
  }
  if (y == q && integer(x) && integer(p)) {
    return build(Op::Lt, pick(x, p, op == Op::Or), y);
  }
  return {};
}

// Written for And; Or is its dual.
Value Simplifier::and_or(Op op, Value a, Value b) {
  if (a == b) return a;
  order(a, b);
  if (const auto constant = integer(b)) return (*constant != 0) == (op == Op::And) ? a : b;
  if (negation(a) == b) return function_.constant_bool(op == Op::Or);
  // a & b is a & (b where a is true): absorption, repeated and contradicting conditions.
  if (const Value v = assume_all(op, a, b, kFactDepth); v != b) return build(op, a, v);
  if (const Value v = assume_all(op, b, a, kFactDepth); v != a) return build(op, v, b);
  if (const Value v = join_bounds(op, a, b); v.valid()) return v;
  const Op dual = op == Op::And ? Op::Or : Op::And;
  Value p, q, r, s;
  if (match(a, Op::Not, p) && match(b, Op::Not, q)) return build(Op::Not, build(dual, p, q));
  if (match(a, dual, p, q) && match(b, dual, r, s)) {
    if (p == s || q == s) std::swap(r, s);
    if (q == r) std::swap(p, q);
    if (p == r) return build(dual, p, build(op, q, s));
  }
  return {};
}

Value Simplifier::exclusive_or(Value a, Value b) {
  if (a == b) return function_.constant_bool(false);
  order(a, b);
  Value x;
  if (is_true(b)) return build(Op::Not, a);
  if (is_false(b)) return a;
  if (match(a, Op::Not, x)) return build(Op::Eq, x, b);
  if (match(b, Op::Not, x)) return build(Op::Eq, a, x);
  if (negation(a) == b) return function_.constant_bool(true);
  return {};
}

Value Simplifier::invert(Value a) {
  if (function_.type(a) == Type::Bool) return free_negation(a, kNegationDepth);
  Value x;
  return match(a, Op::Not, x) ? x : Value{};
}

// Eq and Ne. The Int rules hold modulo 2^64.
Value Simplifier::equal(Op op, Value a, Value b) {
  const Type type = function_.type(a);
  if (type == Type::Float) return {};
  if (a == b) return function_.constant_bool(op == Op::Eq);
  order(a, b);
  Value x, y, p, q;
  if (type == Type::Bool) {
    if (op == Op::Ne) return build(Op::Xor, a, b);
    if (is_true(b)) return a;
    if (is_false(b)) return build(Op::Not, a);
    if (match(a, Op::Not, x)) return build(Op::Xor, x, b);
    if (match(b, Op::Not, x)) return build(Op::Xor, a, x);
    if (negation(a) == b) return function_.constant_bool(false);
    return {};
  }
  int64_t c = 0;
  if (const auto constant = integer(b)) {
    if (match_constant(a, Op::Add, x, c)) {
      return build(op, x, function_.constant_int(ir::wrapping_sub(*constant, c)));
    }
    if (match_constant(a, Op::Sub, x, c)) {
      return build(op, x, function_.constant_int(ir::wrapping_sub(c, *constant)));
    }
    if (*constant == 0 && match(a, Op::Sub, x, y)) return build(op, x, y);
    if (match(a, Op::Neg, x)) {
      return build(op, x, function_.constant_int(ir::wrapping_sub(0, *constant)));
    }
    return {};
  }
  if (match(a, Op::Neg, x) && match(b, Op::Neg, y)) return build(op, x, y);
  if (match(a, Op::Add, x, y) && match(b, Op::Add, p, q)) {
    if (x == q || y == q) std::swap(p, q);
    if (y == p) std::swap(x, y);
    if (x == p) return build(op, y, q);
  }
  if (match(a, Op::Sub, x, y) && match(b, Op::Sub, p, q)) {
    if (x == p) return build(op, y, q);
    if (y == q) return build(op, x, p);
  }
  return {};
}

// Lt and Le.
Value Simplifier::less(Op op, Value a, Value b) {
  const bool ints = function_.type(a) == Type::Int;
  if (a == b && (ints || op == Op::Lt)) return function_.constant_bool(op == Op::Le);
  if (!ints) return {};
  if (const auto c = integer(b)) {
    if (op == Op::Lt) return *c == kLeast ? function_.constant_bool(false) : Value{};
    if (*c == kGreatest) return function_.constant_bool(true);
    return build(Op::Lt, a, function_.constant_int(*c + 1));
  }
  if (const auto c = integer(a)) {
    if (op == Op::Lt) return *c == kGreatest ? function_.constant_bool(false) : Value{};
    if (*c == kLeast) return function_.constant_bool(true);
    return build(Op::Lt, function_.constant_int(*c - 1), b);
  }
  return {};
}

Value Simplifier::select(Value condition, Value a, Value b) {
  if (const auto constant = integer(condition)) return *constant != 0 ? a : b;
  if (a == b) return a;
  Value x, y;
  if (match(condition, Op::Not, x)) return build(Op::Select, x, b, a);
  const ir::Node& first = function_[a];
  if (first.op == Op::Select && first.operands[0] == condition) {
    return build(Op::Select, condition, first.operands[1], b);
  }
  const ir::Node& second = function_[b];
  if (second.op == Op::Select && second.operands[0] == condition) {
    return build(Op::Select, condition, a, second.operands[2]);
  }
  const Type type = function_.type(a);
  if (type == Type::Bool) {
    if (a == condition || is_true(a)) return build(Op::Or, condition, b);
    if (b == condition || is_false(b)) return build(Op::And, condition, a);
    if (is_false(a)) return build(Op::And, build(Op::Not, condition), b);
    if (is_true(b)) return build(Op::Or, build(Op::Not, condition), a);
  }
  if (type == Type::Int && (match(condition, Op::Lt, x, y) || match(condition, Op::Le, x, y))) {
    if (a == x && b == y) return build(Op::Min, x, y);
    if (a == y && b == x) return build(Op::Max, x, y);
  }
  return {};
}

}  // namespace maskjit::passes
