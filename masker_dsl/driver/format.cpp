#include "masker_dsl/format/formatter.h"

#include "masker_dsl/driver/driver.h"
#include "masker_dsl/ir/internal_error.h"
#include "masker_dsl/parse/parser.h"

namespace maskjit::driver {
namespace {

struct Parsed {
  lex::TokenBuffer tokens;
  parse::Ast ast;
};

Parsed parse_file(const source::SourceFile& file, diag::DiagnosticEmitter& diagnostics) {
  Parsed result;
  result.tokens = lex::tokenize(file, diagnostics);
  result.ast = parse::parse(file, result.tokens, diagnostics);
  return result;
}

}  // namespace

FormattedSource format(std::string name, std::string text) {
  FormattedSource result;
  result.file = std::make_unique<source::SourceFile>(std::move(name), std::move(text));
  const Parsed before = parse_file(*result.file, result.diagnostics);
  if (result.diagnostics.has_errors()) return result;
  std::string formatted = format::format(*result.file, before.tokens, before.ast);

  const source::SourceFile file(result.file->name(), formatted);
  diag::DiagnosticEmitter diagnostics;
  const Parsed after = parse_file(file, diagnostics);
  MASKJIT_CHECK(!diagnostics.has_errors() && parse::dump(before.ast) == parse::dump(after.ast) &&
                    before.tokens.comments.size() == after.tokens.comments.size(),
                "formatting changed the meaning of the file:\n" + formatted);
  result.text = std::move(formatted);
  return result;
}

std::string emit_tokens(std::string_view text) {
  const source::SourceFile file("input", std::string(text));
  diag::DiagnosticEmitter diagnostics;
  return parse::dump(file, lex::tokenize(file, diagnostics));
}

std::string emit_ast(std::string_view text) {
  const source::SourceFile file("input", std::string(text));
  diag::DiagnosticEmitter diagnostics;
  return parse::dump(parse_file(file, diagnostics).ast);
}

}  // namespace maskjit::driver
