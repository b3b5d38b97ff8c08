#include "masker_dsl/check/weights.h"

#include <map>

namespace maskjit::check {
namespace {

using ir::Op;
using ir::Type;
using ir::Value;

class Weights {
 public:
  explicit Weights(ir::Function& function) : function_(function) {}

  // Does a weight other than 1 enter the condition?
  bool is_weighted(Value value) {
    const auto found = weighted_.find(value);
    if (found != weighted_.end()) return found->second;
    const ir::Node node = function_[value];
    bool weighted = false;
    switch (node.op) {
      case Op::TensorLoad:
        weighted = function_.tensors()[node.index].element == ir::Element::Bit;
        break;
      case Op::And:
      case Op::Or:
      case Op::Xor:
      case Op::Eq:
      case Op::Ne:
        weighted = function_.type(node.operands[0]) == Type::Bool &&
                   (is_weighted(node.operands[0]) || is_weighted(node.operands[1]));
        break;
      case Op::Select:
        weighted = node.type == Type::Bool &&
                   (is_weighted(node.operands[1]) || is_weighted(node.operands[2]));
        break;
      default:
        break;
    }
    weighted_[value] = weighted;
    return weighted;
  }

  // The weight where the condition holds, anything elsewhere.
  Value where_active(Value value) {
    const ir::Node node = function_[value];
    if (!is_weighted(value)) return one();
    if (node.op == Op::And) {
      const Value a = node.operands[0], b = node.operands[1];
      if (!is_weighted(a)) return where_active(b);
      if (!is_weighted(b)) return where_active(a);
      return function_.binary(Op::Mul, where_active(a), where_active(b));
    }
    if (node.op == Op::Select) {
      return function_.select(node.operands[0], where_active(node.operands[1]),
                              where_active(node.operands[2]));
    }
    return everywhere(value);
  }

  // The weight where the condition holds, 0 elsewhere.
  Value everywhere(Value value) {
    const auto found = everywhere_.find(value);
    if (found != everywhere_.end()) return found->second;
    const Value weight = compute(value);
    everywhere_[value] = weight;
    return weight;
  }

 private:
  Value one() { return function_.constant_float(1); }
  Value zero() { return function_.constant_float(0); }

  Value compute(Value value) {
    if (!is_weighted(value)) return function_.select(value, one(), zero());
    const ir::Node node = function_[value];
    const auto operand = [&](size_t i) { return node.operands[i]; };
    switch (node.op) {
      case Op::TensorLoad:
        return function_.tensor_op(Op::TensorWeight, node.index, node.operands);
      case Op::And:
        return function_.binary(Op::Mul, everywhere(operand(0)), everywhere(operand(1)));
      case Op::Or: {
        // Beside a weight of 1 the other one does not matter.
        for (const size_t i : {size_t{0}, size_t{1}}) {
          if (is_weighted(operand(i))) continue;
          return function_.select(operand(i), one(), everywhere(operand(1 - i)));
        }
        const Value sum = function_.binary(Op::Add, everywhere(operand(0)), everywhere(operand(1)));
        return function_.binary(Op::Min, sum, one());
      }
      case Op::Xor:
      case Op::Ne:
        return either(operand(0), operand(1));
      case Op::Eq: {
        // Both active, or neither: then the weight is that of a negation.
        const Value both =
            function_.binary(Op::Mul, everywhere(operand(0)), everywhere(operand(1)));
        return function_.select(operand(0), both, function_.select(operand(1), zero(), one()));
      }
      default:
        return function_.select(operand(0), everywhere(operand(1)), everywhere(operand(2)));
    }
  }

  // One of the two is active, the other is not.
  Value either(Value a, Value b) {
    return function_.select(a, function_.select(b, zero(), everywhere(a)), everywhere(b));
  }

  ir::Function& function_;
  std::map<Value, bool> weighted_;
  std::map<Value, Value> everywhere_;
};

}  // namespace

std::optional<Value> weight_of(ir::Function& function, Value mask) {
  Weights weights(function);
  if (!weights.is_weighted(mask)) return std::nullopt;
  return weights.where_active(mask);
}

}  // namespace maskjit::check
