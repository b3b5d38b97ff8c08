#pragma once
// Scores of a warp's tile, in registers, become logits: score functions, the additive mask, and
// -inf for the keys that do not take part.
#include "kernels_templates/nvptx/common/device_hooks.h"
#include "kernels_templates/nvptx/common/key_tiles.h"
#include "kernels_templates/nvptx/common/products.h"

namespace mj {

// A row of a lane. Rows that are missing at a ragged edge stand for one that is there.
struct LaneRow {
  int head;
  int query;     // index
  int position;  // of that query
};

// Where there is a score function or an additive mask; `row(m, r)` is the LaneRow r (0 or 1) of row
// tile m, k_begin the first key of the tile.
template <typename RowOf>
MJ_INLINE void apply_score(const MjAttentionArgs* args, const QueryBlock& block, WarpTile tile,
                           int lane, int k_begin, RowOf row, Scores& s) {
  const int last_key = static_cast<int>(args->kv_len) - 1;
  const int t = lane & 3;
  MJ_UNROLL
  for (int m = 0; m < tile.rows; ++m) {
    MJ_UNROLL
    for (int r = 0; r < 2; ++r) {
      const LaneRow at = row(m, r);
      const void* additive = nullptr;
      if (mj_additive != MJ_NONE)
        additive = row_of(args->additive, mj_additive, block.batch, at.head, at.query);
      MJ_UNROLL
      for (int n = 0; n < tile.keys; ++n) {
        MJ_UNROLL
        for (int c = 0; c < 2; ++c) {
          const int k = smaller(k_begin + n * 8 + 2 * t + c, last_key);
          float& x = s[m][n][2 * r + c];
          x = logit(args, block.batch, at.head, block.kv_head, at.position, k, additive, x);
        }
      }
    }
  }
}

// Bit i: is there a key i, of `count` (any number) keys?
MJ_INLINE uint64_t present_keys(int count) {
  if (count >= 64) return ~uint64_t{0};
  return count <= 0 ? 0 : (uint64_t{1} << count) - 1;
}

// -inf for the keys of a lane's row that are not in `word`, bit i for key i of the tile; the lane's
// own are every eighth pair of bits.
MJ_INLINE void keep_word(uint64_t word, WarpTile tile, int lane, int m, int r, Scores& s) {
  word >>= 2 * (lane & 3);
  const uint32_t halves[2] = {static_cast<uint32_t>(word), static_cast<uint32_t>(word >> 32)};
  MJ_UNROLL
  for (int n = 0; n < tile.keys; ++n) {
    MJ_UNROLL
    for (int c = 0; c < 2; ++c)
      if ((halves[n / 4] >> (n % 4 * 8 + c) & 1) == 0) s[m][n][2 * r + c] = kNegativeInfinity;
  }
}

// Keys past the end and those that the mask excludes.
template <typename RowOf>
MJ_INLINE void apply_mask(const MjAttentionArgs* args, const QueryBlock& block, WarpTile tile,
                          int lane, int k_begin, RowOf row, Scores& s) {
  const int kv_len = static_cast<int>(args->kv_len);
  const int t = lane & 3;
  if (mj_mask_full || mj_keep_words) {
    // A word of 64 keys a row.
    MJ_UNROLL
    for (int m = 0; m < tile.rows; ++m) {
      MJ_UNROLL
      for (int r = 0; r < 2; ++r) {
        uint64_t word = present_keys(kv_len - k_begin);
        if (!mj_mask_full) {
          const LaneRow at = row(m, r);
          word &=
              mj_keep_word(args, block.batch, at.head, block.kv_head, here(at.position), k_begin);
        }
        keep_word(word, tile, lane, m, r, s);
      }
    }
    return;
  }
  MJ_UNROLL
  for (int m = 0; m < tile.rows; ++m) {
    // The predicate is compiled once: a rolled loop collects one bit an element.
    uint32_t keep = 0;
    MJ_ROLL
    for (int e = 0; e < tile.keys * 4; ++e) {
      const int k = k_begin + (e >> 2) * 8 + 2 * t + (e & 1);
      const LaneRow at = row(m, e >> 1 & 1);
      const bool kept = k < kv_len && mj_keep(args, block.batch, at.head, block.kv_head,
                                              at.position, smaller(k, kv_len - 1));
      keep |= static_cast<uint32_t>(kept) << e;
    }
    MJ_UNROLL
    for (int n = 0; n < tile.keys; ++n) {
      MJ_UNROLL
      for (int e = 0; e < 4; ++e)
        if ((keep >> (n * 4 + e) & 1) == 0) s[m][n][e] = kNegativeInfinity;
    }
  }
}

}  // namespace mj
