#pragma once
// Tokens -> syntax tree.
#include <variant>

#include "runtime/device/emulator/lexer.h"
#include "runtime/device/emulator/syntax.h"

namespace maskjit::emulator {

// `text` must outlive the tree.
std::variant<syntax::Module, ParseError> parse_module(std::string_view text);

}  // namespace maskjit::emulator
