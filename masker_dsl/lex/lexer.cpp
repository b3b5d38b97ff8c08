#include "masker_dsl/lex/lexer.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "masker_dsl/diag/text.h"

namespace maskjit::lex {
namespace {

using diag::Kind;

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }
bool is_word(char c) { return is_letter(c) || is_digit(c); }
bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\v' || c == '\f'; }

struct Spelling {
  std::string_view text;
  TokenKind kind;
};
// Longer spellings first.
constexpr std::array kPunctuation = {
    Spelling{"===", TokenKind::TripleEqual}, Spelling{"==", TokenKind::EqualEqual},
    Spelling{"!=", TokenKind::BangEqual},    Spelling{"<=", TokenKind::LessEqual},
    Spelling{">=", TokenKind::GreaterEqual}, Spelling{"<<", TokenKind::ShiftLeft},
    Spelling{">>", TokenKind::ShiftRight},   Spelling{"&&", TokenKind::AmpAmp},
    Spelling{"||", TokenKind::PipePipe},     Spelling{"**", TokenKind::StarStar},
    Spelling{"//", TokenKind::SlashSlash},   Spelling{"(", TokenKind::LeftParen},
    Spelling{")", TokenKind::RightParen},    Spelling{"[", TokenKind::LeftBracket},
    Spelling{"]", TokenKind::RightBracket},  Spelling{"{", TokenKind::LeftBrace},
    Spelling{"}", TokenKind::RightBrace},    Spelling{",", TokenKind::Comma},
    Spelling{":", TokenKind::Colon},         Spelling{";", TokenKind::Semicolon},
    Spelling{"?", TokenKind::Question},      Spelling{"=", TokenKind::Assign},
    Spelling{"+", TokenKind::Plus},          Spelling{"-", TokenKind::Minus},
    Spelling{"*", TokenKind::Star},          Spelling{"/", TokenKind::Slash},
    Spelling{"%", TokenKind::PercentSign},   Spelling{"&", TokenKind::Amp},
    Spelling{"|", TokenKind::Pipe},          Spelling{"^", TokenKind::Caret},
    Spelling{"!", TokenKind::Bang},          Spelling{"~", TokenKind::Tilde},
    Spelling{"<", TokenKind::Less},          Spelling{">", TokenKind::Greater},
};

struct Lookalike {
  std::string_view symbol;
  std::string_view spelling;
};
constexpr std::array kLookalikes = {
    Lookalike{"≤", "<="}, Lookalike{"≥", ">="}, Lookalike{"≠", "!="}, Lookalike{"¬", "!"},
    Lookalike{"∧", "&"},  Lookalike{"∨", "|"},  Lookalike{"×", "*"},  Lookalike{"−", "-"},
    Lookalike{"–", "-"},  Lookalike{"“", "\""}, Lookalike{"”", "\""}, Lookalike{"÷", "/"},
};

class Lexer {
 public:
  Lexer(const source::SourceFile& file, diag::DiagnosticEmitter& diagnostics)
      : file_(file), text_(file.text()), diagnostics_(diagnostics) {}

  TokenBuffer run() {
    if (text_.substr(0, 3) == "\xEF\xBB\xBF") at_ = 3;
    while (at_ < text_.size()) step();
    push(TokenKind::End, text_.size(), text_.size());
    return std::move(out_);
  }

 private:
  char peek(size_t ahead = 0) const {
    return at_ + ahead < text_.size() ? text_[at_ + ahead] : '\0';
  }
  source::SourceRange range(size_t begin, size_t end) const {
    return {&file_, static_cast<uint32_t>(begin), static_cast<uint32_t>(end)};
  }
  void push(TokenKind kind, size_t begin, size_t end) {
    out_.tokens.push_back(
        {kind, line_is_empty_, static_cast<uint32_t>(begin), static_cast<uint32_t>(end)});
    line_is_empty_ = false;
  }

