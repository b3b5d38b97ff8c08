#pragma once
// A parsed file in canonical layout: 100 columns, four spaces, one blank line where the author left
// some, every comment kept. The tokens stay the same except for commas before a closing bracket;
// parentheses are the author's. Formatting its own result changes nothing.
#include <string>

#include "masker_dsl/lex/lexer.h"
#include "masker_dsl/parse/ast.h"

namespace maskjit::format {

inline constexpr int kWidth = 100;

// `ast` was parsed from `tokens` of `file` without errors.
std::string format(const source::SourceFile& file, const lex::TokenBuffer& tokens,
                   const parse::Ast& ast);

}  // namespace maskjit::format
