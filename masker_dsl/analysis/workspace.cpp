#include "masker_dsl/analysis/workspace.h"

#include <algorithm>

namespace maskjit::analysis {

bool is_analysable(const ir::Function& function) {
  constexpr int kMaxDepth = 2000;
  std::vector<int> depth(function.size(), 0);
  for (uint32_t id = 0; id < function.size(); ++id) {
    for (ir::Value operand : function[ir::Value{id}].operands) {
      depth[id] = std::max(depth[id], depth[operand.id] + 1);
    }
    if (depth[id] > kMaxDepth) return false;
  }
  return true;
}

ir::Function empty_like(const ir::Function& function, std::string name) {
  ir::Function result(std::move(name));
  for (const ir::Param& param : function.params()) result.add_param(param);
  for (const ir::Tensor& tensor : function.tensors()) result.add_tensor(tensor);
  return result;
}

Workspace::Workspace(const ir::Function& function, Effort effort, const char* name)
    : source(function),
      formulas(source, effort.splits),
      target(empty_like(function, name)),
      builder(target) {}

}  // namespace maskjit::analysis
