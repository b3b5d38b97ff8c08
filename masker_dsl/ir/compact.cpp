#include <algorithm>

#include "masker_dsl/ir/function.h"
#include "masker_dsl/ir/hash.h"
#include "masker_dsl/ir/text.h"

namespace maskjit::ir {

std::vector<Value> reachable(const Function& function, std::span<const Value> values) {
  std::vector<bool> needed(function.size(), false);
  for (Value value : values) needed[value.id] = true;
  std::vector<Value> order;
  for (uint32_t id = static_cast<uint32_t>(function.size()); id-- > 0;) {
    if (!needed[id]) continue;
    order.push_back(Value{id});
    for (Value operand : function[Value{id}].operands) needed[operand.id] = true;
  }
  std::reverse(order.begin(), order.end());
  return order;
}

namespace {

// Parameter and tensor indices after unused ones are dropped.
struct Renumbering {
  std::vector<uint32_t> params;
  std::vector<uint32_t> tensors;
};

Renumbering copy_signature(const Function& from, std::span<const Value> used, bool drop_unused,
                           Function& to) {
  Renumbering numbers{std::vector<uint32_t>(from.params().size(), UINT32_MAX),
                      std::vector<uint32_t>(from.tensors().size(), UINT32_MAX)};
  std::vector<bool> param_used(from.params().size(), !drop_unused);
  std::vector<bool> tensor_used(from.tensors().size(), !drop_unused);
  for (Value value : used) {
    const Node& node = from[value];
    if (node.op == Op::Parameter) param_used[node.index] = true;
    if (info(node.op).operands < 0) tensor_used[node.index] = true;
  }
  for (size_t i = 0; i < param_used.size(); ++i) {
    if (param_used[i]) numbers.params[i] = to.add_param(from.params()[i]);
  }
  for (size_t i = 0; i < tensor_used.size(); ++i) {
    if (tensor_used[i]) numbers.tensors[i] = to.add_tensor(from.tensors()[i]);
  }
  return numbers;
}

}  // namespace

Function compact(const Function& function, bool drop_unused_params) {
  Function out(function.name());
  std::vector<Value> roots;
  for (const Result& result : function.results()) roots.push_back(result.value);
  const std::vector<Value> used = reachable(function, roots);
  const Renumbering numbers = copy_signature(function, used, drop_unused_params, out);

  auto renumbered = [&](const Node& node) {
    Node copy = node;
    if (node.op == Op::Parameter) copy.index = numbers.params[node.index];
    if (info(node.op).operands < 0) copy.index = numbers.tensors[node.index];
    return copy;
  };

  // A hash of what each node computes, which does not depend on the order in which nodes were
  // built; it decides in which order the operands of commutative ops are visited.
  std::vector<uint64_t> hashes(function.size(), 0);
  std::vector<std::vector<Value>> operands(function.size());
  for (Value value : used) {
    const Node& node = function[value];
    std::vector<Value>& ordered = operands[value.id];
    ordered = node.operands;
    if (info(node.op).commutative && hashes[ordered[1].id] < hashes[ordered[0].id]) {
      std::swap(ordered[0], ordered[1]);
    }
    uint64_t hash = payload_hash(renumbered(node));
    for (Value operand : ordered) hash = mix(hash, hashes[operand.id]);
    hashes[value.id] = hash;
  }

  std::vector<Value> copies(function.size());
  std::vector<Value> stack;
  for (const Result& result : function.results()) {
    stack.push_back(result.value);
    while (!stack.empty()) {
      const Value value = stack.back();
      if (copies[value.id].valid()) {
        stack.pop_back();
        continue;
      }
      bool ready = true;
      const std::vector<Value>& ordered = operands[value.id];
      for (size_t i = ordered.size(); i-- > 0;) {
        if (copies[ordered[i].id].valid()) continue;
        stack.push_back(ordered[i]);
        ready = false;
      }
      if (!ready) continue;
      stack.pop_back();
      std::vector<Value> mapped;
      for (Value operand : function[value].operands) mapped.push_back(copies[operand.id]);
      copies[value.id] = out.rebuild(renumbered(function[value]), mapped);
    }
    out.add_result(result.name, copies[result.value.id]);
  }
  return out;
}

bool equivalent(const Function& a, const Function& b) {
  return print(compact(a, false)) == print(compact(b, false));
}

}  // namespace maskjit::ir
