#include <fmt/format.h>

#include <algorithm>

#include "masker_dsl/analysis/value_range.h"
#include "masker_dsl/check/selectors.h"
#include "masker_dsl/diag/text.h"
#include "masker_dsl/driver/driver.h"
#include "masker_dsl/ir/internal_error.h"
#include "masker_dsl/passes/passes.h"

namespace maskjit::driver {

using diag::Kind;
using ir::Type;

namespace {

using Binding = std::optional<std::variant<ir::Scalar, ir::Share>>;

std::string describe(const ParamValue& value) {
  if (const auto* share = std::get_if<ir::Share>(&value))
    return fmt::format("{}%", share->share * 100);
  const ir::Scalar& scalar = std::get<ir::Scalar>(value);
  switch (scalar.type) {
    case Type::Bool:
      return scalar.integer != 0 ? "true" : "false";
    case Type::Int:
      return std::to_string(scalar.integer);
    case Type::Float:
      return fmt::format("{}", scalar.real);
  }
  return "";
}

// `value` as a value of the parameter, or nullopt if it is of the wrong type.
Binding converted(const ir::Param& param, const ParamValue& value) {
  if (const auto* share = std::get_if<ir::Share>(&value)) {
    if (param.type == Type::Float) return ir::Scalar::of_float(share->share);
    if (param.type == Type::Int && param.time == ir::BindingTime::Const) return *share;
    return std::nullopt;
  }
  const ir::Scalar& scalar = std::get<ir::Scalar>(value);
  if (scalar.type == param.type) return scalar;
  if (scalar.type == Type::Int && param.type == Type::Float)
    return ir::Scalar::of_float(scalar.as_double());
  return std::nullopt;
}

// The values that a Program keeps beside its function ride through the passes as results.
void add_results(ir::Program& program) {
  const auto add = [&](const ir::Value value) {
    program.function.add_result(fmt::format("program.{}", program.function.results().size()),
                                value);
  };
  if (program.dropout) add(program.dropout->probability);
  for (const ir::Stage& stage : program.stages) {
    if (stage.mask.valid()) add(stage.mask);
    if (stage.weight.valid()) add(stage.weight);
    for (const auto& argument : stage.arguments) {
      if (argument.value.valid()) add(argument.value);
    }
    for (const auto& argument : stage.scorer_arguments) {
      if (argument.value.valid()) add(argument.value);
    }
  }
}

void take_results(ir::Program& program, size_t first) {
  auto& results = program.function.mutable_results();
  size_t next = first;
  const auto take = [&](ir::Value& value) {
    if (value.valid()) value = results[next++].value;
  };
  if (program.dropout) take(program.dropout->probability);
  for (ir::Stage& stage : program.stages) {
    take(stage.mask);
    take(stage.weight);
    for (auto& argument : stage.arguments) take(argument.value);
    for (auto& argument : stage.scorer_arguments) take(argument.value);
  }
  MASKJIT_CHECK(next == results.size(), "a pass lost a result");
  results.resize(first);
}

// Static stages that follow one another become one: nothing between them looks at what is active.
void join_static_stages(ir::Program& program) {
  const auto joins = [](const ir::Stage& stage) {
    return stage.rule == ir::Stage::Rule::Static && !stage.weight.valid();
  };
  std::vector<ir::Stage> joined;
  for (ir::Stage& stage : program.stages) {
    if (!joined.empty() && joins(joined.back()) && joins(stage)) {
      ir::Value& mask = joined.back().mask;
      mask = program.function.binary(ir::Op::Or, mask, stage.mask);
    } else {
      joined.push_back(std::move(stage));
    }
  }
  program.stages = std::move(joined);
}

// The function without its Const parameters, which nothing reads any more. Run-time parameters and
// tensors stay, used or not: the caller gives them at launch.
ir::Function without_const_params(const ir::Function& function) {
  ir::Function out(function.name());
  std::vector<uint32_t> param_index(function.params().size());
  for (size_t i = 0; i < function.params().size(); ++i) {
    const ir::Param& param = function.params()[i];
    if (param.time == ir::BindingTime::Runtime) param_index[i] = out.add_param(param);
  }
  for (const ir::Tensor& tensor : function.tensors()) out.add_tensor(tensor);
  std::vector<ir::Value> values;
  for (uint32_t id = 0; id < function.size(); ++id) {
    const ir::Node& node = function[ir::Value{id}];
    if (node.op == ir::Op::Parameter) {
      MASKJIT_CHECK(function.params()[node.index].time == ir::BindingTime::Runtime,
                    "a Const parameter is still read: " + function.params()[node.index].name);
      values.push_back(out.parameter(param_index[node.index]));
      continue;
    }
    std::vector<ir::Value> operands;
    for (const ir::Value operand : node.operands) operands.push_back(values[operand.id]);
    values.push_back(out.rebuild(node, operands));
  }
  for (const ir::Result& result : function.results())
    out.add_result(result.name, values[result.value.id]);
  return out;
}

void check_range(std::span<const check::SelectorParam> params,
                 const std::vector<ir::Stage::Argument>& arguments, std::string_view callee,
                 const ir::Function& function, diag::DiagnosticEmitter& diagnostics) {
  for (const ir::Stage::Argument& argument : arguments) {
    if (!argument.value.valid() || function[argument.value].op != ir::Op::Const) continue;
    for (const check::SelectorParam& param : params) {
      if (param.name != argument.name) continue;
      const std::string problem = check::range_error(param, function[argument.value].constant);
      if (problem.empty()) continue;
      diagnostics.error(Kind::OutOfRange, {},
                        fmt::format("parameter '{}' of '{}' {}", argument.name, callee, problem));
    }
  }
}

// Ranges that the checker could not see because the values came from parameters.
void check_ranges(const ir::Program& program, diag::DiagnosticEmitter& diagnostics) {
  const ir::Function& function = program.function;
  if (program.dropout && function[program.dropout->probability].op == ir::Op::Const) {
    const std::string problem =
        check::dropout_range_error(function[program.dropout->probability].constant.real);
    if (!problem.empty())
      diagnostics.error(Kind::OutOfRange, {}, "the dropout probability " + problem);
  }
  for (const ir::Stage& stage : program.stages) {
    if (stage.rule == ir::Stage::Rule::Static) continue;
    const check::SelectorInfo& selector = check::info(stage.rule);
    check_range(selector.params, stage.arguments, selector.name, function, diagnostics);
    if (const check::ScorerInfo* scorer = check::find_scorer(stage.scorer)) {
      check_range(scorer->params, stage.scorer_arguments, scorer->name, function, diagnostics);
    }
  }
}

// Arguments of selectors that are known only at launch and may leave their range then become the
// nearest number inside. False if there are none.
bool keep_in_ranges(ir::Program& program) {
  ir::Function& function = program.function;
  const std::vector<analysis::ValueRange> ranges = analysis::value_ranges(function);
  bool changed = false;
  const auto keep = [&](const check::SelectorParam& param, ir::Value& value) {
    const Type type = function.type(value);
    if (function[value].op == ir::Op::Const || type == Type::Bool) return;
    const check::LaunchRange range = check::launch_range(param, type);
    const auto limit = [&](ir::Op op, double bound) {
      const ir::Scalar scalar = type == Type::Int ? ir::Scalar::of_int(static_cast<int64_t>(bound))
                                                  : ir::Scalar::of_float(bound);
      value = function.binary(op, value, function.constant(scalar));
      changed = true;
    };
    if (type == Type::Int) {
      if (ranges[value.id].interval.lo < static_cast<int64_t>(range.lo))
        limit(ir::Op::Max, range.lo);
      return;
    }
    limit(ir::Op::Min, range.hi);
    limit(ir::Op::Max, range.lo);
  };
  for (ir::Stage& stage : program.stages) {
    if (stage.rule == ir::Stage::Rule::Static) continue;
    for (const check::SelectorParam& param : check::info(stage.rule).params) {
      for (ir::Stage::Argument& argument : stage.arguments) {
        if (argument.name == param.name && argument.value.valid()) keep(param, argument.value);
      }
    }
  }
  return changed;
}

void check_names(const ir::Program& program, const std::map<std::string, ParamValue>& values,
                 diag::DiagnosticEmitter& diagnostics) {
  const ir::Function& function = program.function;
  for (const auto& [name, value] : values) {
    const auto named = [&](const auto& declared) { return declared.name == name; };
    if (std::any_of(function.params().begin(), function.params().end(), named)) continue;
    const std::string program_name = diag::quoted(program.name);
    if (std::any_of(function.tensors().begin(), function.tensors().end(), named)) {
      diagnostics
          .error(Kind::InvalidValue, {},
                 fmt::format("{} of {} is a tensor, found the value {}", diag::quoted(name),
                             program_name, describe(value)))
          .with_hint("tensors are given at launch");
      continue;
    }
    std::vector<std::string> candidates;
    for (const ir::Param& param : function.params()) candidates.push_back(param.name);
    const std::string closest = diag::closest_name(name, candidates);
    diagnostics
        .error(Kind::UnknownParameter, {},
               fmt::format("{} has no parameter {}", program_name, diag::quoted(name)))
        .with_hint(!closest.empty() ? fmt::format("did you mean '{}'?", closest)
                   : candidates.empty()
                       ? "it has no parameters"
                       : fmt::format("its parameters are {}", fmt::join(candidates, ", ")));
  }
}

}  // namespace

std::optional<BoundProgram> bind(const ir::Program& program,
                                 const std::map<std::string, ParamValue>& values,
                                 diag::DiagnosticEmitter& diagnostics) {
  const int errors = diagnostics.error_count();
  check_names(program, values, diagnostics);
  std::vector<Binding> bindings;
  for (const ir::Param& param : program.function.params()) {
    Binding binding;
    if (const auto given = values.find(param.name); given != values.end()) {
      binding = converted(param, given->second);
      if (!binding) {
        const std::string_view time = param.time == ir::BindingTime::Runtime ? "runtime " : "";
        diagnostics.error(Kind::InvalidValue, {},
                          fmt::format("{} is of type {}{}, found {}", diag::quoted(param.name),
                                      time, ir::name_of(param.type), describe(given->second)));
      }
    } else if (param.default_share) {
      binding = *param.default_share;
    } else if (param.default_value) {
      binding = *param.default_value;
    } else if (param.time == ir::BindingTime::Const) {
      diagnostics
          .error(Kind::MissingValue, {},
                 fmt::format("{} needs a value for {}, of type {}", diag::quoted(program.name),
                             diag::quoted(param.name), ir::name_of(param.type)))
          .with_hint(fmt::format("give {}=..., or declare a default", param.name));
    }
    if (param.time == ir::BindingTime::Runtime) binding = std::nullopt;
    bindings.push_back(std::move(binding));
  }
  if (diagnostics.error_count() > errors) return std::nullopt;

  BoundProgram bound;
  bound.program = program;
  const size_t own_results = program.function.results().size();
  join_static_stages(bound.program);
  add_results(bound.program);
  bound.program.function = without_const_params(
      passes::run_pipeline(passes::bind_constants(bound.program.function, bindings)));
  take_results(bound.program, own_results);
  check_ranges(bound.program, diagnostics);
  if (diagnostics.error_count() > errors) return std::nullopt;
  if (!bound.program.stages.empty() && keep_in_ranges(bound.program)) {
    add_results(bound.program);
    bound.program.function = passes::run_pipeline(bound.program.function);
    take_results(bound.program, own_results);
  }
  bound.tiles = analysis::analyse_tiles(bound.program.function);
  return bound;
}

}  // namespace maskjit::driver
