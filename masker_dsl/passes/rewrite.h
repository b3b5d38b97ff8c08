#pragma once
// Rebuilding a function node by node: what every pass is made of.
#include <span>

#include "masker_dsl/ir/function.h"

namespace maskjit::passes {

// One visit: `value` of the old function, its node and its operands in the new one -> the value
// that takes its place in `out`.
struct Visit {
  const ir::Function& in;
  ir::Value value;
  const ir::Node& node;
  std::span<const ir::Value> operands;
  std::span<const ir::Value> map;  // by old value: the new one, for all that precede this node
  ir::Function& out;

  ir::Value unchanged() const { return out.rebuild(node, operands); }
};

// Visits the nodes that the results need, operands first. The new function has the same signature
// and results and is compacted.
template <typename Callback>
ir::Function rewrite(const ir::Function& in, Callback&& callback) {
  ir::Function out(in.name());
  for (const ir::Param& param : in.params()) out.add_param(param);
  for (const ir::Tensor& tensor : in.tensors()) out.add_tensor(tensor);
  std::vector<ir::Value> roots;
  for (const ir::Result& result : in.results()) roots.push_back(result.value);
  std::vector<ir::Value> map(in.size());
  std::vector<ir::Value> operands;
  for (ir::Value value : ir::reachable(in, roots)) {
    const ir::Node& node = in[value];
    operands.clear();
    for (ir::Value operand : node.operands) operands.push_back(map[operand.id]);
    map[value.id] = callback(Visit{in, value, node, operands, map, out});
  }
  for (const ir::Result& result : in.results()) {
    out.add_result(result.name, map[result.value.id]);
  }
  return ir::compact(out, false);
}

// Repeats `sweep` until the function does not change any more.
ir::Function to_fixed_point(const ir::Function& function,
                            ir::Function (*sweep)(const ir::Function&));

}  // namespace maskjit::passes
