#pragma once
// The text form of MaskIR, the inverse of each other:
//
//   func @main(const %window: int = 1024, runtime %cap: float, tensor %doc: i32[batch, kv_len]) {
//     %0 = var q : int
//     %1 = param %window : int
//     %2 = sub %0, %1 : int
//     %3 = const 0.5 : float
//     %4 = tensor_load %doc [%0, %2] : int
//     %5 = share 0.1, %0 : int
//     result mask = %7 : bool
//   }
//
// Floats are printed so that they read back to the same bits (inf, -inf and nan by name). "//"
// starts a comment, line breaks are white space, a value may have any name. A parameter's default
// follows its type: `= 1024` or `= share 0.1`.
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "masker_dsl/ir/function.h"

namespace maskjit::ir {

struct PrintOptions {
  // After each node: its binding time and the variables that it depends on, as "// index: q, k".
  bool comments = false;
};

std::string print(const Function& function, const PrintOptions& options = {});

struct TextError {
  int line = 0;
  std::string message;
};
// The first thing wrong is reported; a parsed function is verified.
std::variant<Function, TextError> parse(std::string_view text);

// A name of a function, parameter, tensor or result: letters, digits, '_' and '.', no digit or '.'
// first.
bool is_identifier(std::string_view text);

// Every violated invariant in words; empty if the function is well formed.
std::vector<std::string> verify(const Function& function);

}  // namespace maskjit::ir