  void step() {
    const char c = peek();
    if (c == '\n') {
      ++at_;
      line_is_empty_ = true;
    } else if (is_blank(c)) {
      ++at_;
    } else if (c == '#' || (line_is_empty_ && c == '/' && peek(1) == '/')) {
      comment();
    } else if (is_letter(c)) {
      const size_t begin = at_;
      while (is_word(peek())) ++at_;
      push(keyword_or_identifier(text_.substr(begin, at_ - begin)), begin, at_);
    } else if (is_digit(c) || (c == '.' && is_digit(peek(1)))) {
      number();
    } else if (c == '"') {
      string();
    } else if (c == '/' && peek(1) == '*') {
      block_comment();
    } else {
      punctuation();
    }
  }

  void comment() {
    const size_t begin = at_;
    size_t end = std::min(text_.find('\n', at_), text_.size());
    at_ = end;
    while (end > begin && is_blank(text_[end - 1])) --end;
    out_.comments.push_back({static_cast<uint32_t>(begin), static_cast<uint32_t>(end),
                             static_cast<uint32_t>(out_.tokens.size()), line_is_empty_});
  }

  void block_comment() {
    const size_t begin = at_;
    const size_t close = text_.find("*/", at_ + 2);
    at_ = close == std::string_view::npos ? text_.size() : close + 2;
    diagnostics_
        .error(Kind::UnknownOperator, range(begin, begin + 2), "there are no block comments")
        .with_hint("start each line of the comment with #");
  }

  void string() {
    const size_t begin = at_++;
    while (at_ < text_.size() && peek() != '"' && peek() != '\n') ++at_;
    if (peek() == '"') {
      ++at_;
      push(TokenKind::String, begin, at_);
      return;
    }
    diagnostics_
        .error(Kind::UnterminatedString, range(begin, at_), "the string is not closed on its line")
        .with_hint("end it with \"");
    push(TokenKind::Invalid, begin, at_);
  }

