#pragma once
// Text of unknown origin made fit for a terminal: every byte that is not printable UTF-8 is
// replaced.
#include <string>
#include <string_view>

namespace maskjit::diag {

// One code point of `text` at `position`, which moves past it. Printable text is returned as it is,
// control characters and malformed bytes as U+FFFD.
std::string_view next_printable(std::string_view text, size_t& position);

std::string printable(std::string_view text);

// 'name' for a message: printable, and shortened if it is very long.
std::string quoted(std::string_view name);

}  // namespace maskjit::diag
