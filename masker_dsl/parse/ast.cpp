#include "masker_dsl/parse/ast.h"

namespace maskjit::parse {

std::string_view spelling(UnaryOp op) {
  switch (op) {
    case UnaryOp::Negate:
      return "-";
    case UnaryOp::Not:
      return "!";
    case UnaryOp::Complement:
      return "~";
  }
  return "";
}

std::string_view spelling(BinaryOp op) {
  switch (op) {
    case BinaryOp::Then:
      return "then";
    case BinaryOp::Or:
      return "|";
    case BinaryOp::Xor:
      return "^";
    case BinaryOp::And:
      return "&";
    case BinaryOp::Eq:
      return "==";
    case BinaryOp::Ne:
      return "!=";
    case BinaryOp::Lt:
      return "<";
    case BinaryOp::Le:
      return "<=";
    case BinaryOp::Gt:
      return ">";
    case BinaryOp::Ge:
      return ">=";
    case BinaryOp::ShiftLeft:
      return "<<";
    case BinaryOp::ShiftRight:
      return ">>";
    case BinaryOp::Add:
      return "+";
    case BinaryOp::Sub:
      return "-";
    case BinaryOp::Mul:
      return "*";
    case BinaryOp::Div:
      return "/";
    case BinaryOp::FloorDiv:
      return "//";
    case BinaryOp::Mod:
      return "%";
  }
  return "";
}

bool is_comparison(BinaryOp op) { return op >= BinaryOp::Eq && op <= BinaryOp::Ge; }

const Expr& strip_parens(const Expr& expr) {
  const Expr* inner = &expr;
  while (inner->kind == Expr::Kind::Paren) inner = inner->operands[0];
  return *inner;
}

std::vector<const Expr*> left_spine(const Expr& expr) {
  std::vector<const Expr*> spine;
  for (const Expr* at = &expr; at->kind == Expr::Kind::Binary; at = at->operands[0])
    spine.push_back(at);
  return spine;
}

}  // namespace maskjit::parse
