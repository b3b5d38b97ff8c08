// An object of a kernel, linked with the microkernels of its target.
#include <chrono>
#include <cmath>
#include <cstring>
#include <optional>

#include "codegen/backend/object_code.h"
#include "codegen/compile.h"
#include "codegen/target/target.h"
#include "kernels_templates/include/microkernel_table.h"

namespace maskjit::codegen {
namespace {

struct NamedFunction {
  std::string_view name;
  const void* address;
};

template <typename Function>
const void* address_of(Function* function) {
  return reinterpret_cast<const void*>(function);
}

// Objects call nothing but the microkernels of their target and these: what LLVM calls for memory,
// and for operations that the oldest targets have no instruction for.
const NamedFunction kRuntimeFunctions[] = {
    {"memcpy", address_of<void*(void*, const void*, size_t)>(std::memcpy)},
    {"memmove", address_of<void*(void*, const void*, size_t)>(std::memmove)},
    {"memset", address_of<void*(void*, int, size_t)>(std::memset)},
    {"fmaf", address_of<float(float, float, float)>(::fmaf)},
    {"floor", address_of<double(double)>(::floor)},
    {"floorf", address_of<float(float)>(::floorf)},
};

templates::MicrokernelIsa isa_of(HostLevel level) {
  switch (level) {
    case HostLevel::Baseline:
      return templates::MicrokernelIsa::Baseline;
    case HostLevel::Avx2:
      return templates::MicrokernelIsa::Avx2;
    case HostLevel::Avx512:
      return templates::MicrokernelIsa::Avx512;
    case HostLevel::Avx512Bf16:
      return templates::MicrokernelIsa::Avx512Bf16;
    case HostLevel::AmxBf16:
      return templates::MicrokernelIsa::AmxBf16;
  }
  return templates::MicrokernelIsa::Baseline;
}

const void* find_function(std::string_view name, HostLevel level) {
  for (const MjMicrokernel& kernel : templates::microkernels(isa_of(level))) {
    if (name == kernel.name) return kernel.address;
  }
  for (const NamedFunction& function : kRuntimeFunctions) {
    if (name == function.name) return function.address;
  }
  return nullptr;
}

class ObjectKernel final : public LoadedKernel {
 public:
  explicit ObjectKernel(ObjectCode code) : code_(std::move(code)) {
    plan = reinterpret_cast<MjPlanFunction>(code_.symbol("mj_plan"));
    run = reinterpret_cast<MjRunFunction>(code_.symbol("mj_run"));
  }

 private:
  ObjectCode code_;
};

}  // namespace

std::variant<std::unique_ptr<LoadedKernel>, CompileError> load(const CodeArtifact& artifact) {
  const auto start = std::chrono::steady_clock::now();
  const auto error = [](const std::string& what) {
    return CompileError{"loading a kernel: " + what};
  };
  const std::optional<Target> target = Target::parse(artifact.target);
  if (!target) return error("its target \"" + artifact.target + "\" is unknown");
  auto placed = ObjectCode::place(
      artifact.object, [&](std::string_view name) { return find_function(name, target->level); });
  if (const auto* problem = std::get_if<std::string>(&placed)) return error(*problem);
  auto kernel = std::make_unique<ObjectKernel>(std::get<ObjectCode>(std::move(placed)));
  if (kernel->plan == nullptr) return error("it does not define mj_plan");
  if (kernel->run == nullptr) return error("it does not define mj_run");
  kernel->load_milliseconds =
      std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
  return std::unique_ptr<LoadedKernel>(std::move(kernel));
}

}  // namespace maskjit::codegen
