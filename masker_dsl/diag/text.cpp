#include "masker_dsl/diag/text.h"

#include <cstdint>

namespace maskjit::diag {
namespace {

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";

// Bytes of the code point that starts at `position`, or 0 if it is malformed, overlong or a
// surrogate.
size_t code_point_length(std::string_view text, size_t position) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[position + i]); };
  const unsigned char first = byte(0);
  if (first < 0x80) return 1;
  const size_t length = first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : 2;
  if (first < 0xC2 || first > 0xF4 || text.size() - position < length) return 0;
  uint32_t value = first & (0xFF >> (length + 1));
  for (size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xC0) != 0x80) return 0;
    value = value << 6 | (byte(i) & 0x3F);
  }
  const bool overlong = (length == 3 && value < 0x800) || (length == 4 && value < 0x10000);
  const bool control = value < 0xA0 || value == 0x200B || (value >= 0x200E && value <= 0x200F) ||
                       (value >= 0x2028 && value <= 0x202E) ||
                       (value >= 0x2066 && value <= 0x2069) || value == 0xFEFF;
  if (overlong || control || (value >= 0xD800 && value < 0xE000) || value > 0x10FFFF) return 0;
  return length;
}

}  // namespace

std::string_view next_printable(std::string_view text, size_t& position) {
  const size_t length = code_point_length(text, position);
  const unsigned char first = static_cast<unsigned char>(text[position]);
  if (length == 0) {
    ++position;
    while (first >= 0x80 && position < text.size() &&
           (static_cast<unsigned char>(text[position]) & 0xC0) == 0x80) {
      ++position;
    }
    return kReplacement;
  }
  const std::string_view result = text.substr(position, length);
  position += length;
  return length == 1 && (first < 0x20 || first == 0x7F) ? kReplacement : result;
}

std::string printable(std::string_view text) {
  std::string result;
  for (size_t i = 0; i < text.size();) result += next_printable(text, i);
  return result;
}

std::string quoted(std::string_view name) {
  constexpr size_t kLongest = 60;
  std::string result = "'";
  for (size_t i = 0; i < name.size();) {
    if (i > kLongest) {
      result += "...";
      break;
    }
    result += next_printable(name, i);
  }
  return result + "'";
}

}  // namespace maskjit::diag
