#pragma once
// What is behind the handles of the public API. Not part of it: tools that show the inside
// (explain, emit, cache) may look.
#include <mutex>
#include <optional>
#include <shared_mutex>
#include <string>
#include <tuple>
#include <vector>

#include "masker_dsl/driver/driver.h"
#include "runtime/api/engine.h"
#include "runtime/api/environment.h"
#include "runtime/cache/kernel_cache.h"
#include "runtime/device/device.h"
#include "runtime/device/host/executor.h"
#include "runtime/plan/launch.h"

namespace maskjit::detail {

// What EngineOptions::device stands for.
struct EngineDevice {
  std::shared_ptr<device::Device> device;
  codegen::Target target;
  std::string ptxas;
  std::optional<Error> error;
};
EngineDevice open_engine_device(const EngineOptions& options, const Environment& environment);

struct EngineState {
  EngineState(EngineOptions given, cache::CacheOptions cache_options, EngineDevice engine_device,
              Log to_log);

  const EngineOptions options;
  const std::shared_ptr<device::Device> device;  // null: the CPU
  const codegen::Target target;
  const std::string ptxas;  // empty: the device loads PTX
  const Log log;
  std::optional<Error> error;  // wrong options: what every load says
  mutable cache::KernelCache kernels;
  const host::Executor executor;
};

struct SpecState {
  std::shared_ptr<const EngineState> engine;
  ir::Program program;  // Const parameters are open
  std::string warnings;
};

// A kernel and how it was chosen, for one problem.
struct Prepared {
  codegen::ProblemSpec problem;
  codegen::KernelSpec spec;
  codegen::SpecKey key;
  std::vector<codegen::Refusal> refused;
  std::shared_ptr<const cache::CachedKernel> kernel;
};

// The kernel of `spec`, for a device with machine code if there is a ptxas.
std::variant<codegen::CodeArtifact, codegen::CompileError> compile_kernel(
    const EngineState& engine, const driver::BoundProgram& bound, const codegen::KernelSpec& spec,
    const codegen::Target& target);

// No packed kernel for a problem whose own kernel would be `spec`: what is there instead.
Error no_packed_kernel(const EngineState& engine, const codegen::KernelSpec& spec,
                       const codegen::SpecKey& key);

struct AttentionState {
  std::shared_ptr<const EngineState> engine;
  driver::BoundProgram bound;
  plan::Signature signature;

  struct Choice {
    std::shared_ptr<const Prepared> prepared;
    cache::Origin origin;
  };
  // The kernel for this problem, compiled if need be.
  Result<Choice> prepare(const codegen::ProblemSpec& problem) const;
  KeyIndex::Execution execution() const;  // of indexes that calls make

 private:
  using Packed = std::tuple<codegen::Target, codegen::Selection, codegen::SpecKey>;
  std::optional<Packed> find_packed(const codegen::ProblemSpec& problem) const;

  // Problems that were met so far. There are few: a linear search without hashing.
  mutable std::shared_mutex mutex_;
  mutable std::vector<std::shared_ptr<const Prepared>> prepared_;
};

// What would be done for a problem, without compiling.
codegen::Selection select(const AttentionState& attention, const codegen::ProblemSpec& problem,
                          const codegen::Target& target);

std::vector<ParameterInfo> describe_parameters(const ir::Function& function, bool open_only);

}  // namespace maskjit::detail
