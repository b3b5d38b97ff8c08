#pragma once
// Tokens to syntax tree (grammar in docs/language.md). Recovers: an error skips to the next comma,
// closing bracket, clause or declaration, so that one run reports several; what could not be read
// is Expr::Error or a declaration with has_errors.
#include <string>

#include "masker_dsl/diag/diagnostic.h"
#include "masker_dsl/lex/lexer.h"
#include "masker_dsl/parse/ast.h"

namespace maskjit::parse {

Ast parse(const source::SourceFile& file, const lex::TokenBuffer& tokens,
          diag::DiagnosticEmitter& diagnostics);

// The tree as S-expressions, one declaration a paragraph, without parentheses and comments: equal
// dumps mean equal programs.
std::string dump(const Ast& ast);
// One token or comment a line: line:byte, kind, text.
std::string dump(const source::SourceFile& file, const lex::TokenBuffer& tokens);

}  // namespace maskjit::parse
