#include "masker_dsl/parse/expression_parser.h"

#include <fmt/format.h>

#include <optional>

#include "masker_dsl/diag/text.h"

namespace maskjit::parse {

using diag::Kind;
using lex::TokenKind;
using source::SourceRange;

namespace {

constexpr int kComparisonPrecedence = 4;

struct Operator {
  BinaryOp op;
  int precedence;
};

std::optional<Operator> binary_operator(TokenKind kind) {
  switch (kind) {
    case TokenKind::PipePipe:
    case TokenKind::Pipe:
      return Operator{BinaryOp::Or, 1};
    case TokenKind::Caret:
      return Operator{BinaryOp::Xor, 2};
    case TokenKind::AmpAmp:
    case TokenKind::Amp:
      return Operator{BinaryOp::And, 3};
    case TokenKind::TripleEqual:
    case TokenKind::EqualEqual:
      return Operator{BinaryOp::Eq, kComparisonPrecedence};
    case TokenKind::BangEqual:
      return Operator{BinaryOp::Ne, kComparisonPrecedence};
    case TokenKind::Less:
      return Operator{BinaryOp::Lt, kComparisonPrecedence};
    case TokenKind::LessEqual:
      return Operator{BinaryOp::Le, kComparisonPrecedence};
    case TokenKind::Greater:
      return Operator{BinaryOp::Gt, kComparisonPrecedence};
    case TokenKind::GreaterEqual:
      return Operator{BinaryOp::Ge, kComparisonPrecedence};
    case TokenKind::ShiftLeft:
      return Operator{BinaryOp::ShiftLeft, 5};
    case TokenKind::ShiftRight:
      return Operator{BinaryOp::ShiftRight, 5};
    case TokenKind::Plus:
      return Operator{BinaryOp::Add, 6};
    case TokenKind::Minus:
      return Operator{BinaryOp::Sub, 6};
    case TokenKind::StarStar:
    case TokenKind::Star:
      return Operator{BinaryOp::Mul, 7};
    case TokenKind::Slash:
      return Operator{BinaryOp::Div, 7};
    case TokenKind::SlashSlash:
      return Operator{BinaryOp::FloorDiv, 7};
    case TokenKind::PercentSign:
      return Operator{BinaryOp::Mod, 7};
    default:
      return std::nullopt;
  }
}

// What to write instead of an operator of another language; empty for ours.
std::string_view replacement(TokenKind kind) {
  switch (kind) {
    case TokenKind::PipePipe:
      return "write | for \"or\": comparisons bind tighter than it";
    case TokenKind::AmpAmp:
      return "write & for \"and\": comparisons bind tighter than it";
    case TokenKind::TripleEqual:
      return "compare with ==";
    case TokenKind::StarStar:
      return "there is no power: multiply, shift with <<, or use exp and log";
    default:
      return "";
  }
}

}  // namespace

Expr& ExpressionParser::add(Expr::Kind kind, SourceRange range) {
  Expr& expr = ast_.exprs.emplace_back();
  expr.kind = kind;
  expr.range = expr.head = range;
  return expr;
}

const Expr* ExpressionParser::make_error(SourceRange range) {
  return &add(Expr::Kind::Error, range);
}

const Expr* ExpressionParser::make_binary(BinaryOp op, SourceRange op_range, const Expr* a,
                                          const Expr* b) {
  Expr& expr = add(Expr::Kind::Binary, source::cover(a->range, b->range));
  expr.binary = op;
  expr.head = op_range;
  expr.operands = {a, b};
  return &expr;
}

const Expr* ExpressionParser::make_unary(UnaryOp op, SourceRange op_range) {
  const Expr* operand = parse_unary();
  Expr& expr = add(Expr::Kind::Unary, source::cover(op_range, operand->range));
  expr.unary = op;
  expr.head = op_range;
  expr.operands = {operand};
  return &expr;
}

const Expr* ExpressionParser::parse_expression() {
  if (nesting_ >= kMaxNesting) {
    const SourceRange at = here();
    if (!panicking_) {
      report(Kind::NestingTooDeep, at,
             fmt::format("the expression is nested over {} levels deep", kMaxNesting))
          .with_hint("name its parts with let or in maskers of their own");
    }
    panicking_ = true;
    return make_error(at);
  }
  ++nesting_;
  const Expr* left = parse_conditional();
  while (at(TokenKind::Then) && !panicking_) {
    const SourceRange op = advance();
    left = make_binary(BinaryOp::Then, op, left, parse_conditional());
  }
  --nesting_;
  return left;
}

const Expr* ExpressionParser::parse_conditional() {
  const Expr* condition = parse_binary(1);
  if (panicking_ || !at(TokenKind::Question)) return condition;
  const SourceRange question = advance();
  if (++nesting_ > kMaxNesting) {
    report(Kind::NestingTooDeep, question,
           fmt::format("over {} conditions follow each other", kMaxNesting));
    panicking_ = true;
  }
  const Expr* yes = panicking_ ? make_error(question) : parse_conditional();
  if (!panicking_) expect(TokenKind::Colon, "and the value when the condition is false");
  const Expr* no = panicking_ ? make_error(here()) : parse_conditional();
  --nesting_;
  Expr& expr = add(Expr::Kind::Conditional, source::cover(condition->range, no->range));
  expr.head = question;
  expr.operands = {condition, yes, no};
  return &expr;
}

const Expr* ExpressionParser::parse_binary(int lowest_precedence) {
  const Expr* left = parse_unary();
  bool compared = false;
  while (!panicking_) {
    std::optional<Operator> found = binary_operator(kind());
    std::string_view hint = replacement(kind());
    if (at_name("and") || at_name("or")) {
      found = at_name("and") ? Operator{BinaryOp::And, 3} : Operator{BinaryOp::Or, 1};
      hint = replacement(at_name("and") ? TokenKind::AmpAmp : TokenKind::PipePipe);
    }
    if (!found || found->precedence < lowest_precedence) break;
    const SourceRange op = advance();
    if (!hint.empty()) {
      report(Kind::UnknownOperator, op,
             fmt::format("{} is not an operator here", diag::quoted(op.text())))
          .with_hint(std::string(hint));
    }
    if (found->precedence == kComparisonPrecedence && std::exchange(compared, true)) {
      report(Kind::ChainedComparison, source::cover(left->head, op),
             "comparisons cannot be chained")
          .with_hint("write a < b & b < c");
    }
    const Expr* right = parse_binary(found->precedence + 1);
    left = make_binary(found->op, op, left, right);
  }
  return left;
}

bool ExpressionParser::starts_operand(size_t ahead) const {
  switch (kind(ahead)) {
    case TokenKind::Identifier:
    case TokenKind::Integer:
    case TokenKind::Float:
    case TokenKind::Percent:
    case TokenKind::True:
    case TokenKind::False:
    case TokenKind::LeftParen:
      return true;
    default:
      return false;
  }
}

const Expr* ExpressionParser::parse_unary() {
  UnaryOp op = UnaryOp::Negate;
  const bool not_word = at_name("not") && starts_operand(1);
  if (at(TokenKind::Minus)) {
    op = UnaryOp::Negate;
  } else if (at(TokenKind::Bang) || not_word) {
    op = UnaryOp::Not;
  } else if (at(TokenKind::Tilde)) {
    op = UnaryOp::Complement;
  } else {
    return parse_primary();
  }
  const SourceRange op_range = advance();
  if (not_word) {
    report(Kind::UnknownOperator, op_range, "'not' is not an operator here").with_hint("write !");
  }
  if (nesting_ >= kMaxNesting) {
    report(Kind::NestingTooDeep, op_range,
           fmt::format("the expression is nested over {} levels deep", kMaxNesting));
    panicking_ = true;
    return make_error(op_range);
  }
  ++nesting_;
  const Expr* expr = make_unary(op, op_range);
  --nesting_;
  return expr;
}

const Expr* ExpressionParser::parse_primary() {
  switch (kind()) {
    case TokenKind::Integer:
    case TokenKind::Float:
    case TokenKind::Percent:
      return parse_postfix(parse_number());
    case TokenKind::True:
    case TokenKind::False: {
      const bool value = at(TokenKind::True);
      Expr& expr = add(Expr::Kind::Bool, advance());
      expr.integer = value ? 1 : 0;
      return parse_postfix(&expr);
    }
    case TokenKind::Identifier:
      return parse_postfix(parse_named());
    case TokenKind::LeftParen: {
      const SourceRange open = advance();
      const Expr* inner = parse_expression();
      if (!accept(TokenKind::RightParen)) {
        if (!at(TokenKind::Comma) || panicking_) {
          close(TokenKind::RightParen, open);
        } else {
          unexpected("')'");
          close(TokenKind::RightParen, open);
        }
      }
      Expr& expr = add(Expr::Kind::Paren, since(open.begin));
      expr.operands = {inner};
      return parse_postfix(&expr);
    }
    default: {
      const SourceRange at_token = here();
      unexpected("an expression");
      return make_error(at_token);
    }
  }
}

const Expr* ExpressionParser::parse_number() {
  const TokenKind number = kind();
  const SourceRange at_token = advance();
  switch (number) {
    case TokenKind::Integer: {
      Expr& expr = add(Expr::Kind::Integer, at_token);
      expr.integer = lex::integer_value(at_token.text()).value_or(0);
      return &expr;
    }
    case TokenKind::Float: {
      Expr& expr = add(Expr::Kind::Float, at_token);
      expr.real = lex::float_value(at_token.text()).value_or(0);
      return &expr;
    }
    default: {
      Expr& expr = add(Expr::Kind::Percent, at_token);
      expr.real = lex::percent_value(at_token.text());
      return &expr;
    }
  }
}

// name | name(arguments) | name[subscripts]
const Expr* ExpressionParser::parse_named() {
  const SourceRange name = advance();
  if (at(TokenKind::LeftParen)) {
    const SourceRange open = advance();
    std::vector<Argument> arguments;
    bool named_before = false;
    list(TokenKind::RightParen, open, [&] {
      Argument argument;
      if (at(TokenKind::Identifier) && kind(1) == TokenKind::Assign) {
        argument.name = advance();
        advance();
        named_before = true;
      } else if (named_before && !panicking_) {
        report(Kind::ArgumentOrder, here(), "a positional argument follows a named one")
            .with_hint("name this argument too, or move it to the front");
      }
      argument.value = parse_expression();
      arguments.push_back(argument);
    });
    Expr& expr = add(Expr::Kind::Call, since(name.begin));
    expr.head = name;
    expr.arguments = std::move(arguments);
    return &expr;
  }
  if (at(TokenKind::LeftBracket)) {
    const SourceRange open = advance();
    std::vector<const Expr*> subscripts;
    list(TokenKind::RightBracket, open, [&] { subscripts.push_back(parse_expression()); });
    Expr& expr = add(Expr::Kind::Subscript, since(name.begin));
    expr.head = name;
    expr.operands = std::move(subscripts);
    return &expr;
  }
  return &add(Expr::Kind::Name, name);
}

// Only names can be called or subscripted.
const Expr* ExpressionParser::parse_postfix(const Expr* operand) {
  if (panicking_ || (!at(TokenKind::LeftParen) && !at(TokenKind::LeftBracket))) return operand;
  const bool call = at(TokenKind::LeftParen);
  report(call ? Kind::NotCallable : Kind::NotATensor, operand->range,
         call ? "only a masker, a score or a function can be called"
              : "only a tensor parameter can be subscripted")
      .with_hint(call ? "if two expressions were meant, an operator is missing between them" : "");
  const SourceRange open = advance();
  list(call ? TokenKind::RightParen : TokenKind::RightBracket, open, [&] { parse_expression(); });
  return make_error(since(operand->range.begin));
}

}  // namespace maskjit::parse
