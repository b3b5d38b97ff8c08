#pragma once
// PTX -> cubin by NVIDIA's assembler, and what each kernel takes of a multiprocessor.
#include <string>
#include <string_view>
#include <vector>

#include "codegen/compile.h"
#include "runtime/api/result.h"

namespace maskjit::assembler {

struct Assembled {
  std::string cubin;
  std::vector<codegen::ResourceUsage> resources;  // one a kernel, in the order of the text
};

// `ptxas` is the program's path, `target` a name as sm_90a. The error has what ptxas says.
Result<Assembled> assemble(const std::string& ptxas, std::string_view ptx,
                           const std::string& target);

// What `ptxas -v` prints, as resources.
std::vector<codegen::ResourceUsage> parse_resources(std::string_view verbose);

}  // namespace maskjit::assembler
