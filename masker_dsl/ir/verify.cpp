#include <fmt/format.h>

#include <cmath>
#include <set>

#include "masker_dsl/ir/text.h"

namespace maskjit::ir {
namespace {

class Verifier {
 public:
  explicit Verifier(const Function& function) : function_(function) {}

  std::vector<std::string> run() {
    name(function_.name(), "function");
    signature();
    for (uint32_t id = 0; id < function_.size(); ++id) node(id);
    sharing();
    results();
    return std::move(errors_);
  }

 private:
  template <typename... Args>
  void error(fmt::format_string<Args...> format, Args&&... args) {
    errors_.push_back(fmt::format(format, std::forward<Args>(args)...));
  }

  void name(const std::string& text, std::string_view what) {
    if (!is_identifier(text)) error("'{}' is not a name for a {}", text, what);
  }

  void signature() {
    std::set<std::string> names;
    for (const Param& param : function_.params()) {
      name(param.name, "parameter");
      if (!names.insert(param.name).second) error("two parameters are called '{}'", param.name);
      if (param.time != BindingTime::Const && param.time != BindingTime::Runtime) {
        error("parameter '{}' is bound at time '{}'", param.name, name_of(param.time));
      }
      if (param.default_value && param.default_value->type != param.type) {
        error("the default of parameter '{}' is {}, not {}", param.name,
              name_of(param.default_value->type), name_of(param.type));
      }
      if (param.default_share &&
          (param.default_value || param.type != Type::Int || param.time != BindingTime::Const)) {
        error("parameter '{}' cannot have a share as its default", param.name);
      }
    }
    for (const Tensor& tensor : function_.tensors()) {
      name(tensor.name, "tensor");
      if (!names.insert(tensor.name).second) {
        error("the name '{}' is declared twice", tensor.name);
      }
      if (tensor.dims.empty() || tensor.dims.size() > size_t{kMaxTensorRank}) {
        error("tensor '{}' has {} dimensions", tensor.name, tensor.dims.size());
      }
      for (const Dim& dim : tensor.dims) {
        if (dim.kind == Dim::Kind::Constant && dim.constant < 1) {
          error("tensor '{}' has a dimension of {}", tensor.name, dim.constant);
        }
      }
    }
  }

  // The type that the node must have, or nullopt after an error.
  std::optional<Type> expected_type(uint32_t id, const Node& node) {
    switch (node.op) {
      case Op::Const:
        if (node.constant.type != Type::Float && node.constant.real != 0) {
          error("%{}: a {} constant with a real part", id, name_of(node.constant.type));
        }
        if (node.constant.type == Type::Bool && node.constant.integer != 0 &&
            node.constant.integer != 1) {
          error("%{}: a bool constant of {}", id, node.constant.integer);
        }
        return node.constant.type;
      case Op::Variable:
        if (node.index >= uint32_t{kNumVars}) {
          error("%{}: no variable {}", id, node.index);
          return std::nullopt;
        }
        return type_of(node.var());
      case Op::Parameter:
        if (node.index >= function_.params().size()) {
          error("%{}: no parameter {}", id, node.index);
          return std::nullopt;
        }
        return function_.params()[node.index].type;
      default:
        break;
    }
    std::vector<Type> types;
    for (Value operand : node.operands) types.push_back(function_.type(operand));
    std::optional<Type> type;
    if (info(node.op).operands < 0) {
      if (node.index >= function_.tensors().size()) {
        error("%{}: no tensor {}", id, node.index);
        return std::nullopt;
      }
      type = tensor_op_type(node.op, function_.tensors()[node.index], types);
    } else {
      type = result_type(node.op, types);
    }
    if (!type) error("%{}: {} does not take these operands", id, info(node.op).name);
    return type;
  }

  void node(uint32_t id) {
    const Node& node = function_[Value{id}];
    for (Value operand : node.operands) {
      if (operand.id < id) continue;
      error("%{}: operand %{} does not precede its user", id, operand.id);
      return;
    }
    const int operands = info(node.op).operands;
    if (operands >= 0 && static_cast<int>(node.operands.size()) != operands) {
      error("%{}: {} takes {} operands, not {}", id, info(node.op).name, operands,
            node.operands.size());
      return;
    }
    const std::optional<Type> type = expected_type(id, node);
    if (type && *type != node.type) {
      error("%{}: {} gives {}, not {}", id, info(node.op).name, name_of(*type), name_of(node.type));
    }
    if (info(node.op).commutative && node.operands.size() == 2 &&
        node.operands[1] < node.operands[0]) {
      error("%{}: the operands of {} are not in order", id, info(node.op).name);
    }
  }

  void sharing() {
    for (const auto& [first, second] : function_.duplicates()) {
      error("%{} repeats %{}", second.id, first.id);
    }
  }

  void results() {
    std::set<std::string> names;
    for (const Result& result : function_.results()) {
      name(result.name, "result");
      if (!names.insert(result.name).second) error("two results are called '{}'", result.name);
      if (result.value.id >= function_.size()) error("result '{}' has no value", result.name);
    }
  }

  const Function& function_;
  std::vector<std::string> errors_;
};

}  // namespace

std::vector<std::string> verify(const Function& function) { return Verifier(function).run(); }

bool is_identifier(std::string_view text) {
  auto letter = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; };
  if (text.empty() || !letter(text[0])) return false;
  for (char c : text) {
    if (!letter(c) && !(c >= '0' && c <= '9') && c != '.') return false;
  }
  return true;
}

}  // namespace maskjit::ir
