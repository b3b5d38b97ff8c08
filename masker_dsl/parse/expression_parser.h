#pragma once
// Expressions by precedence climbing, lowest first:
//   then   ? :   |   ^   &   == != < <= > >= (no chains)   << >>   + -   * / // %   - ! ~   calls,
//   subscripts
#include "masker_dsl/parse/parser_base.h"

namespace maskjit::parse {

class ExpressionParser : public ParserBase {
 public:
  using ParserBase::ParserBase;

 protected:
  const Expr* parse_expression();

 private:
  const Expr* parse_conditional();
  const Expr* parse_binary(int lowest_precedence);
  const Expr* parse_unary();
  const Expr* parse_primary();
  const Expr* parse_postfix(const Expr* operand);
  const Expr* parse_named();
  const Expr* parse_number();
  Expr& add(Expr::Kind kind, source::SourceRange range);
  const Expr* make_error(source::SourceRange range);
  const Expr* make_unary(UnaryOp op, source::SourceRange op_range);
  const Expr* make_binary(BinaryOp op, source::SourceRange op_range, const Expr* a, const Expr* b);
  bool starts_operand(size_t ahead) const;

  int nesting_ = 0;
};

}  // namespace maskjit::parse
