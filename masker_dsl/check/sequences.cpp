#include <fmt/ranges.h>

#include "masker_dsl/check/lowering.h"
#include "masker_dsl/check/selectors.h"
#include "masker_dsl/diag/text.h"

namespace maskjit::check {

using diag::Kind;
using ir::Op;
using ir::Stage;
using ir::Type;
using parse::Expr;

Sequence Lowering::to_sequence(const TypedValue& value) const {
  if (value.kind == TypedValue::Kind::Sequence) return *value.sequence;
  Sequence sequence;
  Stage stage;
  stage.mask = value.value;
  sequence.stages.push_back(std::move(stage));
  return sequence;
}

TypedValue Lowering::then(const Expr& expr, const TypedValue& a, const TypedValue& b,
                          Frame& frame) {
  Sequence result;
  result.is_chain = true;
  const TypedValue* operands[] = {&a, &b};
  for (int i = 0; i < 2; ++i) {
    const TypedValue& operand = *operands[i];
    const Expr& operand_expr = *expr.operands[i];
    const bool is_mask = operand.is_scalar() && builder_.type(operand.value) == Type::Bool;
    if (operand.kind == TypedValue::Kind::Tensor) return scalar(operand, operand_expr, frame);
    if (!is_mask && operand.kind != TypedValue::Kind::Sequence) {
      error(
          Kind::TypeMismatch, operand_expr.range,
          fmt::format("a stage of a sequence is a mask or a selector, found {}", describe(operand)),
          frame);
      return {};
    }
    const Sequence part = to_sequence(operand);
    if (part.limit.valid()) {
      error(Kind::MisplacedThen, operand_expr.range,
            "this stage is a sequence with a limit of its own", frame)
          .with_hint("limit the whole chain: C & (a then b then c)");
      return {};
    }
    result.has_selector |= part.has_selector;
    result.stages.insert(result.stages.end(), part.stages.begin(), part.stages.end());
  }
  constexpr size_t kMaxStages = 256;
  if (result.stages.size() > kMaxStages) {
    error(Kind::ProgramTooLarge, expr.head,
          fmt::format("the sequence has over {} stages", kMaxStages), frame);
    return {};
  }
  return TypedValue::of(std::move(result));
}

// C & (a then b) and (a then b) & C: C limits what every stage may select.
TypedValue Lowering::limited(const Expr& expr, const TypedValue& a, const TypedValue& b,
                             Frame& frame) {
  const bool sequence_first = a.kind == TypedValue::Kind::Sequence;
  const TypedValue& sequence = sequence_first ? a : b;
  const TypedValue& other = sequence_first ? b : a;
  const Expr& other_expr = *expr.operands[sequence_first ? 1 : 0];
  if (other.kind == TypedValue::Kind::Sequence) {
    error(Kind::MisplacedThen, expr.head, "'&' joins two sequences", frame)
        .with_hint(
            "chain the stages with then, and limit the chain by a plain mask: C & (a then b)");
    return {};
  }
  const TypedValue limit = scalar(other, other_expr, frame);
  if (limit.is_error()) return {};
  if (builder_.type(limit.value) != Type::Bool)
    return operand_error(expr, a, b, "a mask beside the sequence", "", frame);
  Sequence result = *sequence.sequence;
  result.limit =
      result.limit.valid() ? builder_.binary(Op::And, result.limit, limit.value) : limit.value;
  const TypedValue checked = built(result.limit, expr.range, frame);
  if (checked.is_error()) return {};
  return TypedValue::of(std::move(result));
}

TypedValue Lowering::misplaced(const TypedValue& value, const Expr& expr, Frame& frame) {
  const bool chain = value.sequence->is_chain;
  error(chain ? Kind::MisplacedThen : Kind::MisplacedSelector, expr.range,
        chain ? "a sequence cannot be part of this expression"
              : "a selector cannot be part of this expression",
        frame)
      .with_hint(chain ? "a sequence is a whole mask, or stands in C & (a then b)"
                       : "a selector is a stage of a sequence: write mask then selector");
  return {};
}

TypedValue Lowering::selector_call(const SelectorInfo& selector, const Expr& expr, Frame& frame) {
  std::vector<std::string_view> names;
  for (const SelectorParam& param : selector.params) names.push_back(param.name);
  if (selector.takes_scorer) names.push_back("by");
  const auto given = match_arguments(expr, names, frame);
  if (!given) return {};
  Stage stage;
  stage.rule = selector.rule;
  bool good =
      selector_arguments(selector.name, selector.params, expr, *given, stage.arguments, frame);
  if (selector.takes_scorer) good &= scorer(given->back(), stage, frame);
  if (!good) return {};
  Sequence sequence;
  sequence.has_selector = true;
  sequence.stages.push_back(std::move(stage));
  return TypedValue::of(std::move(sequence));
}

bool Lowering::selector_arguments(std::string_view callee, std::span<const SelectorParam> params,
                                  const Expr& expr, const std::vector<const Expr*>& given,
                                  std::vector<Stage::Argument>& out, Frame& frame) {
  using ParamKind = SelectorParam::Kind;
  bool good = true;
  for (size_t i = 0; i < params.size(); ++i) {
    const SelectorParam& param = params[i];
    const Expr* argument = given[i];
    Stage::Argument result{std::string(param.name), {}, std::nullopt};
    if (argument == nullptr) {
      if (!param.default_value) {
        error(Kind::MissingArgument, expr.range, fmt::format("'{}' needs '{}'", callee, param.name),
              frame);
        good = false;
        continue;
      }
      result.value = builder_.constant(*param.default_value);
      out.push_back(std::move(result));
      continue;
    }
    const std::string what = fmt::format("parameter '{}' of '{}'", param.name, callee);
    TypedValue value;
    switch (param.kind) {
      case ParamKind::Count:
      case ParamKind::Structure:
        value = expression_as(Type::Int, *argument, frame, what);
        break;
      case ParamKind::Fraction:
        value = expression_as(Type::Float, *argument, frame, what);
        break;
      case ParamKind::Flag:
        value = expression_as(Type::Bool, *argument, frame, what);
        break;
      case ParamKind::CountOrFraction: {
        const bool percent = parse::strip_parens(*argument).kind == Expr::Kind::Percent;
        if (percent) {
          value = expression_as(Type::Float, *argument, frame, what);
        } else {
          value = scalar(expression(*argument, frame), *argument, frame);
          if (!value.is_error() && builder_.type(value.value) == Type::Bool) {
            error(Kind::TypeMismatch, argument->range,
                  fmt::format("{} is a number, but a bool is given", what), frame);
            value = {};
          }
        }
        break;
      }
      case ParamKind::Choice:
        value = choice(param, *argument, frame, what);
        break;
      case ParamKind::Tensor:
      case ParamKind::IntTensor: {
        Parameter tensor;
        tensor.kind = Parameter::Kind::Tensor;
        tensor.name = param.name;
        tensor.element = param.kind == ParamKind::Tensor ? ir::Element::F32 : ir::Element::I32;
        value = tensor_argument(tensor, *argument, callee, frame);
        break;
      }
    }
    if (value.is_error()) {
      good = false;
      continue;
    }
    if (value.kind == TypedValue::Kind::Tensor) {
      result.tensor = value.tensor;
      out.push_back(std::move(result));
      continue;
    }
    result.value = value.value;
    const bool structural = param.kind == ParamKind::Structure || param.kind == ParamKind::Flag;
    const uint32_t varies = builder_.function().variables_of(value.value);
    if (structural && builder_.function().binding_time(value.value) != ir::BindingTime::Const) {
      error(Kind::NotConstant, argument->range,
            fmt::format("{} must be known at compile time", what), frame)
          .with_hint("use a number, or a parameter that is not runtime");
      good = false;
    } else if ((varies & (ir::bit(ir::Var::Key) | ir::bit(ir::Var::Score))) != 0) {
      error(Kind::NotConstant, argument->range, fmt::format("{} may not depend on the key", what),
            frame)
          .with_hint(
              "a selector chooses among the keys of one row: batch, head and q are fixed, k and s "
              "are not");
      good = false;
    } else if (const auto constant = builder_.constant_of(value.value)) {
      if (const std::string problem = range_error(param, *constant); !problem.empty()) {
        error(Kind::OutOfRange, argument->range, fmt::format("{} {}", what, problem), frame);
        good = false;
      }
    }
    out.push_back(std::move(result));
  }
  return good;
}

// A name that means its place in the parameter's list, whatever else it may mean elsewhere.
TypedValue Lowering::choice(const SelectorParam& param, const Expr& argument, Frame& frame,
                            std::string_view what) {
  const Expr& expr = parse::strip_parens(argument);
  if (expr.kind == Expr::Kind::Error) return {};
  const bool named = expr.kind == Expr::Kind::Name;
  for (size_t i = 0; named && i < param.choices.size(); ++i) {
    if (expr.name() == param.choices[i])
      return TypedValue::scalar(builder_.constant(ir::Scalar::of_int(static_cast<int64_t>(i))));
  }
  const std::vector<std::string> names(param.choices.begin(), param.choices.end());
  diag::Diagnostic& diagnostic =
      error(named ? Kind::UnknownName : Kind::TypeMismatch, expr.range,
            fmt::format("{} is one of {}{}", what, fmt::join(names, ", "),
                        named ? fmt::format(", found '{}'", expr.name()) : ""),
            frame);
  const std::string closest = named ? diag::closest_name(expr.name(), names) : "";
  if (!closest.empty()) diagnostic.with_hint(fmt::format("did you mean '{}'?", closest));
  return {};
}

bool Lowering::scorer(const Expr* argument, Stage& stage, Frame& frame) {
  if (argument == nullptr) {
    stage.scorer = "logits";
    return true;
  }
  const Expr& expr = parse::strip_parens(*argument);
  const bool named = expr.kind == Expr::Kind::Name || expr.kind == Expr::Kind::Call;
  const ScorerInfo* info = named ? find_scorer(expr.name()) : nullptr;
  if (info == nullptr) {
    if (expr.kind == Expr::Kind::Error) return false;
    std::vector<std::string> names;
    for (const ScorerInfo& known : scorers()) names.emplace_back(known.name);
    const std::string closest = named ? diag::closest_name(expr.name(), names) : "";
    error(Kind::MisplacedScorer, expr.range, "'by' takes a scorer", frame)
        .with_hint(closest.empty() ? "scorers are logits, page_bound(...), channels(...), "
                                     "hash_bits(...) and pq_codes(...)"
                                   : fmt::format("did you mean '{}'?", closest));
    return false;
  }
  stage.scorer = info->name;
  std::vector<std::string_view> names;
  for (const SelectorParam& param : info->params) names.push_back(param.name);
  if (expr.kind == Expr::Kind::Name && !info->params.empty()) {
    error(Kind::MissingCall, expr.range,
          fmt::format("'{}' is a scorer, named here without its arguments", info->name), frame)
        .with_hint(fmt::format("write {}({})", info->name, names.front()));
    return false;
  }
  const auto given = match_arguments(expr, names, frame);
  return given &&
         selector_arguments(info->name, info->params, expr, *given, stage.scorer_arguments, frame);
}

}  // namespace maskjit::check
