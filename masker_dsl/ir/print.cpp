#include <fmt/format.h>

#include <cmath>

#include "masker_dsl/ir/text.h"

namespace maskjit::ir {
namespace {

std::string float_text(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value < 0 ? "-inf" : "inf";
  std::string text = fmt::format("{}", value);
  if (text.find_first_of(".e") == std::string::npos) text += ".0";
  return text;
}

std::string scalar_text(const Scalar& scalar) {
  switch (scalar.type) {
    case Type::Bool:
      return scalar.integer != 0 ? "true" : "false";
    case Type::Int:
      return std::to_string(scalar.integer);
    case Type::Float:
      return float_text(scalar.real);
  }
  return "?";
}

std::string signature(const Function& function) {
  std::vector<std::string> items;
  for (const Param& param : function.params()) {
    std::string item =
        fmt::format("{} %{}: {}", name_of(param.time), param.name, name_of(param.type));
    if (param.default_value) item += " = " + scalar_text(*param.default_value);
    if (param.default_share) item += " = share " + float_text(param.default_share->share);
    items.push_back(std::move(item));
  }
  for (const Tensor& tensor : function.tensors()) {
    std::vector<std::string> dims;
    for (const Dim& dim : tensor.dims) dims.push_back(name_of(dim));
    items.push_back(fmt::format("tensor %{}: {}[{}]", tensor.name, name_of(tensor.element),
                                fmt::join(dims, ", ")));
  }
  return fmt::format("{}", fmt::join(items, ", "));
}

std::string node_text(const Function& function, const Node& node) {
  std::vector<std::string> operands;
  for (Value operand : node.operands) operands.push_back(fmt::format("%{}", operand.id));
  const std::string list = fmt::format("{}", fmt::join(operands, ", "));
  const std::string_view name = info(node.op).name;
  switch (node.op) {
    case Op::Const:
      return fmt::format("{} {}", name, scalar_text(node.constant));
    case Op::Variable:
      return fmt::format("{} {}", name, name_of(node.var()));
    case Op::Parameter:
      return fmt::format("{} %{}", name, function.params()[node.index].name);
    case Op::Share:
      return fmt::format("{} {}, {}", name, float_text(node.constant.real), list);
    case Op::TensorLoad:
    case Op::TensorMin:
    case Op::TensorMax:
    case Op::TensorWeight:
    case Op::TensorAny:
    case Op::TensorAll:
      return fmt::format("{} %{} [{}]", name, function.tensors()[node.index].name, list);
    default:
      return fmt::format("{} {}", name, list);
  }
}

std::string comment(const Function& function, Value value) {
  std::string text = fmt::format("  // {}", name_of(function.binding_time(value)));
  const uint32_t mask = function.variables_of(value);
  const char* separator = ": ";
  for (int i = 0; i < kNumVars; ++i) {
    const Var var = static_cast<Var>(i);
    if ((mask & bit(var)) == 0) continue;
    text += separator;
    text += name_of(var);
    separator = ", ";
  }
  return text;
}

}  // namespace

std::string print(const Function& function, const PrintOptions& options) {
  std::string text = fmt::format("func @{}({}) {{\n", function.name(), signature(function));
  for (uint32_t id = 0; id < function.size(); ++id) {
    const Node& node = function[Value{id}];
    text += fmt::format("  %{} = {} : {}", id, node_text(function, node), name_of(node.type));
    if (options.comments) text += comment(function, Value{id});
    text += '\n';
  }
  for (const Result& result : function.results()) {
    text += fmt::format("  result {} = %{} : {}\n", result.name, result.value.id,
                        name_of(function.type(result.value)));
  }
  return text + "}\n";
}

}  // namespace maskjit::ir
