#include "runtime/device/emulator/lexer.h"

#include <fmt/format.h>

#include <bit>
#include <charconv>
#include <cstdlib>
#include <limits>

namespace maskjit::emulator {
namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_word_start(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == '$' || c == '%' ||
         c == '.';
}
bool is_word(char c) { return is_word_start(c) || is_digit(c); }
bool is_hex(char c) { return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'); }

class Lexer {
 public:
  explicit Lexer(std::string_view text) : text_(text) {}

  std::variant<std::vector<Token>, ParseError> run() {
    if (text_.size() > kMaxBytes) {
      line_ = 1;
      return error("the text is larger than 256 MiB");
    }
    while (true) {
      if (!skip_blanks()) return error("this comment does not end");
      if (at_ == text_.size()) break;
      if (!read_token()) return error(problem_);
    }
    tokens_.push_back({TokenKind::End, {}, static_cast<uint32_t>(at_), line_});
    return std::move(tokens_);
  }

 private:
  static constexpr size_t kMaxBytes = size_t{256} << 20;

  char peek(size_t ahead = 0) const { return at_ + ahead < text_.size() ? text_[at_ + ahead] : 0; }

  ParseError error(std::string message) const {
    size_t begin = text_.substr(0, at_).rfind('\n');
    begin = begin == std::string_view::npos ? 0 : begin + 1;
    const std::string_view line = text_.substr(begin, text_.substr(begin).find('\n'));
    return {line_, std::move(message), std::string(line.substr(0, 200))};
  }

  bool skip_blanks() {
    while (at_ < text_.size()) {
      const char c = text_[at_];
      if (c == '\n') {
        ++line_;
        ++at_;
      } else if (c == ' ' || c == '\t' || c == '\r') {
        ++at_;
      } else if (c == '/' && peek(1) == '/') {
        while (at_ < text_.size() && text_[at_] != '\n') ++at_;
      } else if (c == '/' && peek(1) == '*') {
        const size_t end = text_.find("*/", at_ + 2);
        if (end == std::string_view::npos) return false;
        for (; at_ < end + 2; ++at_) line_ += text_[at_] == '\n';
      } else {
        break;
      }
    }
    return true;
  }

  void push(TokenKind kind, size_t begin, uint64_t value = 0, bool is_f32 = false) {
    tokens_.push_back({kind, text_.substr(begin, at_ - begin), static_cast<uint32_t>(begin), line_,
                       value, is_f32});
  }

  bool read_token() {
    const size_t begin = at_;
    const char c = text_[at_];
    if (is_digit(c)) return read_number();
    if (c == '"') {
      const size_t end = text_.find_first_of("\"\n", at_ + 1);
      if (end == std::string_view::npos || text_[end] == '\n') {
        problem_ = "this string does not end";
        return false;
      }
      at_ = end + 1;
      push(TokenKind::String, begin);
      return true;
    }
    if (is_word_start(c)) {
      while (true) {
        if (is_word(peek())) {
          ++at_;
        } else if (peek() == ':' && peek(1) == ':' && is_word(peek(2))) {
          at_ += 2;
        } else {
          break;
        }
      }
      push(TokenKind::Word, begin);
      return true;
    }
    if (std::string_view("{}[]()<>,;:@!|=+-&*/~^?").find(c) == std::string_view::npos) {
      problem_ = fmt::format("unexpected character {:?}", std::string_view(&text_[at_], 1));
      return false;
    }
    ++at_;
    push(TokenKind::Punctuation, begin);
    return true;
  }

  bool read_number() {
    const size_t begin = at_;
    const char kind = peek() == '0' ? peek(1) : 0;
    if (kind == 'f' || kind == 'F' || kind == 'd' || kind == 'D') return read_float_bits();
    int base = 10;
    if (kind == 'x' || kind == 'X') {
      base = 16;
      at_ += 2;
    } else if (kind == 'b' || kind == 'B') {
      base = 2;
      at_ += 2;
    } else if (is_digit(kind)) {
      base = 8;
      at_ += 1;
    }
    const size_t digits = at_;
    while (base == 16 ? is_hex(peek()) : is_digit(peek())) ++at_;
    if (base == 10 && (peek() == '.' || peek() == 'e' || peek() == 'E')) return read_decimal(begin);
    uint64_t value = 0;
    const auto [end, code] =
        std::from_chars(text_.data() + digits, text_.data() + at_, value, base);
    const bool complete = end == text_.data() + at_ && at_ > digits && code == std::errc();
    if (peek() == 'U') ++at_;
    if (!complete || is_word(peek())) {
      problem_ = "this integer is malformed or does not fit into 64 bits";
      return false;
    }
    push(TokenKind::Integer, begin, value);
    return true;
  }

  bool read_float_bits() {
    const size_t begin = at_;
    const bool is_f32 = peek(1) == 'f' || peek(1) == 'F';
    at_ += 2;
    const size_t digits = at_;
    while (is_hex(peek())) ++at_;
    uint64_t value = 0;
    std::from_chars(text_.data() + digits, text_.data() + at_, value, 16);
    if (at_ - digits != (is_f32 ? 8u : 16u) || is_word(peek())) {
      problem_ = fmt::format("a floating-point constant has {} hexadecimal digits after {}",
                             is_f32 ? 8 : 16, is_f32 ? "0f" : "0d");
      return false;
    }
    push(TokenKind::Float, begin, value, is_f32);
    return true;
  }

  bool read_decimal(size_t begin) {
    const auto digits = [&] {
      while (is_digit(peek())) ++at_;
    };
    if (peek() == '.') {
      ++at_;
      digits();
    }
    if (peek() == 'e' || peek() == 'E') {
      ++at_;
      if (peek() == '+' || peek() == '-') ++at_;
      digits();
    }
    double value = 0;
    const auto [end, code] = std::from_chars(text_.data() + begin, text_.data() + at_, value);
    if (end != text_.data() + at_ || code != std::errc() || is_word(peek())) {
      problem_ = "this number is malformed";
      return false;
    }
    push(TokenKind::Float, begin, std::bit_cast<uint64_t>(value));
    return true;
  }

  std::string_view text_;
  size_t at_ = 0;
  uint32_t line_ = 1;
  std::vector<Token> tokens_;
  std::string problem_;
};

}  // namespace

std::string ParseError::render() const {
  return source.empty() ? fmt::format("ptx line {}: {}", line, message)
                        : fmt::format("ptx line {}: {}\n    {}", line, message, source);
}

std::variant<std::vector<Token>, ParseError> tokenize(std::string_view text) {
  return Lexer(text).run();
}

}  // namespace maskjit::emulator
