#include "tests/fuzz/fuzz_entry.h"

#include <fmt/format.h>

#include <functional>

#include "masker_dsl/driver/driver.h"
#include "masker_dsl/interp/interpreter.h"
#include "masker_dsl/ir/internal_error.h"
#include "masker_dsl/ir/text.h"

namespace maskjit::fuzz {
namespace {

// Imports: one good file, the input itself, which makes cycles, and nothing else.
driver::FileReader reader(const std::string& text) {
  return [&text](const std::string& path) -> std::optional<std::string> {
    if (path == "lib.masker") {
      return "masker imported(n: int = 3) = k < n\nscore twice(s) = s * 2\n";
    }
    if (path == "a.masker") return text;
    return std::nullopt;
  };
}

void check_format(const std::string& text) {
  const driver::FormattedSource once = driver::format("input.masker", text);
  diag::render_all(once.diagnostics);
  if (!once.text) return;
  const driver::FormattedSource twice = driver::format("input.masker", *once.text);
  MASKJIT_CHECK(twice.text && *twice.text == *once.text,
                "formatting is not idempotent:\n" + *once.text);
}

void check_verifies(const ir::Function& function) {
  const std::vector<std::string> problems = ir::verify(function);
  MASKJIT_CHECK(problems.empty(), problems.front());
}

std::map<std::string, driver::ParamValue> values_for(const ir::Function& function) {
  std::map<std::string, driver::ParamValue> values;
  for (const ir::Param& param : function.params()) {
    if (param.default_value || param.default_share) continue;
    switch (param.type) {
      case ir::Type::Bool:
        values[param.name] = ir::Scalar::of_bool(true);
        break;
      case ir::Type::Int:
        values[param.name] = ir::Scalar::of_int(3);
        break;
      case ir::Type::Float:
        values[param.name] = ir::Scalar::of_float(0.5);
        break;
    }
  }
  return values;
}

// The mask of the bound program on a few elements is that of the unbound one.
void check_same_mask(const ir::Program& program, const ir::Program& bound,
                     const std::map<std::string, driver::ParamValue>& values) {
  constexpr int64_t kLength = 6;
  for (const ir::Param& param : program.function.params()) {
    if (param.default_share && param.time == ir::BindingTime::Const)
      return;  // its value depends on kv_len
  }
  static const std::vector<double> zeros(4096, 0.0);
  const auto environment = [&](const ir::Function& function) {
    interp::Environment result;
    for (const ir::Param& param : function.params()) {
      ir::Scalar value = param.default_value.value_or(ir::Scalar{});
      if (const auto given = values.find(param.name); given != values.end())
        value = std::get<ir::Scalar>(given->second);
      result.params.push_back(value);
    }
    for (const ir::Tensor& tensor : function.tensors()) {
      interp::TensorValue value;
      value.data = zeros.data();
      value.element = tensor.element;
      value.extents.assign(tensor.dims.size(), 1);
      value.strides.assign(tensor.dims.size(), 0);
      result.tensors.push_back(value);
    }
    using ir::Var;
    result[Var::BatchSize] = 1, result[Var::NumHeads] = 2, result[Var::NumKvHeads] = 1,
    result[Var::HeadDim] = 8;
    result[Var::QLen] = result[Var::KvLen] = kLength;
    return result;
  };
  interp::Environment before = environment(program.function), after = environment(bound.function);
  interp::Evaluator mask_before(program.function, program.function.result("mask"));
  interp::Evaluator mask_after(bound.function, bound.function.result("mask"));
  for (int64_t q = 0; q < kLength; ++q) {
    for (int64_t k = 0; k < kLength; ++k) {
      before[ir::Var::Query] = after[ir::Var::Query] = q;
      before[ir::Var::Key] = after[ir::Var::Key] = k;
      MASKJIT_CHECK(mask_before(before).integer == mask_after(after).integer,
                    fmt::format("the passes changed the mask at q {} k {}", q, k));
    }
  }
}

void check_bind(const ir::Program& program) {
  const auto values = values_for(program.function);
  diag::DiagnosticEmitter diagnostics;
  const auto bound = driver::bind(program, values, diagnostics);
  diag::render_all(diagnostics);
  MASKJIT_CHECK(bound.has_value() != diagnostics.has_errors(),
                "neither a bound program nor an error");
  if (!bound) return;
  check_verifies(bound->program.function);
  check_verifies(bound->tiles.tile);
  check_verifies(bound->tiles.ranges);
  check_same_mask(program, bound->program, values);
}

}  // namespace

void run(const uint8_t* data, size_t size, bool bind_always) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  driver::emit_tokens(text);
  driver::emit_ast(text);
  check_format(text);
  driver::parse_param_value(text);

  const driver::CheckedSource checked = driver::check("input.masker", text, {}, reader(text));
  diag::render_all(checked.diagnostics, {.color = true});
  MASKJIT_CHECK(checked.program.has_value() != checked.diagnostics.has_errors(),
                "neither a program nor an error");
  if (!checked.program) return;
  check_verifies(checked.program->function);

  // The passes cost ten times as much as the rest: one input in sixteen goes on, chosen by its
  // content.
  const size_t chosen = std::hash<std::string>()(text) % 16;
  if (chosen == 0 || bind_always) check_bind(*checked.program);
}

}  // namespace maskjit::fuzz
