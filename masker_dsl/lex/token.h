#pragma once
// Tokens of the masker language: a kind and a range of bytes; values are read from the text when
// needed.
#include <cstdint>
#include <string_view>

namespace maskjit::lex {

enum class TokenKind : uint8_t {
  End,
  Invalid,  // already reported
  Identifier,
  Integer,  // 12, 1_000, 0xFF
  Float,    // 0.5, 1e-3
  Percent,  // 10%, 12.5%
  String,   // "file.masker"
  // keywords
  Masker,
  ScoreKeyword,
  Attention,
  Import,
  Mask,
  Dropout,
  Let,
  Return,
  Then,
  Runtime,
  True,
  False,
  // punctuation
  LeftParen,
  RightParen,
  LeftBracket,
  RightBracket,
  LeftBrace,
  RightBrace,
  Comma,
  Colon,
  Question,
  Assign,
  Plus,
  Minus,
  Star,
  Slash,
  SlashSlash,
  PercentSign,
  Amp,
  Pipe,
  Caret,
  Bang,
  Tilde,
  EqualEqual,
  BangEqual,
  Less,
  LessEqual,
  Greater,
  GreaterEqual,
  ShiftLeft,
  ShiftRight,
  // operators of other languages, kept apart for the parser's hints
  AmpAmp,
  PipePipe,
  StarStar,
  TripleEqual,
  Semicolon,
};

struct Token {
  TokenKind kind = TokenKind::End;
  bool first_on_line = false;
  uint32_t begin = 0;
  uint32_t end = 0;
};

// "Integer", "LeftParen": for dumps.
std::string_view name_of(TokenKind kind);
// What an error message calls it: "a number", "'('".
std::string_view describe(TokenKind kind);
bool is_keyword(TokenKind kind);
// The keyword that `word` is, or Identifier.
TokenKind keyword_or_identifier(std::string_view word);

}  // namespace maskjit::lex
