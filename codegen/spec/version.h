#pragma once
#include <string>

namespace maskjit::codegen {

// Hash of the format version, LLVM's version and the embedded templates.
const std::string& build_id_text();

}  // namespace maskjit::codegen
