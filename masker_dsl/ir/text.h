#pragma once
// The text form of MaskIR, the inverse of each other:
//
//   func @main(const %window: int = 1024, runtime %cap: float, tensor %doc: i32[batch, kv_len]) {
//     %0 = var q : int
//     %1 = param %window : int
//     %2 = sub %0, %1 : int
//     %3 = const 0.5 : float
//     %4 = tensor_load %doc [%0, %2] : int
//     result mask = %7 : bool
//   }
//
// Floats are printed so that they read back to the same bits (inf, -inf and nan by name).
#include <string>
#include <string_view>
#include <variant>

#include "masker_dsl/ir/function.h"

namespace maskjit::ir {

struct PrintOptions {
  bool comments =
      false;  // after each node: its binding time and what it varies over, as "// const"
};

std::string print(const Function& function, const PrintOptions& options = {});

struct TextError {
  int line = 0;
  std::string message;
};
// The first thing wrong is reported; a parsed function is verified.
std::variant<Function, TextError> parse(std::string_view text);

// Every violated invariant in words; empty if the function is well formed.
std::vector<std::string> verify(const Function& function);

}  // namespace maskjit::ir
