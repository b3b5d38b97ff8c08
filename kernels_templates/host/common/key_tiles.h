#pragma once
// Which key tiles a block of queries visits: the key ranges that the analysis derived, clipped, cut
// to tiles, sorted and merged, so that every tile comes once and in ascending order.
#include "kernels_templates/host/common/vector.h"
#include "kernels_templates/host/microkernels/microkernels.h"
#include "kernels_templates/include/hooks.h"

namespace mj {

static_assert(int{mj_max_runs} >= int{mj_max_ranges});

// Adds the tiles that queries q_lo..q_hi of one head may need among keys [key_begin, key_end).
MJ_OUTLINE void add_key_tiles(const MjAttentionArgs* args, int32_t batch, int32_t head,
                              int32_t kv_head, int32_t q_lo, int32_t q_hi, int64_t key_begin,
                              int64_t key_end, MjTileRuns* runs) {
  if (key_end <= key_begin) return;
  if (mj_mask_full) {
    mj_insert_run(runs, key_begin / mj_tile_k, (key_end - 1) / mj_tile_k + 1);
    return;
  }
  int64_t ends[2 * mj_max_ranges];
  mj_key_ranges(args, batch, head, kv_head, q_lo, q_hi, ends);
  for (int i = 0; i < mj_range_count; ++i) {
    const int64_t lo = ends[2 * i] > key_begin ? ends[2 * i] : key_begin;
    const int64_t hi = ends[2 * i + 1] < key_end - 1 ? ends[2 * i + 1] : key_end - 1;
    if (lo <= hi) mj_insert_run(runs, lo / mj_tile_k, hi / mj_tile_k + 1);
  }
}

}  // namespace mj
