#pragma once
// Builds MaskIR nodes and folds constant arithmetic on the way, so that overflow, division by zero
// and wrong shifts in constants are noticed where they are written. Operands are well typed.
#include <optional>
#include <vector>

#include "masker_dsl/ir/function.h"

namespace maskjit::check {

class Builder {
 public:
  // Overflow, ...: what was wrong with the last operation. TooLarge: the limits below are exceeded.
  enum class Problem : uint8_t { None, Overflow, DivisionByZero, ShiftOutOfRange, TooLarge };

  explicit Builder(ir::Function& function) : function_(function) {}

  ir::Function& function() { return function_; }
  ir::Type type(ir::Value value) const { return function_.type(value); }
  // The constant that `value` is, if it is one.
  std::optional<ir::Scalar> constant_of(ir::Value value) const;

  ir::Value constant(ir::Scalar scalar) { return function_.constant(scalar); }
  ir::Value variable(ir::Var var) { return function_.variable(var); }
  ir::Value share(double share) { return function_.share(share, variable(ir::Var::KvLen)); }
  ir::Value unary(ir::Op op, ir::Value a);
  ir::Value binary(ir::Op op, ir::Value a, ir::Value b);
  ir::Value select(ir::Value condition, ir::Value a, ir::Value b);
  ir::Value load(uint32_t tensor, const std::vector<ir::Value>& subscripts);
  ir::Value to_float(ir::Value value);

  Problem take_problem() { return std::exchange(problem_, Problem::None); }

  static constexpr size_t kMaxNodes = 1 << 14;
  static constexpr uint32_t kMaxDepth = 4096;  // operators on a path from a result to a leaf

 private:
  ir::Value track(ir::Value value);
  std::optional<ir::Scalar> fold(ir::Op op, const ir::Scalar& a, const ir::Scalar& b);

  ir::Function& function_;
  std::vector<uint32_t> depths_;  // by node id
  Problem problem_ = Problem::None;
};

}  // namespace maskjit::check
