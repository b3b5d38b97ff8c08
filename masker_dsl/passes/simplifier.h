#pragma once
// The rules of the simplify pass, as a builder: build() gives the simplified form of an op on
// operands that are simplified themselves. A rule returns the replacement or an invalid value.
#include <optional>

#include "masker_dsl/ir/function.h"

namespace maskjit::passes {

class Simplifier {
 public:
  explicit Simplifier(ir::Function& function) : function_(function) {}

  ir::Value rebuild(const ir::Node& like, std::span<const ir::Value> operands);

 private:
  using Value = ir::Value;
  using Op = ir::Op;

  Value build(Op op, Value a, Value b = {}, Value c = {});
  Value rule(const ir::Node& like, Value a, Value b, Value c);

  // simplify_arithmetic.cpp
  Value add(Value a, Value b);
  Value add_float(Value a, Value b);
  Value sub(Value a, Value b);
  Value sub_float(Value a, Value b);
  Value mul(Value a, Value b);
  Value mul_float(Value a, Value b);
  Value min_max(Op op, Value a, Value b);
  Value neg(Value a);
  Value abs(Value a);
  Value floor_div(Value a, Value b);
  Value floor_mod(Value a, Value b);
  Value shift(Op op, Value a, Value b);
  Value div(Value a, Value b);

  // simplify_logic.cpp
  Value bitwise(Op op, Value a, Value b);
  Value and_or(Op op, Value a, Value b);
  // v, where a condition is known: it and its negation are replaced in Ands, Ors and Nots.
  struct Fact {
    Value condition;
    Value negation;
    bool truth;
  };
  Value assume(Value v, const Fact& fact, int depth);
  // v, where all operands of a tree of Ands are true (of Ors: false).
  Value assume_all(Op op, Value facts, Value v, int depth);
  Value join_bounds(Op op, Value a, Value b);
  Value exclusive_or(Value a, Value b);
  Value invert(Value a);
  Value equal(Op op, Value a, Value b);
  Value less(Op op, Value a, Value b);
  Value select(Value condition, Value a, Value b);
  // The negation of a Bool where it costs no Not node.
  Value free_negation(Value a, int depth);
  // The negation of a Bool in the form in which simplified functions have it.
  Value negation(Value a);

  bool is_float(Value v) const { return function_.type(v) == ir::Type::Float; }
  bool is_const(Value v) const { return function_[v].op == Op::Const; }
  // The constant of an Int or Bool Const node.
  std::optional<int64_t> integer(Value v) const;
  std::optional<double> real(Value v) const;
  bool is_true(Value v) const { return function_.type(v) == ir::Type::Bool && integer(v) == 1; }
  bool is_false(Value v) const { return function_.type(v) == ir::Type::Bool && integer(v) == 0; }
  // If v is `op`, its operands.
  bool match(Value v, Op op, Value& x) const;
  bool match(Value v, Op op, Value& x, Value& y) const;
  // If v is a commutative `op` of something and an Int constant, or (Sub) of an Int constant and
  // something.
  bool match_constant(Value v, Op op, Value& x, int64_t& c) const;
  // Constants second.
  void order(Value& a, Value& b) const;

  ir::Function& function_;
};

}  // namespace maskjit::passes
