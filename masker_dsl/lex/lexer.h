#pragma once
// Source text to tokens and comments. Any sequence of bytes is accepted: what is no token is
// reported and becomes Invalid. The last token is End.
//
//   # starts a comment anywhere; // starts one where it is the first token of its line
//   (docs/adr/0001). N% is a percentage unless an operand follows on the same line: `local(10%)`,
//   but `q % 10 % n`.
#include <optional>
#include <vector>

#include "masker_dsl/diag/diagnostic.h"
#include "masker_dsl/lex/token.h"
#include "masker_dsl/source/source.h"

namespace maskjit::lex {

struct Comment {
  uint32_t begin = 0;       // of # or //
  uint32_t end = 0;         // of its line, without trailing blanks
  uint32_t next_token = 0;  // index of the first token after it
  bool own_line = false;    // no token before it on its line
};

struct TokenBuffer {
  std::vector<Token> tokens;
  std::vector<Comment> comments;
};

// Longer files are refused with a diagnostic.
inline constexpr size_t kMaxFileSize = size_t{4} << 20;

TokenBuffer tokenize(const source::SourceFile& file, diag::DiagnosticEmitter& diagnostics);

// The value of a number as written; nullopt if it is out of range. Percentages give the f64 nearest
// to the exact share (10% is 0.1).
std::optional<int64_t> integer_value(std::string_view text);
std::optional<double> float_value(std::string_view text);
double percent_value(std::string_view text);

}  // namespace maskjit::lex
