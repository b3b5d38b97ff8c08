#pragma once
// Machine code of a cubin as a list of instructions, by cuobjdump or nvdisasm, counted by class.
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/api/result.h"
#include "runtime/device/assembler/cuda_tools.h"

namespace maskjit::assembler {

struct SassCounts {
  std::string kernel;
  int instructions = 0;
  // "matrix", "shared", "global", "async", "local" (spills among them), "float", "integer",
  // "special", "convert", "move", "control", "barrier", "other".
  std::map<std::string, int> by_class;
  std::map<std::string, int> by_opcode;  // without modifiers: "HMMA"
};

// By the first of cuobjdump and nvdisasm that there is; the error names both.
Result<std::vector<SassCounts>> count_sass(const ToolPaths& paths, std::string_view cubin);

// A listing as either program prints it.
std::vector<SassCounts> parse_sass(std::string_view listing);

// The class of an opcode without modifiers.
std::string_view sass_class(std::string_view opcode);

}  // namespace maskjit::assembler
