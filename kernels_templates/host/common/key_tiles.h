#pragma once
// Which key tiles a block of queries visits: the key ranges that the analysis derived, clipped, cut
// to tiles, sorted and merged, so that every tile comes once and in ascending order.
#include "kernels_templates/host/common/vector.h"
#include "kernels_templates/include/hooks.h"

namespace mj {

// Half-open runs of tile indices.
struct TileRuns {
  int64_t begin[mj_max_ranges];
  int64_t end[mj_max_ranges];
  int count;
};

MJ_OUTLINE void insert_run(TileRuns& runs, int64_t begin, int64_t end) {
  // Merge every run that touches [begin, end) into it, keep the rest in order.
  int kept = 0;
  int position = 0;
  for (int i = 0; i < runs.count; ++i) {
    if (runs.end[i] >= begin && runs.begin[i] <= end) {
      begin = runs.begin[i] < begin ? runs.begin[i] : begin;
      end = runs.end[i] > end ? runs.end[i] : end;
    } else {
      if (runs.begin[i] < begin) position = kept + 1;
      runs.begin[kept] = runs.begin[i];
      runs.end[kept] = runs.end[i];
      ++kept;
    }
  }
  if (kept == mj_max_ranges) {  // no room: the last run grows to cover both
    if (begin < runs.begin[kept - 1]) runs.begin[kept - 1] = begin;
    if (end > runs.end[kept - 1]) runs.end[kept - 1] = end;
    runs.count = kept;
    return;
  }
  for (int i = kept; i > position; --i) {
    runs.begin[i] = runs.begin[i - 1];
    runs.end[i] = runs.end[i - 1];
  }
  runs.begin[position] = begin;
  runs.end[position] = end;
  runs.count = kept + 1;
}

// Adds the tiles that queries q_lo..q_hi of one head may need among keys [key_begin, key_end).
MJ_OUTLINE void add_key_tiles(const MjAttentionArgs* args, int32_t batch, int32_t head,
                              int32_t kv_head, int32_t q_lo, int32_t q_hi, int64_t key_begin,
                              int64_t key_end, TileRuns& runs) {
  if (key_end <= key_begin) return;
  if (mj_mask_full) {
    insert_run(runs, key_begin / mj_tile_k, (key_end - 1) / mj_tile_k + 1);
    return;
  }
  int64_t ends[2 * mj_max_ranges];
  mj_key_ranges(args, batch, head, kv_head, q_lo, q_hi, ends);
  for (int i = 0; i < mj_range_count; ++i) {
    const int64_t lo = ends[2 * i] > key_begin ? ends[2 * i] : key_begin;
    const int64_t hi = ends[2 * i + 1] < key_end - 1 ? ends[2 * i + 1] : key_end - 1;
    if (lo <= hi) insert_run(runs, lo / mj_tile_k, hi / mj_tile_k + 1);
  }
}

}  // namespace mj
