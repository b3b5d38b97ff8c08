#include "masker_dsl/check/names.h"

#include <array>

#include "masker_dsl/check/selectors.h"

namespace maskjit::check {
namespace {

constexpr std::array kVariables = {
    BuiltinVariable{"batch", ir::Var::Batch},
    BuiltinVariable{"head", ir::Var::Head},
    BuiltinVariable{"kv_head", ir::Var::KvHead},
    BuiltinVariable{"q", ir::Var::Query},
    BuiltinVariable{"k", ir::Var::Key},
    BuiltinVariable{"q_index", ir::Var::Query, true},
    BuiltinVariable{"q_len", ir::Var::QLen},
    BuiltinVariable{"kv_len", ir::Var::KvLen},
    BuiltinVariable{"num_heads", ir::Var::NumHeads},
    BuiltinVariable{"num_kv_heads", ir::Var::NumKvHeads},
    BuiltinVariable{"head_dim", ir::Var::HeadDim},
};

constexpr std::array kFunctions = {
    BuiltinFunction{"min", Function::Min, ir::Op::Min},
    BuiltinFunction{"max", Function::Max, ir::Op::Max},
    BuiltinFunction{"abs", Function::Abs, ir::Op::Abs},
    BuiltinFunction{"floor", Function::Floor, ir::Op::Floor},
    BuiltinFunction{"exp", Function::Exp, ir::Op::Exp},
    BuiltinFunction{"log", Function::Log, ir::Op::Log},
    BuiltinFunction{"tanh", Function::Tanh, ir::Op::Tanh},
    BuiltinFunction{"sqrt", Function::Sqrt, ir::Op::Sqrt},
};

struct ForeignName {
  std::string_view name;
  std::string_view ours;
};
constexpr std::array kForeignNames = {
    ForeignName{"b", "batch"},
    ForeignName{"h", "head"},
    ForeignName{"q_idx", "q"},
    ForeignName{"kv_idx", "k"},
    ForeignName{"k_idx", "k"},
    ForeignName{"kv", "k"},
    ForeignName{"i", "q"},
    ForeignName{"j", "k"},
    ForeignName{"query", "q"},
    ForeignName{"key", "k"},
    ForeignName{"seq_len", "kv_len"},
    ForeignName{"k_len", "kv_len"},
    ForeignName{"logit", "s"},
    ForeignName{"score", "s"},
    ForeignName{"True", "true"},
    ForeignName{"False", "false"},
    ForeignName{"kv_index", "k"},
    ForeignName{"q_pos", "q"},
};

}  // namespace

std::span<const BuiltinVariable> builtin_variables() { return kVariables; }
std::span<const BuiltinFunction> builtin_functions() { return kFunctions; }

const BuiltinVariable* find_variable(std::string_view name) {
  for (const BuiltinVariable& variable : kVariables) {
    if (variable.name == name) return &variable;
  }
  return nullptr;
}

const BuiltinFunction* find_function(std::string_view name) {
  for (const BuiltinFunction& function : kFunctions) {
    if (function.name == name) return &function;
  }
  return nullptr;
}

std::string_view builtin_category(std::string_view name) {
  if (name == "s") return "the logit";
  if (find_variable(name) != nullptr) return "a variable";
  if (find_function(name) != nullptr) return "a function";
  if (find_selector(name) != nullptr) return "a selector";
  if (find_scorer(name) != nullptr) return "a scorer";
  return {};
}

std::string_view foreign_name(std::string_view name) {
  for (const ForeignName& foreign : kForeignNames) {
    if (foreign.name == name) return foreign.ours;
  }
  return {};
}

}  // namespace maskjit::check
