#include <fmt/format.h>

#include "masker_dsl/driver/driver.h"
#include "masker_dsl/lex/lexer.h"

namespace maskjit::driver {

std::optional<ParamValue> parse_param_value(std::string_view text) {
  if (text == "true") return ir::Scalar::of_bool(true);
  if (text == "false") return ir::Scalar::of_bool(false);
  const bool negative = !text.empty() && text[0] == '-';
  const source::SourceFile file("value", std::string(negative ? text.substr(1) : text));
  diag::DiagnosticEmitter diagnostics;
  const lex::TokenBuffer buffer = lex::tokenize(file, diagnostics);
  if (diagnostics.has_errors() || buffer.tokens.size() != 2 || !buffer.comments.empty())
    return std::nullopt;
  const lex::Token& token = buffer.tokens[0];
  if (token.begin != 0 || token.end != file.text().size()) return std::nullopt;
  switch (token.kind) {
    case lex::TokenKind::Integer: {
      const int64_t value = lex::integer_value(file.text()).value_or(0);
      return ir::Scalar::of_int(negative ? -value : value);
    }
    case lex::TokenKind::Float: {
      const double value = lex::float_value(file.text()).value_or(0);
      return ir::Scalar::of_float(negative ? -value : value);
    }
    case lex::TokenKind::Percent:
      if (negative) return std::nullopt;
      return ir::Share{lex::percent_value(file.text())};
    default:
      return std::nullopt;
  }
}

}  // namespace maskjit::driver
