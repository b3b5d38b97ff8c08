#pragma once
// What the device kernels of a sequence receive, `C & (stage then stage ...)`: the arguments of
// every device kernel, the stages, and where in the workspace the kernels of the launch leave what
// the next ones read. codegen::device_launch plans the workspace, codegen::place fills in the
// addresses.
//
// Sets of keys are bits: key k is bit k % 32 of word k / 32, so that a pair of words is a set of 64
// keys; bits past the last key are 0. Rows are [batch, num_heads, q_len] in order.
#include "kernels_templates/include/device_abi.h"
#include "kernels_templates/include/hooks.h"

extern "C" {

enum {
  mj_select_threads = 512,  // of a block of mj_select, which takes one row after the other
  mj_select_group = 128,    // keys that a warp looks at together
  mj_select_bins = 2048,    // of a histogram
  mj_tiles_threads = 128,   // of a block of mj_tiles
  mj_temporary_sets = 5,    // of a block
  // What a query that was prepared for a scorer may take of shared memory; else it is in the
  // temporary memory of the block. Bytes.
  mj_max_prepared = 32 << 10,
};

struct MjSelectPlan {
  // [rows][set_count][words]: the active keys, then, where keys have weights, those of each
  // selector in order.
  uint32_t* sets;
  // [rows][mj_max_stages][2]: rates; of magic_pig what weights need of the query.
  float* numbers;
  char* temporary;  // [blocks of mj_select][temporary_bytes]
  // [batch, num_heads][query tiles][tile_words]: a bit a key tile with active keys.
  uint32_t* tiles;
  int32_t* lists;   // [rows][32 * words]: active keys, ascending
  int32_t* counts;  // [rows]: how many
  int64_t temporary_bytes;
  int32_t words;  // of a set, a multiple of 4
  int32_t tile_words;
  int32_t mass_shift;       // sums of u are multiples of 2^-mass_shift
  int32_t prepared_shared;  // bytes of a prepared query in shared memory; 0: in temporary memory
  // The queries of this round: rows above are [batch, num_heads, query_count].
  int32_t first_query, query_count;
};

struct MjSelectArgs {
  MjDeviceArgs device;  // first: hooks find it by its attention arguments
  MjStage stages[mj_max_stages];
  MjSelectPlan plan;
};

}  // extern "C"

static_assert(sizeof(MjSelectArgs) <= 4096, "what every driver takes for parameters");

namespace mj {

#define MJ_LAYOUT static inline constexpr __attribute__((always_inline))

// Words of a set of `keys` keys, in whole groups.
MJ_LAYOUT int64_t set_words(int64_t keys) {
  return (keys + mj_select_group - 1) / mj_select_group * (mj_select_group / 32);
}

// Shared memory of mj_select, bytes: sums of warps, the query as f32, bins, a prepared query.
enum { kSelectScratchBytes = 512 };
MJ_LAYOUT int select_query_bytes(int head_dim) { return (head_dim + 3) / 4 * 16; }
MJ_LAYOUT int select_bin_bytes(bool mass) { return mj_select_bins * (mass ? 8 : 4); }
MJ_LAYOUT int select_shared_bytes(int head_dim, bool mass, int prepared) {
  return kSelectScratchBytes + select_query_bytes(head_dim) + select_bin_bytes(mass) + prepared;
}

#undef MJ_LAYOUT

}  // namespace mj
