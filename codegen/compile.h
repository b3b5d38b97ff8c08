#pragma once
// MaskIR + KernelSpec + Target -> CodeArtifact, and CodeArtifact -> something to call. The only
// interface of codegen that runtime uses; no LLVM types.
#include <memory>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "codegen/spec/kernel_template.h"
#include "masker_dsl/analysis/tile_analysis.h"

namespace maskjit::codegen {

// Milliseconds by stage, in order: "link", "lower", "optimise", "codegen"; loading adds "load".
using StageTimes = std::vector<std::pair<std::string, double>>;

// What one kernel of a device takes of a multiprocessor, as ptxas or the driver says.
struct ResourceUsage {
  std::string entry;
  int registers = 0;          // of a thread
  int stack_bytes = 0;        // of a thread, in local memory
  int spill_store_bytes = 0;  // of a thread: registers that did not suffice
  int spill_load_bytes = 0;
  int shared_bytes = 0;  // static, of a block
  bool operator==(const ResourceUsage&) const = default;
};

struct CodeArtifact {
  std::string object;  // relocatable object of the host, or PTX
  std::string target;  // Target::print()
  std::string template_name;
  StageTimes times;       // of the compile that made it
  std::string spec = {};  // KernelSpec::print()
  // Of a device, where there was a ptxas: its machine code and what its kernels take.
  std::string cubin = {};
  std::vector<ResourceUsage> resources = {};
};

// What to show of a compile: texts of stages that were asked for.
struct EmitRequest {
  bool llvm_before = false;  // instantiated, not yet optimised
  bool llvm = false;         // optimised
  bool assembly = false;
  int pass_limit = -1;  // stop after so many optimiser passes (bisection)
};
struct EmitResult {
  std::string llvm_before, llvm, assembly;
};

struct CompileError {
  std::string message;  // an internal error: stage, key, and how to reproduce
};

// Thread-safe. `program` is bound (no Const parameter is left).
std::variant<CodeArtifact, CompileError> compile(const ir::Program& program,
                                                 const analysis::TileFunctions& tiles,
                                                 const KernelSpec& spec, const Target& target,
                                                 const EmitRequest& emit = {},
                                                 EmitResult* emitted = nullptr);

// Executable code of one artifact; the code lives as long as this object.
class LoadedKernel {
 public:
  virtual ~LoadedKernel() = default;
  MjPlanFunction plan = nullptr;
  MjRunFunction run = nullptr;
  double load_milliseconds = 0;
};
// Thread-safe. Fails on an object that is not one (a damaged cache entry) or misses the entry
// points.
std::variant<std::unique_ptr<LoadedKernel>, CompileError> load(const CodeArtifact& artifact);

std::string llvm_version();  // "22.1.8"
std::string build_id();      // hash of format version, LLVM version and the embedded templates

}  // namespace maskjit::codegen
