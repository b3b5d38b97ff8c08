#pragma once
// Operators name a spec by its text: a program exported by torch.export needs nothing else. What
// the texts of this process mean is kept here.
#include <string>
#include <string_view>
#include <vector>

#include "runtime/torch/attention.h"

namespace maskjit::torch {

// The arguments of an operator that say what to compile.
struct SpecText {
  std::string_view program, entry, constants, path;
  bool operator==(const SpecText&) const = default;
};

// Compiled at the first call; throws what is wrong with the texts. From any thread. What it returns
// lives as long as the process.
const CompiledSpec& find_spec(const SpecText& text);

// "window=2048, share=10%, flag=true" -> values.
Values parse_constants(std::string_view text);

// "document, start" -> names.
std::vector<std::string> split_names(std::string_view text);

}  // namespace maskjit::torch
