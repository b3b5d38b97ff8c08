// Where an engine's kernels come from: its device, the compiler and the assembler, packs.
#include "runtime/api/state.h"
#include "runtime/device/assembler/ptxas.h"
#include "runtime/device/open.h"

namespace maskjit::detail {

EngineDevice open_engine_device(const EngineOptions& options, const Environment& environment) {
  EngineDevice result;
  if (options.device.empty()) {
    result.target = codegen::Target::parse(options.target).value_or(codegen::Target::host());
    return result;
  }
  Result<device::Opened> opened =
      device::open({options.device, options.target, environment.libcuda});
  if (!opened) {
    result.target = codegen::Target::host();
    result.error = opened.error();
    return result;
  }
  result.device = std::move(opened->device);
  result.target = opened->target;
  if (result.device->takes_cubins()) {
    const Result<std::string> ptxas = assembler::find_tool(environment.cuda_tools, "ptxas");
    if (ptxas) result.ptxas = *ptxas;
  }
  return result;
}

std::variant<codegen::CodeArtifact, codegen::CompileError> compile_kernel(
    const EngineState& engine, const driver::BoundProgram& bound, const codegen::KernelSpec& spec,
    const codegen::Target& target) {
  if (engine.options.require_packed) {
    return codegen::CompileError{
        fmt::format("the packed kernel for {} cannot be used, and nothing may be compiled "
                    "(require_packed)",
                    spec.print())};
  }
  auto compiled = codegen::compile(bound.program, bound.tiles, spec, target);
  auto* artifact = std::get_if<codegen::CodeArtifact>(&compiled);
  if (artifact == nullptr || engine.ptxas.empty()) return compiled;
  Result<assembler::Assembled> assembled =
      assembler::assemble(engine.ptxas, artifact->object, artifact->target);
  if (assembled) {
    artifact->cubin = std::move(assembled->cubin);
    artifact->resources = std::move(assembled->resources);
  } else {  // the driver has an assembler, too
    engine.log.warning(assembled.error().message);
  }
  return compiled;
}

Error no_packed_kernel(const EngineState& engine, const codegen::KernelSpec& spec,
                       const codegen::SpecKey& key) {
  constexpr size_t kShown = 8;
  std::string message = fmt::format(
      "no packed kernel for this problem, and nothing may be compiled "
      "(require_packed)\n  wanted: {} for {}, key {}",
      spec.print(), engine.target.print(), key.hex());
  for (const cache::KernelPack& pack : engine.kernels.options().packs) {
    message += fmt::format("\n  {} has {} kernels", pack.directory(), pack.kernels().size());
    for (size_t i = 0; i < pack.kernels().size() && i < kShown; ++i) {
      const cache::PackedKernel& kernel = pack.kernels()[i];
      message += fmt::format("\n    {}: {} for {}, key {}...", kernel.name, kernel.spec,
                             kernel.target, cache::hex_of(kernel.key).substr(0, 16));
    }
    if (pack.kernels().size() > kShown)
      message += fmt::format("\n    and {} more", pack.kernels().size() - kShown);
  }
  return {ErrorKind::Unsupported, std::move(message)};
}

}  // namespace maskjit::detail
