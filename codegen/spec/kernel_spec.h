#pragma once
// The request for one specialisation of a template, and its key. Everything that is baked into a
// kernel is in the mask program, the KernelSpec or the Target: nothing else may influence the code.
#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "codegen/target/target.h"
#include "kernels_templates/include/kernel_abi.h"
#include "masker_dsl/ir/program.h"

namespace maskjit::codegen {

// What is known of a tensor argument when the kernel is compiled.
struct TensorLayout {
  uint8_t broadcast = 0;    // bit d: dimension d has extent 1 and broadcasts
  bool unit_stride = true;  // of the last dimension, where it does not broadcast
  bool weighted = false;    // an explicit mask with weights that the kernel uses
  bool operator==(const TensorLayout&) const = default;
};

// What the caller's problem fixes.
struct ProblemSpec {
  MjElement element = MJ_F32;  // of query, key, value and output: F32, F16 or BF16
  int head_dim = 0;
  int head_dim_v = 0;
  MjElement additive = MJ_NONE;
  MjDropout dropout = MJ_NO_DROPOUT;
  std::vector<TensorLayout> tensors;  // by Function::tensors index
  // The call wants dense weights, or row maxima over all keys.
  bool dense_results = false;
  // A hint for template selection, not baked: at most 16 query rows (q_len * group) share a key
  // head.
  bool short_queries = false;
};

struct KernelSpec {
  std::string template_name;  // "host/attention_forward", ...
  ProblemSpec problem;
  bool pairs = false;     // matrix products take pairs of bf16
  int word_multiple = 1;  // what their inner dimension is padded to
  int tile_q = 64;
  int tile_k = 64;
  int warps = 0;          // of a block of a device kernel
  int shared_memory = 0;  // dynamic shared memory of such a block, bytes
  int opt_level = 3;      // 0 or 3
  // Of a device kernel that runs a sequence of stages; follows from the program.
  int key_sets = 0;            // that a row is left with (MjSelectPlan::sets)
  bool ranks_by_mass = false;  // a stage is top_p
  std::string print() const;   // canonical, one line: part of the key
};

struct SpecKey {
  std::array<uint8_t, 32> bytes{};
  std::string hex() const;
  bool operator==(const SpecKey&) const = default;
  auto operator<=>(const SpecKey&) const = default;
};

// By which scores a stage chooses; MJ_SCORER_LOGITS for those that take none.
MjScorerKind scorer_kind(const ir::Stage& stage);

// Do active elements have weights?
bool has_weights(const ProblemSpec& problem);

// Hash of format version, LLVM version, template bitcode, canonical program, spec and target.
SpecKey spec_key(const ir::Program& program, const KernelSpec& spec, const Target& target);

}  // namespace maskjit::codegen
