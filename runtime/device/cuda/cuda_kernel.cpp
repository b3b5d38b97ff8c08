// Modules and launches of a CudaDevice.
#include <chrono>

#include "runtime/device/cuda/context_scope.h"
#include "runtime/device/cuda/cuda_device.h"

namespace maskjit::cuda {
namespace {

using device::Stream;

constexpr size_t kLogBytes = 8192;

// Names of the kernels of a PTX text, in order: what follows each ".entry".
std::vector<std::string> entries_of(std::string_view ptx) {
  constexpr std::string_view kEntry = ".entry ";
  std::vector<std::string> names;
  for (size_t at = ptx.find(kEntry); at != std::string_view::npos; at = ptx.find(kEntry, at)) {
    at = std::min(ptx.find_first_not_of(" \t\n", at + kEntry.size()), ptx.size());
    const size_t end = std::min(ptx.find_first_of("( \t\n", at), ptx.size());
    names.emplace_back(ptx.substr(at, end - at));
  }
  return names;
}

// Machine code runs on its own generation, from its own minor revision on.
bool binary_runs(const codegen::Target& code, const codegen::Target& device) {
  return code.sm_specific ? code == device : code.sm / 10 == device.sm / 10 && code.sm <= device.sm;
}

struct Kernel final : public device::CompiledKernel {
  explicit Kernel(const CudaDevice& of) : device(of) {}
  ~Kernel() override {
    if (module == nullptr) return;
    const DriverApi& api = device.driver().api();
    const ContextScope scope(api, device.context());
    if (scope.result() != CUDA_SUCCESS) return;
    api.cuCtxSynchronize();  // launches of it may still run
    api.cuModuleUnload(module);
  }
  void add(std::string name, CUfunction function, codegen::ResourceUsage usage) {
    entries_.push_back({std::move(name), std::move(usage)});
    functions.push_back(function);
  }
  const CudaDevice& device;
  CUmodule module = nullptr;
  std::vector<CUfunction> functions;  // as entries_
};

// Loads an image, PTX or machine code; the error has the driver's log.
Status load_module(const CudaDevice& device, const std::string& image, const char* what,
                   CUmodule& module) {
  std::string log(kLogBytes, '\0');
  CUjit_option options[] = {CU_JIT_ERROR_LOG_BUFFER, CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES};
  // A number is passed in the pointer's bits.
  void* values[] = {log.data(), reinterpret_cast<void*>(log.size())};
  const CUresult result =
      device.driver().api().cuModuleLoadDataEx(&module, image.c_str(), 2, options, values);
  if (result == CUDA_SUCCESS) return Done{};
  module = nullptr;
  log.resize(std::min(log.find('\0'), log.size()));
  while (!log.empty() && log.back() == '\n') log.pop_back();
  Error error = device.error(fmt::format("cuModuleLoadDataEx of {}", what), result);
  if (!log.empty()) error.message += "\n" + log;
  return error;
}

}  // namespace

Result<std::unique_ptr<device::CompiledKernel>> CudaDevice::load(
    const codegen::CodeArtifact& artifact) {
  const auto start = std::chrono::steady_clock::now();
  const auto target = codegen::Target::parse(artifact.target);
  if (!target || !executes(*target)) {
    return Error{ErrorKind::Unsupported,
                 fmt::format("{} cannot execute code for {}; it executes {}", limits_.name,
                             artifact.target, limits_.target.print())};
  }
  const DriverApi& api = driver_->api();
  const ContextScope scope(api, context_);
  if (scope.result() != CUDA_SUCCESS) return error("cuCtxPushCurrent", scope.result());
  auto kernel = std::make_unique<Kernel>(*this);
  Status loaded = Error{};
  // Machine code of another driver's time may be refused: the PTX is always there.
  if (!artifact.cubin.empty() && binary_runs(*target, limits_.target))
    loaded = load_module(*this, artifact.cubin, "the cubin", kernel->module);
  if (!loaded) {
    const std::string before = loaded.error().message;
    loaded = load_module(*this, artifact.object, "the PTX", kernel->module);
    if (!loaded) {
      Error error = loaded.error();
      if (!before.empty()) error.message = before + "\n" + error.message;
      return error;
    }
  }
  for (std::string& name : entries_of(artifact.object)) {
    CUfunction function = nullptr;
    CUresult result = api.cuModuleGetFunction(&function, kernel->module, name.c_str());
    if (result != CUDA_SUCCESS) return error("cuModuleGetFunction of " + name, result);
    codegen::ResourceUsage usage;
    usage.entry = name;
    const struct {
      CUfunction_attribute attribute;
      int& value;
    } attributes[] = {{CU_FUNC_ATTRIBUTE_NUM_REGS, usage.registers},
                      {CU_FUNC_ATTRIBUTE_LOCAL_SIZE_BYTES, usage.stack_bytes},
                      {CU_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES, usage.shared_bytes}};
    for (const auto& [attribute, value] : attributes) {
      result = api.cuFuncGetAttribute(&value, attribute, function);
      if (result != CUDA_SUCCESS) return error("cuFuncGetAttribute of " + name, result);
    }
    // Beyond 48 KiB a kernel has to be allowed what it takes.
    const int dynamic = static_cast<int>(limits_.max_shared_memory) - usage.shared_bytes;
    result =
        api.cuFuncSetAttribute(function, CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, dynamic);
    if (result != CUDA_SUCCESS) return error("cuFuncSetAttribute of " + name, result);
    kernel->add(std::move(name), function, std::move(usage));
  }
  kernel->load_milliseconds =
      std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
  return std::unique_ptr<device::CompiledKernel>(std::move(kernel));
}

Status CudaDevice::launch(const device::CompiledKernel& compiled,
                          const device::KernelLaunch& launch, std::span<const std::byte> parameters,
                          Stream stream) {
  const auto& kernel = static_cast<const Kernel&>(compiled);
  size_t entry = 0;
  while (entry < kernel.entries().size() && kernel.entries()[entry].name != launch.entry) ++entry;
  if (entry == kernel.entries().size()) {
    return Error{ErrorKind::Internal,
                 fmt::format("{}: the module has no kernel {}", limits_.name, launch.entry)};
  }
  const DriverApi& api = driver_->api();
  const ContextScope scope(api, context_);
  if (scope.result() != CUDA_SUCCESS) return error("cuCtxPushCurrent", scope.result());
  void* values[] = {const_cast<std::byte*>(parameters.data())};
  const CUresult result = api.cuLaunchKernel(kernel.functions[entry], launch.blocks, 1, 1,
                                             launch.threads, 1, 1, launch.shared_memory,
                                             static_cast<CUstream>(stream.handle), values, nullptr);
  if (result == CUDA_SUCCESS) return Done{};
  return error(fmt::format("cuLaunchKernel of {} ({} blocks of {} threads, {} bytes of shared "
                           "memory)",
                           launch.entry, launch.blocks, launch.threads, launch.shared_memory),
               result);
}

}  // namespace maskjit::cuda
