#include <gtest/gtest.h>

#include <cstring>

#include "codegen/compile.h"
#include "codegen/spec/device_templates.h"
#include "kernels_templates/include/device_abi.h"
#include "runtime/device/emulator/launch.h"
#include "tests/conformance/emulator_launch.h"
#include "tests/conformance/executor.h"

namespace maskjit::conformance {
namespace {

// Device addresses of host buffers.
class AddressMap {
 public:
  void add(const void* host, size_t bytes, emulator::DeviceAddress device) {
    entries_.push_back({reinterpret_cast<uintptr_t>(host), bytes, device});
  }
  template <typename T>
  T* translate(T* host) const {
    const auto address = reinterpret_cast<uintptr_t>(host);
    for (const Entry& e : entries_) {
      if (address >= e.host && address < e.host + e.bytes)
        return reinterpret_cast<T*>(e.device + (address - e.host));
    }
    return nullptr;
  }

 private:
  struct Entry {
    uintptr_t host;
    size_t bytes;
    emulator::DeviceAddress device;
  };
  std::vector<Entry> entries_;
};

MjDeviceArgs translate(const Problem& problem, const MjAttentionArgs& args, const AddressMap& map) {
  MjDeviceArgs device{};
  device.attention = args;
  MjAttentionArgs& a = device.attention;
  for (MjOperand* x : {&a.query, &a.key, &a.value, &a.output, &a.additive, &a.numerator})
    x->data = map.translate(x->data);
  for (float** x : {&a.lse, &a.row_max, &a.denominator}) *x = map.translate(*x);
  a.scalars = nullptr;
  a.tensors = nullptr;
  std::copy(problem.scalars().begin(), problem.scalars().end(), device.scalars);
  for (size_t i = 0; i < problem.tensors().size(); ++i) {
    MjTensor tensor = problem.tensors()[i];
    for (const void** x : {&tensor.data, &tensor.block_min, &tensor.block_max})
      *x = map.translate(*x);
    device.tensors[i] = tensor;
  }
  return device;
}

class EmulatorExecutor final : public Executor {
 public:
  EmulatorExecutor(const std::string& target, std::string template_name)
      : target_(*codegen::Target::parse(target)), only_(std::move(template_name)) {}

  std::string name() const override {
    return "emulator_" + target_.print() +
           (only_.empty() ? "" : "_" + only_.substr(only_.rfind('_') + 1));
  }

  bool considers(const ProblemDescription& d) const override { return !d.dense_results; }

  Results run(const Problem& problem, int) const override {
    const codegen::KernelSpec spec =
        *codegen::select_template(problem.program(), problem.spec(), target_, only_).spec;
    emulator::Report report;
    Results results = run_on_emulator(problem, spec, target_, report);
    if (!report.ok()) ADD_FAILURE() << report.fault->render();
    return results;
  }

 private:
  codegen::Target target_;
  std::string only_;
};

}  // namespace

Results run_on_emulator(const Problem& problem, const codegen::KernelSpec& spec,
                        const codegen::Target& target, emulator::Report& report) {
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
    const int64_t grid = codegen::device_grid(spec, d.batch, d.num_heads, d.q_len);
    if (grid == 0) return;
    emulator::Memory memory;
    AddressMap map;
    for (const Buffer& buffer : buffers) {
      const std::span<std::byte> bytes(static_cast<std::byte*>(buffer.data), buffer.bytes);
      map.add(buffer.data, buffer.bytes, memory.map(bytes, {.name = buffer.name}));
    }
    const MjDeviceArgs device = translate(problem, args, map);
    const emulator::Parameters parameters = emulator::Parameters().add(device);
    const emulator::LaunchConfig config{
        .grid = {static_cast<uint32_t>(grid), 1, 1},
        .block = {static_cast<uint32_t>(spec.warps) * 32, 1, 1},
        .dynamic_shared_bytes = static_cast<uint64_t>(spec.shared_memory),
        .params = parameters.bytes()};
    report = emulator::launch(module, memory, "mj_attention", config, {.seed = d.seed});
  });
}

std::unique_ptr<Executor> emulator_executor(const std::string& target,
                                            const std::string& template_name) {
  return std::make_unique<EmulatorExecutor>(target, template_name);
}

}  // namespace maskjit::conformance
