#include "tools/maskjit/machine_code.h"

#include <fmt/format.h>

#include "runtime/api/environment.h"
#include "tools/maskjit/console.h"

namespace maskjit::cli {

Result<MachineCode> assemble(const codegen::CodeArtifact& artifact) {
  const assembler::ToolPaths tools = read_environment().cuda_tools;
  MachineCode code;
  const Result<std::string> ptxas = assembler::find_tool(tools, "ptxas");
  if (!ptxas) return ptxas.error();
  code.ptxas = *ptxas;
  Result<assembler::Assembled> assembled =
      assembler::assemble(*ptxas, artifact.object, artifact.target);
  if (!assembled) return assembled.error();
  code.assembled = std::move(*assembled);
  auto sass = assembler::count_sass(tools, code.assembled.cubin);
  if (sass) {
    code.sass = std::move(*sass);
  } else {
    code.no_sass = sass.error().message;
  }
  return code;
}

std::string describe(const codegen::ResourceUsage& u) {
  const std::string spills = u.spill_store_bytes + u.spill_load_bytes == 0
                                 ? "no spills"
                                 : fmt::format("spills of {} bytes stored, {} loaded",
                                               u.spill_store_bytes, u.spill_load_bytes);
  return fmt::format("{}: {} registers, {}, {} bytes of stack, {} bytes of static shared memory",
                     u.entry, u.registers, spills, u.stack_bytes, u.shared_bytes);
}

std::string sass_report(const codegen::CodeArtifact& artifact, const MachineCode& code) {
  std::string text =
      fmt::format("{} for {}\n{}\n{} of PTX, {} of machine code by {}\n\n", artifact.template_name,
                  artifact.target, artifact.spec, format_bytes(artifact.object.size()),
                  format_bytes(code.assembled.cubin.size()), code.ptxas);
  for (const codegen::ResourceUsage& usage : code.assembled.resources)
    text += describe(usage) + "\n";
  if (code.sass.empty())
    return text + fmt::format("\nno counts of instructions: {}\n", code.no_sass);
  for (const assembler::SassCounts& kernel : code.sass) {
    text +=
        fmt::format("\n{}: {} instructions\n", kernel.kernel, format_count(kernel.instructions));
    std::vector<std::pair<int, std::string>> classes;
    for (const auto& [name, count] : kernel.by_class) classes.emplace_back(count, name);
    std::sort(classes.rbegin(), classes.rend());
    for (const auto& [count, name] : classes) {
      text += fmt::format("  {:<10} {:>8}  {:5.1f}%", name, format_count(count),
                          100.0 * count / kernel.instructions);
      std::vector<std::pair<int, std::string>> opcodes;
      for (const auto& [opcode, n] : kernel.by_opcode) {
        if (assembler::sass_class(opcode) == name) opcodes.emplace_back(n, opcode);
      }
      std::sort(opcodes.rbegin(), opcodes.rend());
      if (opcodes.size() > 6) opcodes.resize(6);
      for (const auto& [n, opcode] : opcodes) text += fmt::format("  {} {}", opcode, n);
      text += "\n";
    }
  }
  return text;
}

}  // namespace maskjit::cli
