#include <gtest/gtest.h>

#include <cstdlib>
#include <list>

#include "codegen/compile.h"
#include "codegen/spec/device_templates.h"
#include "runtime/device/open.h"
#include "tests/conformance/device_arguments.h"
#include "tests/conformance/executor.h"

namespace maskjit::conformance {
namespace {

// The first GPU, or that of the driver that MASKJIT_LIBCUDA names.
const Result<device::Opened>& gpu() {
  static const Result<device::Opened> opened = [] {
    const char* library = std::getenv("MASKJIT_LIBCUDA");
    return device::open({"cuda", "", library == nullptr ? "" : library});
  }();
  return opened;
}

class CudaExecutor final : public Executor {
 public:
  explicit CudaExecutor(std::string template_name) : only_(std::move(template_name)) {}

  std::string name() const override {
    return "cuda" + (only_.empty() ? "" : "_" + only_.substr(only_.rfind('_') + 1));
  }
  std::string unavailable() const override { return gpu() ? "" : gpu().error().message; }
  // A template asked for by name runs what another one is selected for.
  bool considers(const ProblemDescription& d) const override {
    if (d.sequence) return only_.empty();
    const bool is_short = d.q_len * (d.num_heads / d.num_kv_heads) <= 16;
    if (only_.ends_with("forward")) return is_short && !d.dense_results;
    return only_.empty() || !d.dense_results;
  }

  // Decoding is split as on the emulator.
  Results run(const Problem& problem, int multiprocessors) const override {
    const codegen::Target target = gpu()->target;
    const codegen::KernelSpec spec =
        *codegen::select_template(problem.program(), problem.spec(), target, only_).spec;
    const auto compiled = codegen::compile(problem.program(), problem.tiles(), spec, target);
    if (const auto* error = std::get_if<codegen::CompileError>(&compiled)) {
      ADD_FAILURE() << error->message;
      return {};
    }
    const auto kernel = gpu()->device->load(std::get<codegen::CodeArtifact>(compiled));
    if (!kernel) {
      ADD_FAILURE() << kernel.error().message;
      return {};
    }
    return problem.launch([&](const MjAttentionArgs& args, const std::vector<Buffer>& buffers) {
      const Status done = launch(problem, spec, **kernel, multiprocessors, args, buffers);
      if (!done) ADD_FAILURE() << done.error().message;
    });
  }

 private:
  static Status launch(const Problem& problem, const codegen::KernelSpec& spec,
                       const device::CompiledKernel& kernel, int multiprocessors,
                       const MjAttentionArgs& args, const std::vector<Buffer>& buffers) {
    device::Device& gpu_device = *gpu()->device;
    const ProblemDescription& d = problem.description();
    const codegen::DeviceLaunch plan = codegen::device_launch(
        spec, {d.batch, d.num_heads, d.num_kv_heads, d.q_len, d.kv_len}, multiprocessors);
    AddressMap map;
    std::list<device::Buffer> copies;
    const auto allocate = [&](uint64_t bytes) -> Result<device::Address> {
      Result<device::Buffer> buffer = gpu_device.allocate(bytes, {});
      if (!buffer) return buffer.error();
      copies.push_back(std::move(*buffer));
      return copies.back().address();
    };
    std::vector<device::Address> addresses;
    for (const Buffer& buffer : buffers) {
      const Result<device::Address> address = allocate(buffer.bytes);
      if (!address) return address.error();
      addresses.push_back(*address);
      map.add(buffer.data, buffer.bytes, *address);
      const std::span bytes(static_cast<const std::byte*>(buffer.data), buffer.bytes);
      const Status done = gpu_device.copy_in(*address, bytes, {});
      if (!done) return done;
    }
    MjSelectArgs device_args = translate(problem, args, map);
    device::Address workspace = 0;
    if (plan.workspace_bytes > 0) {
      const Result<device::Address> address = allocate(static_cast<uint64_t>(plan.workspace_bytes));
      if (!address) return address.error();
      workspace = *address;
    }
    const size_t parameter_bytes = codegen::place(plan, workspace, 0, device_args);
    for (int i = 0; i < plan.step_count; ++i) {
      const codegen::DeviceStep& step = plan.steps[static_cast<size_t>(i)];
      const Status done = gpu_device.launch(
          kernel,
          {step.entry, static_cast<uint32_t>(step.blocks), static_cast<uint32_t>(step.threads),
           static_cast<uint32_t>(step.shared_memory)},
          std::as_bytes(std::span(&device_args, 1)).first(parameter_bytes), {});
      if (!done) return done;
    }
    for (size_t i = 0; i < buffers.size(); ++i) {
      const std::span bytes(static_cast<std::byte*>(buffers[i].data), buffers[i].bytes);
      const Status done = gpu_device.copy_out(bytes, addresses[i], {});
      if (!done) return done;
    }
    return Done{};
  }

  std::string only_;
};

}  // namespace

std::unique_ptr<Executor> cuda_executor(const std::string& template_name) {
  return std::make_unique<CudaExecutor>(template_name);
}

}  // namespace maskjit::conformance
