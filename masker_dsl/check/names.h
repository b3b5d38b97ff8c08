#pragma once
// The names that are in scope everywhere and that no declaration may take.
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "masker_dsl/ir/op.h"
#include "masker_dsl/ir/types.h"

namespace maskjit::check {

// Variables of the element: batch, head, kv_head, q, k, q_index, q_len, kv_len, num_heads,
// num_kv_heads, head_dim. q_index is q - q_offset.
struct BuiltinVariable {
  std::string_view name;
  ir::Var var;
  bool is_query_index = false;
};
std::span<const BuiltinVariable> builtin_variables();
const BuiltinVariable* find_variable(std::string_view name);

enum class Function : uint8_t { Min, Max, Abs, Floor, Exp, Log, Tanh, Sqrt };
struct BuiltinFunction {
  std::string_view name;
  Function function;
  ir::Op op;
};
std::span<const BuiltinFunction> builtin_functions();
const BuiltinFunction* find_function(std::string_view name);

// "a variable", "a function", "a selector", "a scorer", "the logit"; empty for other names.
std::string_view builtin_category(std::string_view name);

// What somebody coming from another library may mean by `name`, or empty.
std::string_view foreign_name(std::string_view name);

}  // namespace maskjit::check
