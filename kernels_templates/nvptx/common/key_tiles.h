#pragma once
// The key tiles of a block of queries, in ascending order and each once: those that the ranges of
// the analysis touch and that are not Empty. Ranges stay in registers.
#include "kernels_templates/nvptx/common/operands.h"

namespace mj {

constexpr int kNoTile = 0x7FFFFFFF;

// Consecutive queries of consecutive heads that share a key head.
struct QueryBlock {
  int batch, kv_head;
  int head, heads;     // the first one, and how many
  int query, queries;  // likewise; an index
  int position;        // of the first query
};

struct KeyTiles {
  int first[mj_max_ranges];
  int last[mj_max_ranges];
};

MJ_INLINE int range_count() { return mj_mask_full ? 1 : mj_range_count; }
// Heads whose masks may differ.
MJ_INLINE int different_heads(const QueryBlock& block) { return mj_by_head ? block.heads : 1; }

// A range of several heads is the hull of theirs. A tile has tile_k keys, here and below.
MJ_INLINE KeyTiles key_tiles(const MjAttentionArgs* args, const QueryBlock& block,
                             int tile_k = mj_tile_k) {
  KeyTiles tiles;
  const int64_t kv_len = args->kv_len;
  if (mj_mask_full) {
    tiles.first[0] = kv_len > 0 ? 0 : kNoTile;
    tiles.last[0] = static_cast<int>((kv_len - 1) / tile_k);
    return tiles;
  }
  MJ_UNROLL
  for (int i = 0; i < mj_range_count; ++i) {
    tiles.first[i] = kNoTile;
    tiles.last[i] = -1;
  }
  MJ_ROLL
  for (int h = 0; h < different_heads(block); ++h) {
    int64_t ends[2 * mj_max_ranges];
    mj_key_ranges(args, block.batch, block.head + h, block.kv_head, block.position,
                  block.position + block.queries - 1, ends);
    MJ_UNROLL
    for (int i = 0; i < mj_range_count; ++i) {
      const int64_t lo = ends[2 * i] > 0 ? ends[2 * i] : 0;
      const int64_t hi = ends[2 * i + 1] < kv_len - 1 ? ends[2 * i + 1] : kv_len - 1;
      const int first = lo <= hi ? static_cast<int>(lo) / tile_k : kNoTile;
      const int last = lo <= hi ? static_cast<int>(hi) / tile_k : -1;
      tiles.first[i] = first < tiles.first[i] ? first : tiles.first[i];
      tiles.last[i] = last > tiles.last[i] ? last : tiles.last[i];
    }
  }
  return tiles;
}

// The class of a tile: 0 Empty, 1 Partial, 2 Full. The last tile's missing keys count as Partial.
MJ_INLINE int tile_class(const MjAttentionArgs* args, const QueryBlock& block, int tile,
                         int tile_k = mj_tile_k) {
  const int k_lo = tile * tile_k;
  const int left = static_cast<int>(args->kv_len) - k_lo;
  const int count = left < tile_k ? left : tile_k;
  int found = 2;
  if (!mj_mask_full) {
    const int q_hi = block.position + block.queries - 1;
    found = mj_tile_class(args, block.batch, block.head, block.kv_head, block.position, q_hi, k_lo,
                          k_lo + count - 1);
    if (mj_by_head) {
      MJ_ROLL
      for (int h = 1; h < block.heads; ++h) {
        const int other = mj_tile_class(args, block.batch, block.head + h, block.kv_head,
                                        block.position, q_hi, k_lo, k_lo + count - 1);
        found = other == found ? found : 1;
      }
    }
  }
  return found == 2 && count < tile_k ? 1 : found;
}

// The first active tile from `tile` on and before `end`, kNoTile without one; its class in *found.
MJ_INLINE int next_tile(const MjAttentionArgs* args, const QueryBlock& block, const KeyTiles& tiles,
                        int tile, int end, int* found) {
  MJ_ROLL
  for (;; ++tile) {
    int next = kNoTile;
    MJ_UNROLL
    for (int i = 0; i < range_count(); ++i) {
      const int first = tiles.first[i] > tile ? tiles.first[i] : tile;
      if (first <= tiles.last[i] && first < next) next = first;
    }
    tile = next;
    if (tile >= end) return kNoTile;
    *found = tile_class(args, block, tile);
    if (*found != 0) return tile;
  }
}

}  // namespace mj
