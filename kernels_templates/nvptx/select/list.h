#pragma once
// The active keys of a row as a list, for attention that gathers them.
#include "kernels_templates/nvptx/select/row.h"

namespace mj {

MJ_INLINE int32_t* list_of(const MjSelectArgs* args, int64_t row) {
  return args->plan.lists + row * args->plan.words * 32;
}

// By the whole block: keys ascending, and how many.
MJ_INLINE void write_list(const SelectRow& row) {
  int32_t* list = list_of(row.args, row.index);
  const int words = row.args->plan.words;
  int count = 0;
  MJ_ROLL
  for (int first = 0; first < words; first += mj_select_threads) {
    const int word = first + thread_index();
    uint32_t bits = word < words ? row.active[word] : 0;
    const int here = __builtin_popcount(bits);
    int at = count + sum_before(here);
    if (lane_index() == kWarp - 1)
      store_shared<int>(row.scratch + static_cast<uint32_t>(warp_index() * 4), at + here - count);
    sync_threads();
    MJ_ROLL
    for (int w = 0; w < kSelectWarps; ++w) {
      const int of_warp = load_shared<int>(row.scratch + static_cast<uint32_t>(w * 4));
      if (w < warp_index()) at += of_warp;
      count += of_warp;
    }
    MJ_ROLL
    for (; bits != 0; bits &= bits - 1) list[at++] = word * 32 + __builtin_ctz(bits);
    sync_threads();  // nobody reads the counts of the warps any more
  }
  if (thread_index() == 0) row.args->plan.counts[row.index] = count;
}

}  // namespace mj
