#include <charconv>
#include <limits>
#include <string>

#include "masker_dsl/lex/lexer.h"

namespace maskjit::lex {
namespace {

std::string without_separators(std::string_view text) {
  std::string digits;
  for (const char c : text) {
    if (c != '_') digits += c;
  }
  return digits;
}

}  // namespace

std::optional<int64_t> integer_value(std::string_view text) {
  const std::string digits = without_separators(text);
  const bool hex = digits.size() > 2 && digits[0] == '0' && (digits[1] == 'x' || digits[1] == 'X');
  const char* begin = digits.data() + (hex ? 2 : 0);
  const char* end = digits.data() + digits.size();
  int64_t value = 0;
  const auto result = std::from_chars(begin, end, value, hex ? 16 : 10);
  if (result.ec != std::errc() || result.ptr != end) return std::nullopt;
  return value;
}

std::optional<double> float_value(std::string_view text) {
  const std::string digits = without_separators(text);
  double value = 0;
  const auto result = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  if (result.ec == std::errc()) return value;
  // Out of range: tiny numbers are zero.
  const size_t exponent = digits.find_first_of("eE");
  const size_t integer_digits = digits.find_first_of(".eE");
  const bool tiny = exponent != std::string::npos
                        ? digits[exponent + 1] == '-'
                        : integer_digits <= std::numeric_limits<double>::max_exponent10;
  if (tiny) return 0.0;
  return std::nullopt;
}

double percent_value(std::string_view text) {
  std::string digits = without_separators(text);
  if (!digits.empty() && digits.back() == '%') digits.pop_back();
  return float_value(digits + "e-2").value_or(std::numeric_limits<double>::max());
}

}  // namespace maskjit::lex
