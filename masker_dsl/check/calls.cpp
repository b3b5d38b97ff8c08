#include <fmt/format.h>

#include "masker_dsl/check/lowering.h"
#include "masker_dsl/check/selectors.h"
#include "masker_dsl/diag/text.h"

namespace maskjit::check {

using diag::Kind;
using ir::Op;
using ir::Type;
using parse::Argument;
using parse::Expr;

TypedValue Lowering::call(const Expr& expr, Frame& frame) {
  const std::string_view name = expr.name();
  if (const BuiltinFunction* function = find_function(name))
    return function_call(*function, expr, frame);
  if (const SelectorInfo* selector = find_selector(name))
    return selector_call(*selector, expr, frame);
  if (find_scorer(name) != nullptr) {
    error(Kind::MisplacedScorer, expr.range, fmt::format("'{}' is a scorer", name), frame)
        .with_hint(fmt::format("a scorer ranks keys for a selector: top_k(n, by = {}(...))", name));
    return {};
  }
  if (const Callable* callable = frame.module->find(name))
    return masker_call(*callable, expr, frame);
  return unknown_callee(expr, frame);
}

TypedValue Lowering::unknown_callee(const Expr& expr, Frame& frame) {
  const std::string_view name = expr.name();
  const auto local = frame.locals.find(name);
  if (local != frame.locals.end() || find_variable(name) != nullptr || name == "s") {
    if (local != frame.locals.end()) local->second.used = true;
    const bool tensor =
        local != frame.locals.end() && local->second.value.kind == TypedValue::Kind::Tensor;
    error(Kind::NotCallable, expr.head,
          fmt::format("{} is a value and cannot be called", diag::quoted(name)), frame)
        .with_hint(tensor ? fmt::format("subscripts are written in brackets: {}[...]", name) : "");
    return {};
  }
  if (frame.module->ast.incomplete || frame.module->failed_imports) return {};
  const std::string closest = diag::closest_name(name, frame.module->names());
  std::string hint = closest.empty() ? "" : fmt::format("did you mean '{}'?", closest);
  if (name == "int" || name == "round") hint = "round down with floor(...)";
  if (name == "float") hint = "ints become floats by themselves beside a float";
  if (name == "where" || name == "select") hint = "a choice is written condition ? a : b";
  if (name == "pow") hint = "there is no power: use exp(y * log(x))";
  error(Kind::UnknownMasker, expr.head,
        fmt::format("no masker, score or function is called {}", diag::quoted(name)), frame)
      .with_hint(std::move(hint));
  return {};
}

TypedValue Lowering::function_call(const BuiltinFunction& function, const Expr& expr,
                                   Frame& frame) {
  const bool folds = function.function == Function::Min || function.function == Function::Max;
  std::vector<TypedValue> values;
  bool failed = false, is_float = false;
  for (const Argument& argument : expr.arguments) {
    if (argument.named()) {
      error(Kind::UnknownArgument, argument.name,
            fmt::format("the arguments of '{}' have no names", function.name), frame);
      failed = true;
    }
    TypedValue value = scalar(expression(*argument.value, frame), *argument.value, frame);
    if (value.is_scalar() && builder_.type(value.value) == Type::Bool) {
      error(Kind::TypeMismatch, argument.value->range,
            fmt::format("'{}' takes numbers, but a bool is given", function.name), frame)
          .with_hint(function.function == Function::Min   ? "for masks write a & b"
                     : function.function == Function::Max ? "for masks write a | b"
                                                          : "write condition ? 1 : 0");
      value = {};
    }
    failed |= value.is_error();
    is_float |= value.is_scalar() && builder_.type(value.value) == Type::Float;
    values.push_back(value);
  }
  const size_t least = folds ? 2 : 1;
  if (values.size() < least) {
    error(Kind::MissingArgument, expr.range,
          fmt::format("'{}' takes {}, found {}", function.name,
                      folds ? "two or more arguments" : "one argument", values.size()),
          frame);
    return {};
  }
  if (!folds && values.size() > 1) {
    error(Kind::TooManyArguments, expr.range,
          fmt::format("'{}' takes one argument, found {}", function.name, values.size()), frame);
    return {};
  }
  if (failed) return {};
  TypedValue result = values[0];
  switch (function.function) {
    case Function::Abs:
      return built(builder_.unary(Op::Abs, result.value), expr.range, frame);
    case Function::Floor:
      if (!is_float) return result;
      return built(builder_.unary(Op::Floor, result.value), expr.range, frame);
    case Function::Exp:
    case Function::Log:
    case Function::Tanh:
    case Function::Sqrt:
      return built(builder_.unary(function.op, builder_.to_float(result.value)), expr.range, frame);
    case Function::Min:
    case Function::Max:
      break;
  }
  for (TypedValue& value : values) {
    if (is_float) value.value = builder_.to_float(value.value);
  }
  result = values[0];
  for (size_t i = 1; i < values.size() && !result.is_error(); ++i) {
    result = built(builder_.binary(function.op, result.value, values[i].value), expr.range, frame);
  }
  return result;
}

std::optional<std::vector<const Expr*>> Lowering::match_arguments(
    const Expr& expr, const std::vector<std::string_view>& params, Frame& frame) {
  std::vector<const Expr*> given(params.size(), nullptr);
  size_t positional = 0;
  bool good = true;
  for (const Argument& argument : expr.arguments) {
    size_t index = params.size();
    if (!argument.named()) {
      index = positional++;
      if (index >= params.size()) {
        if (index == params.size()) {
          error(Kind::TooManyArguments, argument.value->range,
                fmt::format("{} takes {} argument{}, found {}", diag::quoted(expr.name()),
                            params.size(), params.size() == 1 ? "" : "s", expr.arguments.size()),
                frame);
        }
        good = false;
        continue;
      }
    } else {
      const std::string_view name = argument.name.text();
      index = static_cast<size_t>(std::find(params.begin(), params.end(), name) - params.begin());
      if (index == params.size()) {
        const std::string closest =
            diag::closest_name(name, std::vector<std::string>(params.begin(), params.end()));
        std::string hint = "it has no parameters";
        if (!closest.empty()) {
          hint = fmt::format("did you mean '{}'?", closest);
        } else if (!params.empty()) {
          hint = fmt::format("its parameters are {}", fmt::join(params, ", "));
        }
        error(Kind::UnknownArgument, argument.name,
              fmt::format("{} has no parameter {}", diag::quoted(expr.name()), diag::quoted(name)),
              frame)
            .with_hint(std::move(hint));
        good = false;
        continue;
      }
    }
    if (given[index] != nullptr) {
      error(Kind::DuplicateArgument, argument.value->range,
            fmt::format("parameter {} is given twice", diag::quoted(params[index])), frame)
          .note(given[index]->range, "it is given here before");
      good = false;
    }
    given[index] = argument.value;
  }
  if (!good) return std::nullopt;
  return given;
}

TypedValue Lowering::default_of(const Parameter& param) {
  if (param.default_share) return TypedValue::scalar(builder_.share(param.default_share->share));
  return TypedValue::scalar(builder_.constant(*param.default_value));
}

TypedValue Lowering::tensor_argument(const Parameter& param, const Expr& argument,
                                     std::string_view callee, Frame& frame) {
  const Expr& expr = parse::strip_parens(argument);
  const std::string what =
      fmt::format("parameter {} of {}", diag::quoted(param.name), diag::quoted(callee));
  TypedValue value;
  if (expr.kind == Expr::Kind::Percent) {
    value = TypedValue::scalar(builder_.constant(ir::Scalar::of_float(expr.real)));
  } else {
    value = expression(argument, frame);
  }
  if (value.is_error()) return {};
  if (value.kind != TypedValue::Kind::Tensor) {
    error(Kind::NotATensor, argument.range,
          fmt::format("{} is {}, but {} is given", what, param.describe(), describe(value)), frame)
        .with_hint("pass a tensor parameter by its name, without subscripts");
    return {};
  }
  const ir::Tensor& tensor = builder_.function().tensors()[value.tensor];
  bool fits = ir::value_type(tensor.element) == ir::value_type(param.element);
  if (!param.dims.empty()) {
    fits &= tensor.dims.size() == param.dims.size();
    for (size_t i = 0; fits && i < param.dims.size(); ++i) {
      const bool broadcasts = tensor.dims[i] == ir::Dim{ir::Dim::Kind::Constant, 1};
      fits = broadcasts || tensor.dims[i] == param.dims[i];
    }
  }
  if (fits) return value;
  error(Kind::TypeMismatch, argument.range,
        fmt::format("{} is {}, but a tensor<{}>[{}] is given", what, param.describe(),
                    ir::name_of(tensor.element), names_of(tensor.dims)),
        frame)
      .with_hint("a dimension declared as 1 fits any, as in tensor<i32>[1, kv_len]");
  return {};
}

TypedValue Lowering::masker_call(const Callable& callable, const Expr& expr, Frame& frame) {
  if (callable.declaration->has_errors) return {};
  const size_t offset = callable.is_score() ? 1 : 0;
  std::vector<std::string_view> names;
  if (offset == 1) names.push_back("s");
  for (const Parameter& param : callable.params) names.push_back(param.name);
  const auto given = match_arguments(expr, names, frame);
  if (!given) return {};

  bool failed = false;
  TypedValue logit;
  if (offset == 1) {
    if ((*given)[0] == nullptr) {
      error(Kind::MissingArgument, expr.range,
            fmt::format("{} needs the logit", diag::quoted(expr.name())), frame)
          .with_hint(
              fmt::format("write {}(s{})", expr.name(), callable.params.empty() ? "" : ", ..."));
      failed = true;
    } else {
      logit = expression_as(Type::Float, *(*given)[0], frame, "the logit");
      failed = logit.is_error();
    }
  }
  std::vector<TypedValue> arguments;
  for (size_t i = 0; i < callable.params.size(); ++i) {
    const Parameter& param = callable.params[i];
    const Expr* argument = (*given)[i + offset];
    TypedValue value;
    if (param.kind == Parameter::Kind::Invalid) {
      if (argument != nullptr && parse::strip_parens(*argument).kind != Expr::Kind::Percent) {
        expression(*argument, frame);
      }
      failed = true;
    } else if (argument == nullptr) {
      if (param.has_default()) {
        value = default_of(param);
      } else {
        error(Kind::MissingArgument, expr.range,
              fmt::format("{} needs {}, {}", diag::quoted(expr.name()), diag::quoted(param.name),
                          param.describe()),
              frame)
            .note(param.range, "declared here, without a default");
        failed = true;
      }
    } else if (param.kind == Parameter::Kind::Tensor) {
      value = tensor_argument(param, *argument, expr.name(), frame);
    } else {
      value = expression_as(
          param.type, *argument, frame,
          fmt::format("parameter {} of {}", diag::quoted(param.name), diag::quoted(expr.name())));
    }
    failed |= value.is_error();
    arguments.push_back(value);
  }
  if (failed || callable.result == Callable::Result::Unknown) return {};
  if (mode_ == Mode::Check) return opaque_call(callable);
  return inline_call(callable, expr, logit, arguments, frame);
}

// Something of the right type about which nothing is known.
TypedValue Lowering::opaque_call(const Callable& callable) {
  const auto fresh = [&](Type type) {
    ir::Param param;
    param.name = fmt::format("call#{}", opaque_values_++);
    param.type = type;
    ir::Function& function = builder_.function();
    return function.parameter(function.add_param(std::move(param)));
  };
  switch (callable.result) {
    case Callable::Result::Unknown:
      return {};
    case Callable::Result::Mask:
      return TypedValue::scalar(fresh(Type::Bool));
    case Callable::Result::Logit:
      return TypedValue::scalar(fresh(Type::Float));
    case Callable::Result::Sequence:
    case Callable::Result::LimitedSequence: {
      Sequence sequence = to_sequence(TypedValue::scalar(fresh(Type::Bool)));
      sequence.is_chain = true;
      if (callable.result == Callable::Result::LimitedSequence) sequence.limit = fresh(Type::Bool);
      return TypedValue::of(std::move(sequence));
    }
  }
  return {};
}

TypedValue Lowering::inline_call(const Callable& callable, const Expr& expr,
                                 const TypedValue& logit, const std::vector<TypedValue>& arguments,
                                 Frame& frame) {
  std::vector<uint64_t> key = {reinterpret_cast<uintptr_t>(&callable), logit.value.id};
  for (const TypedValue& argument : arguments) {
    key.push_back(argument.kind == TypedValue::Kind::Tensor ? argument.tensor : argument.value.id);
  }
  if (const auto known = inlined_.find(key); known != inlined_.end()) return known->second;

  Frame inner;
  inner.module = callable.module;
  inner.callee = callable.name();
  inner.caller = &frame;
  inner.call = expr.range;
  inner.logit = logit;
  inner.has_logit = callable.is_score();
  for (size_t i = 0; i < arguments.size(); ++i) {
    inner.locals[callable.params[i].name] = {arguments[i], callable.params[i].range};
  }
  TypedValue result = body(*callable.declaration, inner);
  if (callable.is_score() && result.is_scalar()) result.value = builder_.to_float(result.value);
  inlined_.emplace(std::move(key), result);
  return result;
}

}  // namespace maskjit::check
