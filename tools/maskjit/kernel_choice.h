#pragma once
// Which kernel a spec gets for a problem, without executing it: what explain, compile and bench
// compile share.
#include <string>

#include "codegen/compile.h"
#include "codegen/spec/kernel_template.h"
#include "tools/maskjit/mask_view.h"

namespace maskjit::cli {

struct KernelOptions {
  std::string target;         // empty: this CPU's
  std::string only_template;  // empty: the best
  std::string dtype = "f32";
  int64_t value_dim = 0;  // 0: as --head-dim
  int opt_level = 3;
};
void add_kernel_options(CLI::App& command, KernelOptions& options);

struct KernelChoice {
  codegen::Target target;
  codegen::ProblemSpec problem;
  codegen::KernelSpec spec;
  std::vector<codegen::Refusal> refused;
};
Result<KernelChoice> choose_kernel(const Spec& spec, const KernelOptions& options,
                                   const Lengths& lengths, const LaunchValues* values);

// The kernels that a call with these lengths runs on a GPU of 108 multiprocessors, as
// codegen::describe says it; empty for CPUs.
std::string launch_of(const KernelChoice& choice, const Lengths& lengths);

// f32, f16 or bf16.
Result<ElementType> parse_dtype(const std::string& text);

}  // namespace maskjit::cli
