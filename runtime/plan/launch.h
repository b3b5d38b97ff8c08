#pragma once
// AttentionInputs and AttentionOutputs -> the arguments of a kernel and the problem to choose it
// by.
//
// make_launch validates everything that the caller gives; after it, a kernel for `problem` may run
// on `args` without reading or writing outside of the given views. Nothing is allocated when the
// spec has no run-time parameters and no tensors: this is on the path of every call.
#include <memory>
#include <optional>
#include <vector>

#include "codegen/spec/kernel_spec.h"
#include "kernels_templates/include/kernel_abi.h"
#include "runtime/api/engine.h"
#include "runtime/plan/signature.h"

namespace maskjit::plan {

struct Launch {
  MjAttentionArgs args = {};
  codegen::ProblemSpec problem;
  // What args points to.
  std::vector<int64_t> scalars;
  std::vector<MjTensor> tensors;
  std::vector<Mask> masks;
  std::vector<std::unique_ptr<std::byte[]>> summaries;
  std::vector<MjStage> stages;
  std::optional<KeyIndex> index;

  // No result has an element.
  bool nothing_to_do() const {
    return args.batch_size == 0 || args.num_heads == 0 || args.q_len == 0;
  }
};

// Fills `launch`, which is new; the error says what is wrong with the call.
std::optional<Error> make_launch(const Signature& signature, const AttentionInputs& inputs,
                                 const AttentionOutputs& outputs, Launch& launch);

// Computes the block summaries that the tile functions read.
void summarise_tensors(const Signature& signature, Launch& launch);

// The results of a call without keys: zeros, and -inf for lse and row_max.
void write_results_without_keys(const Launch& launch);

bool same_kernel(const codegen::ProblemSpec& a, const codegen::ProblemSpec& b);

}  // namespace maskjit::plan
