#include <fmt/format.h>

#include "masker_dsl/check/lowering.h"
#include "masker_dsl/check/selectors.h"
#include "masker_dsl/diag/text.h"

namespace maskjit::check {

using diag::Kind;
using ir::Op;
using ir::Type;
using parse::BinaryOp;
using parse::Expr;
using parse::UnaryOp;
using source::SourceRange;

namespace {

constexpr int kMaxRecursion = 700;       // nested expressions, inlined calls included
constexpr size_t kMaxSteps = 1'000'000;  // expressions lowered for one program

std::string_view article(Type type) {
  switch (type) {
    case Type::Bool:
      return "a bool";
    case Type::Int:
      return "an int";
    case Type::Float:
      return "a float";
  }
  return "";
}

}  // namespace

std::string Lowering::describe(const TypedValue& value) const {
  switch (value.kind) {
    case TypedValue::Kind::Error:
      return "an error";
    case TypedValue::Kind::Scalar:
      return std::string(article(builder_.type(value.value)));
    case TypedValue::Kind::Tensor:
      return "a tensor";
    case TypedValue::Kind::Sequence:
      return value.sequence->is_chain ? "a sequence" : "a selector";
  }
  return "";
}

diag::Diagnostic& Lowering::error(Kind kind, SourceRange range, std::string message,
                                  const Frame& frame) {
  const Frame* at = &frame;
  SourceRange shown = range;
  std::string_view library_callee;
  while (at->module->is_library && at->caller != nullptr) {
    shown = at->call;
    library_callee = at->callee;
    at = at->caller;
  }
  diag::Diagnostic& error = diagnostics_.error(kind, shown, std::move(message));
  if (!library_callee.empty()) {
    error.note(range, fmt::format("here, in '{}' of the standard library", library_callee));
  }
  for (int notes = 0; at->caller != nullptr && notes < 3; at = at->caller, ++notes) {
    error.note(at->call, fmt::format("in this call of {}", diag::quoted(at->callee)));
  }
  return error;
}

TypedValue Lowering::built(ir::Value value, SourceRange range, Frame& frame) {
  switch (builder_.take_problem()) {
    case Builder::Problem::None:
      return TypedValue::scalar(value);
    case Builder::Problem::Overflow:
      error(Kind::ConstantOverflow, range, "the constant result does not fit 64 bits", frame)
          .with_hint("integers go from -2^63 to 2^63 - 1");
      return {};
    case Builder::Problem::DivisionByZero:
      error(Kind::DivisionByZero, range, "the divisor is the constant 0", frame);
      return {};
    case Builder::Problem::ShiftOutOfRange:
      error(Kind::ShiftOutOfRange, range, "the constant shift amount is not in 0..63", frame);
      return {};
    case Builder::Problem::TooLarge:
      break;
  }
  if (!std::exchange(too_large_, true)) {
    error(Kind::ProgramTooLarge, range,
          fmt::format("the program expands to over {} operations, or {} on one path",
                      Builder::kMaxNodes, Builder::kMaxDepth),
          frame)
        .with_hint("read large tables from a tensor instead of spelling them out");
  }
  return {};
}

TypedValue Lowering::expression(const Expr& expr, Frame& frame) {
  if (too_large_) return {};
  if (depth_ >= kMaxRecursion || ++steps_ > kMaxSteps) {
    too_large_ = true;
    const bool deep = depth_ >= kMaxRecursion;
    error(
        deep ? Kind::NestingTooDeep : Kind::ProgramTooLarge, expr.range,
        deep ? "maskers call each other too deeply" : "the program expands to too many operations",
        frame)
        .with_hint("compute shared parts once in a let, or read them from a tensor");
    return {};
  }
  ++depth_;
  TypedValue result;
  switch (expr.kind) {
    case Expr::Kind::Error:
      break;
    case Expr::Kind::Integer:
      result = TypedValue::scalar(builder_.constant(ir::Scalar::of_int(expr.integer)));
      break;
    case Expr::Kind::Float:
      result = TypedValue::scalar(builder_.constant(ir::Scalar::of_float(expr.real)));
      break;
    case Expr::Kind::Bool:
      result = TypedValue::scalar(builder_.constant(ir::Scalar::of_bool(expr.integer != 0)));
      break;
    case Expr::Kind::Percent:
      error(Kind::ShareWithoutSize, expr.range,
            fmt::format("{} is a share of nothing in particular here", expr.range.text()), frame)
          .with_hint(
              "a percentage is an argument or a default, as in local(10%); elsewhere write "
              "floor(0.1 * kv_len)");
      break;
    case Expr::Kind::Name:
      result = name(expr, frame);
      break;
    case Expr::Kind::Paren:
      result = expression(*expr.operands[0], frame);
      break;
    case Expr::Kind::Unary:
      result = unary(expr, frame);
      break;
    case Expr::Kind::Binary: {
      const std::vector<const Expr*> spine = parse::left_spine(expr);
      result = expression(*spine.back()->operands[0], frame);
      for (auto node = spine.rbegin(); node != spine.rend() && !too_large_; ++node) {
        const Expr& right = *(*node)->operands[1];
        if ((*node)->binary == BinaryOp::FloorDiv) floor_divisor_ = &right;
        const TypedValue b = expression(right, frame);
        result = binary(**node, result, b, frame);
      }
      break;
    }
    case Expr::Kind::Conditional:
      result = conditional(expr, frame);
      break;
    case Expr::Kind::Call:
      result = call(expr, frame);
      break;
    case Expr::Kind::Subscript:
      result = subscript(expr, frame);
      break;
  }
  --depth_;
  return result;
}

TypedValue Lowering::expression_as(Type type, const Expr& expr, Frame& frame,
                                   std::string_view what) {
  const Expr& inner = parse::strip_parens(expr);
  if (inner.kind == Expr::Kind::Percent && type != Type::Bool) {
    if (type == Type::Float)
      return TypedValue::scalar(builder_.constant(ir::Scalar::of_float(inner.real)));
    return built(builder_.share(inner.real), inner.range, frame);
  }
  TypedValue value = scalar(expression(expr, frame), expr, frame);
  if (value.is_error()) return {};
  const Type found = builder_.type(value.value);
  if (found == type) return value;
  if (type == Type::Float && found == Type::Int)
    return built(builder_.to_float(value.value), expr.range, frame);
  std::string hint;
  if (type == Type::Int && found == Type::Float) hint = "round it with floor(...)";
  if (type == Type::Bool && found == Type::Int) hint = "compare it with something, as in x != 0";
  if (type != Type::Bool && found == Type::Bool) hint = "choose numbers with condition ? 1 : 0";
  error(Kind::TypeMismatch, expr.range,
        fmt::format("{} is {}, but {} is given", what, article(type), article(found)), frame)
      .with_hint(std::move(hint));
  return {};
}

TypedValue Lowering::name(const Expr& expr, Frame& frame) {
  const std::string_view name = expr.name();
  const bool after_slashes = &expr == floor_divisor_;
  const std::string comment_hint = "after code // is floor division; start a comment there with #";
  if (const auto local = frame.locals.find(name); local != frame.locals.end()) {
    local->second.used = true;
    return local->second.value;
  }
  if (name == "s") {
    if (frame.has_logit) return frame.logit;
    error(Kind::LogitOutsideScore, expr.range, "'s', the logit, exists only in scores", frame)
        .with_hint("masks depend on positions; selectors such as top_k(n) look at the logits");
    return {};
  }
  if (const BuiltinVariable* variable = find_variable(name)) {
    const ir::Value value = builder_.variable(variable->var);
    if (!variable->is_query_index) return TypedValue::scalar(value);
    return built(builder_.binary(Op::Sub, value, builder_.variable(ir::Var::QOffset)), expr.range,
                 frame);
  }
  const Callable* callable = frame.module->find(name);
  if (callable != nullptr || !builtin_category(name).empty()) {
    const std::string what = callable != nullptr ? (callable->is_score() ? "a score" : "a masker")
                                                 : std::string(builtin_category(name));
    const bool no_params = callable != nullptr && callable->params.empty() && !callable->is_score();
    error(Kind::MissingCall, expr.range,
          fmt::format("{} is {}, named here without its arguments", diag::quoted(name), what),
          frame)
        .with_hint(after_slashes ? comment_hint
                                 : fmt::format("write {}({})", name, no_params ? "" : "..."));
    return {};
  }
  std::vector<std::string> candidates;
  for (const auto& [known, local] : frame.locals) candidates.emplace_back(known);
  for (const BuiltinVariable& variable : builtin_variables())
    candidates.emplace_back(variable.name);
  std::string suggestion(foreign_name(name));
  if (suggestion.empty() || (suggestion == "s" && !frame.has_logit))
    suggestion = diag::closest_name(name, candidates);
  auto& unknown = error(Kind::UnknownName, expr.range,
                        fmt::format("nothing is called {} here", diag::quoted(name)), frame);
  if (after_slashes) {
    unknown.with_hint(comment_hint);
  } else if (!suggestion.empty()) {
    unknown.with_hint(fmt::format("did you mean '{}'?", suggestion));
  }
  return {};
}

TypedValue Lowering::scalar(const TypedValue& value, const Expr& expr, Frame& frame) {
  switch (value.kind) {
    case TypedValue::Kind::Error:
    case TypedValue::Kind::Scalar:
      return value;
    case TypedValue::Kind::Sequence:
      return misplaced(value, expr, frame);
    case TypedValue::Kind::Tensor:
      break;
  }
  const ir::Tensor& tensor = builder_.function().tensors()[value.tensor];
  error(Kind::TensorAsScalar, expr.range, "a whole tensor stands where one element is meant", frame)
      .with_hint(
          fmt::format("subscript it, one subscript for each of [{}]", names_of(tensor.dims)));
  return {};
}

TypedValue Lowering::operand_error(const Expr& expr, const TypedValue& a, const TypedValue& b,
                                   std::string_view needs, std::string hint, Frame& frame) {
  error(Kind::TypeMismatch, expr.head,
        fmt::format("'{}' needs {}, found {} and {}", parse::spelling(expr.binary), needs,
                    describe(a), describe(b)),
        frame)
      .note(expr.operands[0]->range, fmt::format("this is {}", describe(a)))
      .with_hint(std::move(hint));
  return {};
}

void Lowering::unify(TypedValue& a, TypedValue& b) {
  if (builder_.type(a.value) == Type::Float && builder_.type(b.value) == Type::Int)
    b.value = builder_.to_float(b.value);
  if (builder_.type(b.value) == Type::Float && builder_.type(a.value) == Type::Int)
    a.value = builder_.to_float(a.value);
}

TypedValue Lowering::unary(const Expr& expr, Frame& frame) {
  const TypedValue operand = scalar(expression(*expr.operands[0], frame), *expr.operands[0], frame);
  if (operand.is_error()) return {};
  const Type type = builder_.type(operand.value);
  std::string_view needs, hint;
  switch (expr.unary) {
    case UnaryOp::Negate:
      if (type != Type::Bool)
        return built(builder_.unary(Op::Neg, operand.value), expr.range, frame);
      needs = "a number";
      hint = "the opposite of a mask is !mask";
      break;
    case UnaryOp::Not:
      if (type == Type::Bool)
        return built(builder_.unary(Op::Not, operand.value), expr.range, frame);
      needs = "a bool";
      hint = type == Type::Int ? "flip bits with ~, or compare: x == 0" : "compare: x == 0.0";
      break;
    case UnaryOp::Complement:
      if (type == Type::Int)
        return built(builder_.unary(Op::Not, operand.value), expr.range, frame);
      needs = "an int";
      hint = type == Type::Bool ? "the opposite of a mask is !mask" : "";
      break;
  }
  error(Kind::TypeMismatch, expr.head,
        fmt::format("'{}' needs {}, found {}", parse::spelling(expr.unary), needs, article(type)),
        frame)
      .with_hint(std::string(hint));
  return {};
}

TypedValue Lowering::binary(const Expr& expr, const TypedValue& left, const TypedValue& right,
                            Frame& frame) {
  if (left.is_error() || right.is_error()) return {};
  if (expr.binary == BinaryOp::Then) return then(expr, left, right, frame);
  const bool sequences =
      left.kind == TypedValue::Kind::Sequence || right.kind == TypedValue::Kind::Sequence;
  if (expr.binary == BinaryOp::And && sequences) return limited(expr, left, right, frame);
  TypedValue a = scalar(left, *expr.operands[0], frame);
  TypedValue b = scalar(right, *expr.operands[1], frame);
  if (a.is_error() || b.is_error()) return {};
  switch (expr.binary) {
    case BinaryOp::Or:
    case BinaryOp::Xor:
    case BinaryOp::And:
      return logical(expr, a, b, frame);
    case BinaryOp::Eq:
    case BinaryOp::Ne:
    case BinaryOp::Lt:
    case BinaryOp::Le:
    case BinaryOp::Gt:
    case BinaryOp::Ge:
      return comparison(expr, a, b, frame);
    default:
      return arithmetic(expr, a, b, frame);
  }
}

TypedValue Lowering::logical(const Expr& expr, const TypedValue& a, const TypedValue& b,
                             Frame& frame) {
  const Type type_a = builder_.type(a.value), type_b = builder_.type(b.value);
  if (type_a != type_b || type_a == Type::Float) {
    const bool mixed = type_a == Type::Bool || type_b == Type::Bool;
    return operand_error(
        expr, a, b, "two bools or two ints",
        mixed ? "comparisons bind tighter than & ^ |: write (a & b) == c for a comparison of bits"
              : "",
        frame);
  }
  const Op op = expr.binary == BinaryOp::And  ? Op::And
                : expr.binary == BinaryOp::Or ? Op::Or
                                              : Op::Xor;
  return built(builder_.binary(op, a.value, b.value), expr.range, frame);
}

TypedValue Lowering::comparison(const Expr& expr, const TypedValue& left, const TypedValue& right,
                                Frame& frame) {
  TypedValue a = left, b = right;
  const bool bool_a = builder_.type(a.value) == Type::Bool,
             bool_b = builder_.type(b.value) == Type::Bool;
  const bool equality = expr.binary == BinaryOp::Eq || expr.binary == BinaryOp::Ne;
  if (bool_a != bool_b) {
    return operand_error(expr, a, b, "operands of one type",
                         "a bool never converts: write condition ? 1 : 0", frame);
  }
  if (bool_a && !equality)
    return operand_error(expr, a, b, "numbers", "implication is !a | b", frame);
  unify(a, b);
  Op op = Op::Eq;
  switch (expr.binary) {
    case BinaryOp::Ne:
      op = Op::Ne;
      break;
    case BinaryOp::Lt:
      op = Op::Lt;
      break;
    case BinaryOp::Le:
      op = Op::Le;
      break;
    case BinaryOp::Gt:
      op = Op::Lt;
      std::swap(a, b);
      break;
    case BinaryOp::Ge:
      op = Op::Le;
      std::swap(a, b);
      break;
    default:
      break;
  }
  return built(builder_.binary(op, a.value, b.value), expr.range, frame);
}

TypedValue Lowering::arithmetic(const Expr& expr, const TypedValue& left, const TypedValue& right,
                                Frame& frame) {
  TypedValue a = left, b = right;
  const Type type_a = builder_.type(a.value), type_b = builder_.type(b.value);
  if (type_a == Type::Bool && type_b == Type::Bool && expr.binary == BinaryOp::Sub) {
    const ir::Value outside = builder_.unary(Op::Not, b.value);
    return built(builder_.binary(Op::And, a.value, outside), expr.range, frame);
  }
  if (type_a == Type::Bool || type_b == Type::Bool) {
    const bool both = type_a == type_b;
    return operand_error(expr, a, b, "numbers",
                         both ? "masks combine with & | ^ ! and -"
                              : "a bool never converts: write condition ? 1 : 0",
                         frame);
  }
  Op op = Op::Add;
  bool ints_only = true;
  std::string_view hint = "round with floor(...)";
  switch (expr.binary) {
    case BinaryOp::Add:
      ints_only = false;
      break;
    case BinaryOp::Sub:
      op = Op::Sub, ints_only = false;
      break;
    case BinaryOp::Mul:
      op = Op::Mul, ints_only = false;
      break;
    case BinaryOp::Div:
      op = Op::Div, ints_only = false;
      break;
    case BinaryOp::FloorDiv:
      op = Op::FloorDiv, hint = "for floats write floor(a / b)";
      break;
    case BinaryOp::Mod:
      op = Op::FloorMod, hint = "for floats write a - b * floor(a / b)";
      break;
    case BinaryOp::ShiftLeft:
      op = Op::Shl;
      break;
    case BinaryOp::ShiftRight:
      op = Op::Shr;
      break;
    default:
      break;
  }
  if (ints_only && (type_a == Type::Float || type_b == Type::Float)) {
    return operand_error(expr, a, b, "two ints", std::string(hint), frame);
  }
  if (op == Op::Div) {
    a.value = builder_.to_float(a.value);
    b.value = builder_.to_float(b.value);
  } else {
    unify(a, b);
  }
  return built(builder_.binary(op, a.value, b.value), expr.range, frame);
}

TypedValue Lowering::conditional(const Expr& expr, Frame& frame) {
  const Expr& first = *expr.operands[1];
  const Expr& second = *expr.operands[2];
  const TypedValue condition =
      expression_as(Type::Bool, *expr.operands[0], frame, "the condition of ? :");
  TypedValue a = scalar(expression(first, frame), first, frame);
  TypedValue b = scalar(expression(second, frame), second, frame);
  if (condition.is_error() || a.is_error() || b.is_error()) return {};
  unify(a, b);
  if (builder_.type(a.value) != builder_.type(b.value)) {
    error(
        Kind::TypeMismatch, expr.head,
        fmt::format("the values of ? : are of one type, found {} and {}", describe(a), describe(b)),
        frame)
        .note(first.range, fmt::format("this is {}", describe(a)))
        .note(second.range, fmt::format("this is {}", describe(b)));
    return {};
  }
  return built(builder_.select(condition.value, a.value, b.value), expr.range, frame);
}

TypedValue Lowering::subscript(const Expr& expr, Frame& frame) {
  const auto local = frame.locals.find(expr.name());
  if (local == frame.locals.end() || local->second.value.kind != TypedValue::Kind::Tensor) {
    const bool known = local != frame.locals.end() || !builtin_category(expr.name()).empty() ||
                       frame.module->find(expr.name()) != nullptr;
    if (local != frame.locals.end()) local->second.used = true;
    if (local != frame.locals.end() && local->second.value.is_error()) return {};
    std::vector<std::string> tensors;
    for (const auto& [name, candidate] : frame.locals) {
      if (candidate.value.kind == TypedValue::Kind::Tensor) tensors.emplace_back(name);
    }
    const std::string closest = diag::closest_name(expr.name(), tensors);
    error(known ? Kind::NotATensor : Kind::UnknownName, expr.head,
          known ? diag::quoted(expr.name()) + " is not a tensor"
                : fmt::format("no tensor is called {} here", diag::quoted(expr.name())),
          frame)
        .with_hint(closest.empty()
                       ? "only parameters of type tensor<element>[dimensions] have subscripts"
                       : fmt::format("did you mean '{}'?", closest));
    return {};
  }
  local->second.used = true;
  const uint32_t index = local->second.value.tensor;
  std::vector<ir::Value> subscripts;
  bool failed = false;
  for (const Expr* operand : expr.operands) {
    const TypedValue value = expression_as(Type::Int, *operand, frame, "a subscript");
    failed |= value.is_error();
    subscripts.push_back(value.value);
  }
  const ir::Tensor& tensor = builder_.function().tensors()[index];
  if (subscripts.size() != tensor.dims.size()) {
    error(Kind::WrongSubscripts, expr.range,
          fmt::format("{} has {} dimension{}, found {} subscript{}", diag::quoted(expr.name()),
                      tensor.dims.size(), tensor.dims.size() == 1 ? "" : "s", subscripts.size(),
                      subscripts.size() == 1 ? "" : "s"),
          frame)
        .note(local->second.declared,
              fmt::format("its dimensions are [{}]", names_of(tensor.dims)));
    return {};
  }
  if (failed) return {};
  return built(builder_.load(index, subscripts), expr.range, frame);
}

TypedValue Lowering::body(const parse::Declaration& declaration, Frame& frame) {
  for (const parse::Let& let : declaration.lets) {
    TypedValue value = expression(*let.value, frame);
    if (value.kind == TypedValue::Kind::Tensor) value = scalar(value, *let.value, frame);
    const std::string_view name = let.name.text();
    if (const std::string_view builtin = builtin_category(name); !builtin.empty()) {
      error(Kind::ShadowsBuiltin, let.name,
            fmt::format("{} is {} of the language", diag::quoted(name), builtin), frame)
          .with_hint("choose another name");
    }
    const auto [local, added] = frame.locals.try_emplace(name, Local{value, let.name});
    if (!added) {
      error(Kind::DuplicateName, let.name, fmt::format("{} is declared twice", diag::quoted(name)),
            frame)
          .note(local->second.declared, "it is declared here before");
      local->second.value = {};
    }
  }
  return expression(*declaration.result, frame);
}

}  // namespace maskjit::check