  // Digits with single _ between them; false if a separator stands elsewhere.
  bool digits(bool hex) {
    const auto is_part = [&](char c) {
      return is_digit(c) || (hex && ((c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F')));
    };
    if (!is_part(peek())) return false;
    while (is_part(peek()) || (peek() == '_' && is_part(peek(1)))) ++at_;
    return true;
  }

  void number() {
    const size_t begin = at_;
    bool is_float = false;
    const bool hex = peek() == '0' && (peek(1) == 'x' || peek(1) == 'X');
    std::string problem, hint;
    if (peek() == '.') {
      problem = "the number has no digit before its point";
      while (is_word(peek()) || peek() == '.') ++at_;
      hint = fmt::format("write 0{}", text_.substr(begin, std::min<size_t>(at_ - begin, 20)));
    } else if (hex) {
      at_ += 2;
      if (!digits(true)) problem = "0x is not followed by hexadecimal digits";
    } else {
      const bool leading_zero = peek() == '0' && is_digit(peek(1));
      digits(false);
      if (peek() == '.') {
        is_float = true;
        ++at_;
        if (!digits(false)) {
          problem = "the number has no digit after its point";
          hint = fmt::format("write {}0", text_.substr(begin, std::min<size_t>(at_ - begin, 20)));
        }
      }
      if (problem.empty() && (peek() == 'e' || peek() == 'E')) {
        is_float = true;
        ++at_;
        if (peek() == '+' || peek() == '-') ++at_;
        if (!digits(false)) problem = "the exponent has no digits";
      }
      if (problem.empty() && leading_zero && !is_float) {
        problem = "the number starts with 0";
        hint = "leave out the leading zeros (there are no octal numbers)";
      }
    }
    if (problem.empty() && is_word(peek())) {
      problem = "the number runs into letters";
      hint = "a number is digits, _ between them, a fraction and an exponent, 0x and digits, or N%";
    }
    if (!problem.empty()) {
      while (is_word(peek())) ++at_;
      diagnostics_.error(Kind::InvalidNumber, range(begin, at_), problem).with_hint(hint);
      push(TokenKind::Invalid, begin, at_);
      return;
    }
    finish_number(begin, is_float);
  }

  void finish_number(size_t begin, bool is_float) {
    const std::string_view text = text_.substr(begin, at_ - begin);
    const bool too_large = is_float ? !float_value(text) : !integer_value(text);
    if (too_large) {
      diagnostics_
          .error(Kind::NumberTooLarge, range(begin, at_),
                 fmt::format("{} does not fit {}", diag::quoted(text),
                             is_float ? "a float" : "64 bits"))
          .with_hint(is_float ? "the largest float is about 1.8e308"
                              : "the largest integer is 9223372036854775807");
      push(TokenKind::Invalid, begin, at_);
    } else if (peek() == '%' && is_percent(text)) {
      ++at_;
      push(TokenKind::Percent, begin, at_);
    } else {
      push(is_float ? TokenKind::Float : TokenKind::Integer, begin, at_);
    }
  }

  // Whether the % at the current position belongs to the number `text` before it: no operand
  // follows it.
  bool is_percent(std::string_view text) const {
    if (text.find_first_of("eExX") != std::string_view::npos) return false;
    size_t i = at_ + 1;
    while (i < text_.size() && is_blank(text_[i])) ++i;
    if (i == text_.size()) return true;
    if (is_letter(text_[i])) {
      size_t end = i;
      while (end < text_.size() && is_word(text_[end])) ++end;
      const TokenKind word = keyword_or_identifier(text_.substr(i, end - i));
      return is_keyword(word) && word != TokenKind::True && word != TokenKind::False;
    }
    return !is_digit(text_[i]) && text_[i] != '(';
  }

  void punctuation() {
    const std::string_view rest = text_.substr(at_, 3);
    for (const Spelling& spelling : kPunctuation) {
      if (rest.substr(0, spelling.text.size()) == spelling.text) {
        push(spelling.kind, at_, at_ + spelling.text.size());
        at_ += spelling.text.size();
        return;
      }
    }
    invalid_characters();
  }

  // A run of bytes that no token starts with is reported once.
  void invalid_characters() {
    const size_t begin = at_;
    size_t first_end = at_;
    diag::next_printable(text_, first_end);
    const auto starts_token = [&](char c) {
      return static_cast<unsigned char>(c) < 0x80 &&
             (is_word(c) || is_blank(c) || c == '\n' || c == '#' || c == '"' ||
              std::any_of(
                  kPunctuation.begin(), kPunctuation.end(),
                  [&](const Spelling& s) { return s.text[0] == c; }));
    };
    while (at_ < text_.size() && (at_ < first_end || !starts_token(text_[at_]))) ++at_;
    const std::string_view first = text_.substr(begin, first_end - begin);
    const unsigned char byte = static_cast<unsigned char>(first[0]);
    std::string message =
        byte < 0x20 || byte == 0x7F
            ? fmt::format("the byte 0x{:02x} cannot start anything", byte)
            : fmt::format("the character {} cannot start anything", diag::quoted(first));
    auto& error = diagnostics_.error(Kind::InvalidCharacter, range(begin, at_), std::move(message));
    for (const Lookalike& lookalike : kLookalikes) {
      if (lookalike.symbol == first) error.with_hint(fmt::format("write {}", lookalike.spelling));
    }
    push(TokenKind::Invalid, begin, at_);
  }

  const source::SourceFile& file_;
  std::string_view text_;
  diag::DiagnosticEmitter& diagnostics_;
  TokenBuffer out_;
  size_t at_ = 0;
  bool line_is_empty_ = true;
};

}  // namespace

TokenBuffer tokenize(const source::SourceFile& file, diag::DiagnosticEmitter& diagnostics) {
  if (file.text().size() > kMaxFileSize) {
    diagnostics.error(Kind::ProgramTooLarge, {&file, 0, 0},
                      fmt::format("the file has {} bytes; at most {} are read", file.text().size(),
                                  kMaxFileSize));
    return {{Token{}}, {}};
  }
  return Lexer(file, diagnostics).run();
}

}  // namespace maskjit::lex
