#pragma once
// PTX text -> tokens. Words keep their dots ("ld.global.v4.b32", "%tid.x", ".L2::128B"), so that an
// opcode with its modifiers is one token. Comments and white space vanish.
#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace maskjit::emulator {

enum class TokenKind : uint8_t { Word, Integer, Float, String, Punctuation, End };

struct Token {
  TokenKind kind = TokenKind::End;
  std::string_view text;
  uint32_t offset = 0;  // of the first character
  uint32_t line = 0;    // from 1
  // Integer: its 64 bits. Float: the bits of the number as f64, or as f32 for "0f...".
  uint64_t value = 0;
  bool is_f32 = false;

  bool is(char c) const { return kind == TokenKind::Punctuation && text[0] == c; }
};

// What is wrong with a PTX text, and where.
struct ParseError {
  uint32_t line = 0;
  std::string message;
  std::string source;  // the statement or the line
  std::string render() const;
};

// The last token is End. `text` must outlive the tokens.
std::variant<std::vector<Token>, ParseError> tokenize(std::string_view text);

}  // namespace maskjit::emulator
