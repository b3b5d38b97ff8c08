#pragma once
// Programs of the CUDA toolkit, where they are installed: ptxas, which makes machine code of PTX,
// cuobjdump and nvdisasm, which list machine code. None of them is ever needed.
#include <string>
#include <string_view>
#include <vector>

#include "runtime/api/result.h"

namespace maskjit::assembler {

// Where to look; read_environment() fills it.
struct ToolPaths {
  std::string ptxas;                 // this program and no other
  std::vector<std::string> folders;  // in order: of PATH, CUDA_HOME and CUDA_PATH, the usual ones
};

// The folders of a PATH, bin of `cuda_homes`, and bin of the usual CUDA folders, newest first.
std::vector<std::string> tool_folders(std::string_view path,
                                      const std::vector<std::string>& cuda_homes);

// The path of `name`; the error names what to install or set.
Result<std::string> find_tool(const ToolPaths& paths, std::string_view name);

}  // namespace maskjit::assembler
