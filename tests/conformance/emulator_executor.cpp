#include <gtest/gtest.h>

#include <cstring>

#include "codegen/compile.h"
#include "codegen/spec/device_templates.h"
#include "runtime/device/emulator/launch.h"
#include "tests/conformance/device_arguments.h"
#include "tests/conformance/emulator_launch.h"
#include "tests/conformance/executor.h"

namespace maskjit::conformance {
namespace {

// What the performance tests look at, over the kernels of a launch.
void add(const emulator::Counts& step, emulator::Counts& total) {
  total.global_loads += step.global_loads;
  total.global_stores += step.global_stores;
  total.async_copies += step.async_copies;
  total.shared_loads += step.shared_loads;
  total.shared_stores += step.shared_stores;
  total.matrix_loads += step.matrix_loads;
  total.async_writes += step.async_writes;
  total.matrix_operations += step.matrix_operations;
  total.warp_instructions += step.warp_instructions;
  total.ctas += step.ctas;
  for (const auto& [name, count] : step.by_class) total.by_class[name] += count;
  for (const auto& [name, count] : step.by_opcode) total.by_opcode[name] += count;
}

class EmulatorExecutor final : public Executor {
 public:
  EmulatorExecutor(const std::string& target, std::string template_name)
      : target_(*codegen::Target::parse(target)), only_(std::move(template_name)) {}

  std::string name() const override {
    return "emulator_" + target_.print() +
           (only_.empty() ? "" : "_" + only_.substr(only_.rfind('_') + 1));
  }

  // A template asked for by name runs what another one is selected for.
  bool considers(const ProblemDescription& d) const override {
    if (d.sequence) return only_.empty() || only_.find("/select_") != std::string::npos;
    if (only_.find("/select_") != std::string::npos) return false;
    const bool is_short = d.q_len * (d.num_heads / d.num_kv_heads) <= 16;
    if (only_.ends_with("forward")) return is_short && !d.dense_results;
    return only_.empty() || !d.dense_results;
  }

  // Decoding is split over as many multiprocessors as a host kernel has threads.
  Results run(const Problem& problem, int threads) const override {
    const codegen::KernelSpec spec =
        *codegen::select_template(problem.program(), problem.spec(), target_, only_).spec;
    emulator::Report report;
    Results results = run_on_emulator(problem, spec, target_, threads, report);
    if (!report.ok()) ADD_FAILURE() << report.fault->render();
    return results;
  }

 private:
  codegen::Target target_;
  std::string only_;
};

}  // namespace

Results run_on_emulator(const Problem& problem, const codegen::KernelSpec& spec,
                        const codegen::Target& target, int multiprocessors,
                        emulator::Report& report, int64_t set_bytes) {
  const auto compiled = codegen::compile(problem.program(), problem.tiles(), spec, target);
  if (const auto* error = std::get_if<codegen::CompileError>(&compiled)) {
    ADD_FAILURE() << error->message;
    return {};
  }
  const auto parsed = emulator::Module::parse(std::get<codegen::CodeArtifact>(compiled).object);
  if (const auto* error = std::get_if<emulator::ParseError>(&parsed)) {
    ADD_FAILURE() << error->render();
    return {};
  }
  const auto& module = std::get<emulator::Module>(parsed);
  return problem.launch([&](const MjAttentionArgs& args, const std::vector<Buffer>& buffers) {
    const ProblemDescription& d = problem.description();
    codegen::LaunchShape shape = {d.batch, d.num_heads, d.num_kv_heads, d.q_len, d.kv_len};
    const int64_t queries = codegen::queries_a_round(spec, shape, set_bytes);
    emulator::Memory memory;
    AddressMap map;
    for (const Buffer& buffer : buffers) {
      const std::span<std::byte> bytes(static_cast<std::byte*>(buffer.data), buffer.bytes);
      map.add(buffer.data, buffer.bytes, memory.map(bytes, {.name = buffer.name}));
    }
    MjSelectArgs device = translate(problem, args, map);
    uint64_t workspace = 0;
    for (int64_t first = 0; first < d.q_len; first += queries) {
      shape.q_len = std::min(queries, d.q_len - first);
      const codegen::DeviceLaunch launch = codegen::device_launch(spec, shape, multiprocessors);
      if (first == 0 && launch.workspace_bytes > 0) {
        workspace = memory.allocate(static_cast<uint64_t>(launch.workspace_bytes),
                                    {.name = "workspace", .check_initialised = true});
      }
      const size_t bytes = codegen::place(launch, workspace, first, device);
      for (int i = 0; i < launch.step_count; ++i) {
        const codegen::DeviceStep& step = launch.steps[static_cast<size_t>(i)];
        const emulator::LaunchConfig config{
            .grid = {static_cast<uint32_t>(step.blocks), 1, 1},
            .block = {static_cast<uint32_t>(step.threads), 1, 1},
            .dynamic_shared_bytes = static_cast<uint64_t>(step.shared_memory),
            .params = std::as_bytes(std::span(&device, 1)).first(bytes)};
        const emulator::Report of_step =
            emulator::launch(module, memory, step.entry, config, {.seed = d.seed});
        add(of_step.counts, report.counts);
        report.fault = of_step.fault;
        if (!report.ok()) return;
      }
    }
  });
}

std::unique_ptr<Executor> emulator_executor(const std::string& target,
                                            const std::string& template_name) {
  return std::make_unique<EmulatorExecutor>(target, template_name);
}

}  // namespace maskjit::conformance
