#pragma once
// The machine code of a device kernel, where there is a ptxas, and what is known of it.
#include <string>
#include <vector>

#include "runtime/device/assembler/ptxas.h"
#include "runtime/device/assembler/sass.h"

namespace maskjit::cli {

struct MachineCode {
  assembler::Assembled assembled;
  std::string ptxas;  // its path
  std::vector<assembler::SassCounts> sass;
  std::string no_sass;  // why there are no counts, if so
};

// The error says what to install.
Result<MachineCode> assemble(const codegen::CodeArtifact& artifact);

// "mj_attention: 244 registers, no spills, 0 bytes of static shared memory".
std::string describe(const codegen::ResourceUsage& usage);
std::string sass_report(const codegen::CodeArtifact& artifact, const MachineCode& code);

}  // namespace maskjit::cli
