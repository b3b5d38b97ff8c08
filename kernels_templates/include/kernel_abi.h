#pragma once
// The kernel ABI: what a host kernel receives at launch. Plain structs, the only header that
// templates and runtime share. All strides are in elements; the last dimension of every operand has
// unit stride.
#include <stdint.h>

#include "kernels_templates/include/scorer_abi.h"

extern "C" {

enum MjElement : int32_t { MJ_F32 = 0, MJ_F16 = 1, MJ_BF16 = 2, MJ_BOOL = 3, MJ_NONE = 4 };

// Row [batch, head, row] starts at data + batch * batch_stride + head * head_stride + row *
// row_stride.
struct MjOperand {
  void* data;
  int64_t batch_stride;
  int64_t head_stride;
  int64_t row_stride;
};

// A tensor argument of the spec, rank up to 4. Dimensions of extent 1 that broadcast have stride 0.
// Summaries (present if the tile functions ask for them) are the minimum and maximum of each block
// of mj_summary_block elements of the last dimension, contiguous [leading dimensions..., blocks]:
// int64_t for integer tensors, float for floating ones.
//
// An explicit mask is a tensor of bits: `data` is uint64_t words, element i of a row is bit i % 64
// of its word i / 64, and strides count bits: multiples of 64, and 1 in the last dimension. Its
// block_min is uint8_t, the classes (0 no bit, 1 some, 2 all) of tiles of mj_summary_block
// rows times mj_summary_block elements of the last two dimensions, contiguous [leading
// dimensions..., row blocks, blocks]; a dimension of stride 0 counts once.
struct MjTensor {
  const void* data;
  int64_t extent[4];
  int64_t stride[4];
  const void* block_min;
  const void* block_max;
  int64_t blocks;  // per row of the last dimension
  // Explicit masks with weights: of each word, laid out as `data`, where the weights of its set
  // bits start, in ascending order; negative: they are 1. Null: all are 1.
  const int64_t* weight_start;
  const float* weights;
};
enum { mj_summary_block = 64 };

// A selector of a sequence.
struct MjStage {
  MjScorer scorer;    // MJ_SCORER_LOGITS: the exact scores
  int32_t min_pages;  // of a budget in whole pages
  // The Philox keys of what it draws: the base sample, and the sample that is taken
  // (masker_dsl/interp/selection.h).
  uint32_t base_key[2];
  uint32_t sample_key[2];
};

struct MjAttentionArgs {
  MjOperand query;      // [batch, num_heads, q_len, head_dim]
  MjOperand key;        // [batch, num_kv_heads, kv_len, head_dim]
  MjOperand value;      // [batch, num_kv_heads, kv_len, head_dim_v]
  MjOperand output;     // [batch, num_heads, q_len, head_dim_v], element type of query
  MjOperand additive;   // [batch, num_heads, q_len, >= kv_len], strides 0 where it broadcasts; data
                        // null: none
  MjOperand numerator;  // f32 [batch, num_heads, q_len, head_dim_v] or data null
  MjOperand weights;    // f32 [batch, num_heads, q_len, kv_len] or data null
  float* lse;           // f32 [batch, num_heads, q_len] contiguous, or null; likewise the next two
  float* row_max;
  float* denominator;
  int64_t batch_size, num_heads, num_kv_heads, q_len, kv_len;
  int64_t q_offset;  // absolute position of query row 0
  float scale;
  int32_t
      row_max_over_all;  // row maximum over every key the additive mask allows, not the active ones
  const int64_t* scalars;  // run-time parameters in order: integers, or the bits of a double
  const MjTensor* tensors;
  // Dropout (masker_dsl/interp/dropout.h says which weights): its key, the random numbers below
  // which a weight is dropped, and what the others are multiplied with.
  uint32_t dropout_key[2];
  uint32_t dropout_threshold;
  float dropout_scale;
  const MjStage* stages;  // of a sequence, by position; static stages have nothing to say in theirs
};

// The rule by which a stage of a sequence adds keys to those that are active.
enum MjRule : int32_t {
  MJ_STATIC = 0,  // its mask
  MJ_TOP_K = 1,
  MJ_TOP_P = 2,
  MJ_RANDOM = 3,
  MJ_ADAPTIVE = 4,
  MJ_MAGIC_PIG = 5,
};

// The arguments of a rule for one row.
struct MjStageNumbers {
  int64_t count;       // top_k: n; adaptive: base, or -1 if it is a share
  float fractions[3];  // top_p: p; random: rate; adaptive: base, epsilon, delta
};

enum MjDropout : int32_t {
  MJ_NO_DROPOUT = 0,
  MJ_DROPOUT = 1,              // of normalised weights: denominators are those without
  MJ_DROPOUT_RENORMALISE = 2,  // the weights that stay are normalised again
};

// How a launch is cut up. Phases run one after the other; the items of a phase are independent.
struct MjPlan {
  int64_t phase_items[2];
  int64_t scratch_bytes;    // per thread, 64-byte aligned
  int64_t workspace_bytes;  // per launch, shared by all items
  void* workspace;          // set by the runtime
  int64_t parameters[8];    // the kernel's own
  int64_t threads;          // how many have enough to do: waking more takes longer than it saves
};

// Entry points of a host kernel.
//   mj_plan fills *plan for `threads` threads; plan->threads is that many before. Where it is fewer
//   after, a plan for those is better.
//   mj_run executes one item of one phase with the thread's scratch.
typedef void (*MjPlanFunction)(const MjAttentionArgs*, int64_t threads, MjPlan* plan);
typedef void (*MjRunFunction)(const MjAttentionArgs*, const MjPlan*, int64_t phase, int64_t item,
                              void* scratch);

}  // extern "C"
