#include "masker_dsl/parse/parser_base.h"

#include <fmt/format.h>

#include "masker_dsl/diag/text.h"

namespace maskjit::parse {

using diag::Kind;
using lex::Token;
using lex::TokenKind;
using source::SourceRange;

namespace {

bool opens(TokenKind kind) {
  return kind == TokenKind::LeftParen || kind == TokenKind::LeftBracket ||
         kind == TokenKind::LeftBrace;
}
bool closes(TokenKind kind) {
  return kind == TokenKind::RightParen || kind == TokenKind::RightBracket ||
         kind == TokenKind::RightBrace;
}
bool starts_clause(TokenKind kind) {
  return kind == TokenKind::Let || kind == TokenKind::Return || kind == TokenKind::Mask ||
         kind == TokenKind::ScoreKeyword || kind == TokenKind::Dropout;
}

// What to write instead of a word of another language.
std::string_view hint_for_word(std::string_view word) {
  if (word == "if" || word == "else") return "a choice is written condition ? a : b";
  if (word == "for" || word == "while") {
    return "there are no loops: say what holds for one element (batch, head, q, k)";
  }
  if (word == "def" || word == "fn" || word == "func" || word == "function") {
    return "a mask is declared by masker name() = ...";
  }
  return "";
}

}  // namespace

const Token& ParserBase::peek(size_t ahead) const {
  const size_t last = buffer_.tokens.size() - 1;
  return buffer_.tokens[std::min(position_ + ahead, last)];
}

SourceRange ParserBase::here() const {
  if (!at(TokenKind::End) || position_ == 0) return range(peek());
  const uint32_t end = buffer_.tokens[position_ - 1].end;
  return {&file_, end, end};
}

SourceRange ParserBase::since(uint32_t begin) const {
  const uint32_t end = position_ == 0 ? begin : buffer_.tokens[position_ - 1].end;
  return {&file_, begin, std::max(begin, end)};
}

SourceRange ParserBase::advance() {
  const SourceRange result = range(peek());
  if (position_ + 1 < buffer_.tokens.size()) ++position_;
  return result;
}

bool ParserBase::accept(TokenKind expected) {
  if (!at(expected)) return false;
  advance();
  return true;
}

bool ParserBase::expect(TokenKind expected, std::string_view where) {
  if (accept(expected)) return true;
  unexpected(fmt::format("{} {}", lex::describe(expected), where));
  return false;
}

bool ParserBase::close(TokenKind closing, SourceRange open) {
  if (accept(closing)) return true;
  report_unclosed(closing, open);
  while (recover_in_list(closing) && at(TokenKind::Comma)) advance();
  return accept(closing);
}

void ParserBase::report_unclosed(TokenKind closing, SourceRange open) {
  if (panicking_) return;
  if (at(TokenKind::End) || at_declaration() || closes(kind()) || starts_clause(kind())) {
    const SourceRange noticed = here();
    report(Kind::UnclosedBracket, open,
           fmt::format("{} is never closed", diag::quoted(open.text())))
        .note(noticed, fmt::format("{} was expected before {}", lex::describe(closing), found()));
    panicking_ = true;
  } else {
    const bool list = closing != TokenKind::RightBrace;
    unexpected(fmt::format("{}{}", list ? "',' or " : "", lex::describe(closing)));
  }
}

std::string ParserBase::found() const {
  const Token& token = peek();
  switch (token.kind) {
    case TokenKind::End:
    case TokenKind::Invalid:
      return std::string(lex::describe(token.kind));
    case TokenKind::String:
      return "the string " + diag::quoted(text(token));
    default:
      return diag::quoted(text(token));
  }
}

diag::Diagnostic& ParserBase::report(Kind kind, SourceRange at, std::string message) {
  ++errors_;
  return diagnostics_.error(kind, at, std::move(message));
}

void ParserBase::unexpected(std::string_view expected) {
  if (panicking_) return;
  panicking_ = true;
  if (at(TokenKind::Invalid)) {  // reported by the lexer
    ++errors_;
    return;
  }
  auto& error = report(Kind::UnexpectedToken, here(),
                       fmt::format("expected {}, found {}", expected, found()));
  error.with_hint(std::string(hint_for_current()));
}

bool ParserBase::follows_floor_division() const {
  const auto& tokens = buffer_.tokens;
  if (position_ > 0 && tokens[position_ - 1].kind == TokenKind::SlashSlash) return true;
  for (size_t i = position_; i > 0 && !tokens[i].first_on_line; --i) {
    if (tokens[i - 1].kind == TokenKind::SlashSlash) return true;
  }
  return false;
}

std::string_view ParserBase::hint_for_current() const {
  if (follows_floor_division())
    return "after code // is floor division; start a comment there with #";
  const TokenKind previous = position_ > 0 ? buffer_.tokens[position_ - 1].kind : TokenKind::End;
  const bool ends_operand = previous == TokenKind::Identifier || previous == TokenKind::Integer ||
                            previous == TokenKind::RightParen ||
                            previous == TokenKind::RightBracket;
  switch (kind()) {
    case TokenKind::Assign:
      return ends_operand ? "compare with ==" : "";
    case TokenKind::Semicolon:
      return "nothing separates statements: leave the ; out";
    default:
      break;
  }
  const std::string_view hint = hint_for_word(text(peek()));
  if (!hint.empty() || position_ == 0) return hint;
  return hint_for_word(text(buffer_.tokens[position_ - 1]));
}

bool ParserBase::at_declaration() const {
  switch (kind()) {
    case TokenKind::Masker:
    case TokenKind::Attention:
    case TokenKind::Import:
      return true;
    case TokenKind::ScoreKeyword: {
      // As a declaration its head is followed by = or {; as a clause it is not.
      if (kind(1) != TokenKind::Identifier || kind(2) != TokenKind::LeftParen) return false;
      constexpr size_t kLookahead = 256;
      int depth = 0;
      const size_t limit = std::min(buffer_.tokens.size(), position_ + kLookahead);
      for (size_t i = position_ + 2; i < limit; ++i) {
        const TokenKind token = buffer_.tokens[i].kind;
        if (opens(token)) ++depth;
        if (closes(token) && --depth <= 0) {
          const TokenKind next =
              i + 1 < buffer_.tokens.size() ? buffer_.tokens[i + 1].kind : TokenKind::End;
          return next == TokenKind::Assign || next == TokenKind::LeftBrace;
        }
        if (token == TokenKind::Masker || token == TokenKind::Attention ||
            token == TokenKind::Import)
          break;
      }
      return false;
    }
    default:
      return false;
  }
}

bool ParserBase::recover_in_list(TokenKind closing) {
  int depth = 0;
  while (!at(TokenKind::End) && !at_declaration()) {
    if (depth == 0 && (at(closing) || at(TokenKind::Comma))) {
      panicking_ = false;
      return true;
    }
    if (starts_clause(kind())) return false;
    if (opens(kind())) ++depth;
    if (closes(kind()) && depth-- == 0) return false;
    advance();
  }
  return false;
}

void ParserBase::recover_to_clause() {
  int depth = 0;
  while (!at(TokenKind::End) && !at_declaration()) {
    if (starts_clause(kind()) || (depth == 0 && at(TokenKind::RightBrace))) break;
    if (at(TokenKind::LeftBrace)) ++depth;
    if (at(TokenKind::RightBrace)) --depth;
    advance();
  }
  panicking_ = false;
}

void ParserBase::recover_to_declaration() {
  while (!at(TokenKind::End) && !at_declaration()) advance();
  panicking_ = false;
}

}  // namespace maskjit::parse
