#include "masker_dsl/passes/fold.h"

#include "masker_dsl/ir/evaluate.h"
#include "masker_dsl/passes/rewrite.h"

namespace maskjit::passes {

std::optional<ir::Scalar> folded(const ir::Function& function, const ir::Node& like,
                                 std::span<const ir::Value> operands) {
  if (operands.empty() || ir::info(like.op).operands < 0) return std::nullopt;
  std::vector<ir::Scalar> constants;
  for (ir::Value operand : operands) {
    const ir::Node& node = function[operand];
    if (node.op != ir::Op::Const) return std::nullopt;
    constants.push_back(node.constant);
  }
  if (like.op == ir::Op::Share) {
    return ir::evaluate_share(like.constant.real, constants[0].integer);
  }
  return ir::evaluate(like.op, constants);
}

ir::Function fold(const ir::Function& function) {
  return rewrite(function, [](const Visit& visit) {
    if (auto constant = folded(visit.out, visit.node, visit.operands)) {
      return visit.out.constant(*constant);
    }
    return visit.unchanged();
  });
}

}  // namespace maskjit::passes
