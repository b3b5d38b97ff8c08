#pragma once
// The key tiles of a block of queries, in ascending order and each once: those that the ranges of
// the analysis touch and that are not Empty. Ranges stay in registers.
#include "kernels_templates/nvptx/common/operands.h"

namespace mj {

constexpr int kNoTile = 0x7FFFFFFF;

struct QueryBlock {
  int batch, head, kv_head;
  int query;     // first row (index)
  int rows;      // present ones
  int position;  // of the first row
};

struct KeyTiles {
  int first[mj_max_ranges];
  int last[mj_max_ranges];
};

MJ_INLINE KeyTiles key_tiles(const MjAttentionArgs* args, const QueryBlock& block) {
  KeyTiles tiles;
  const int64_t kv_len = args->kv_len;
  if (mj_mask_full) {
    tiles.first[0] = kv_len > 0 ? 0 : kNoTile;
    tiles.last[0] = static_cast<int>((kv_len - 1) / mj_tile_k);
    return tiles;
  }
  int64_t ends[2 * mj_max_ranges];
  mj_key_ranges(args, block.batch, block.head, block.kv_head, block.position,
                block.position + block.rows - 1, ends);
  MJ_UNROLL
  for (int i = 0; i < mj_range_count; ++i) {
    const int64_t lo = ends[2 * i] > 0 ? ends[2 * i] : 0;
    const int64_t hi = ends[2 * i + 1] < kv_len - 1 ? ends[2 * i + 1] : kv_len - 1;
    tiles.first[i] = lo <= hi ? static_cast<int>(lo) / mj_tile_k : kNoTile;
    tiles.last[i] = lo <= hi ? static_cast<int>(hi) / mj_tile_k : -1;
  }
  return tiles;
}

// The class of a tile: 0 Empty, 1 Partial, 2 Full. The last tile's missing keys count as Partial.
MJ_INLINE int tile_class(const MjAttentionArgs* args, const QueryBlock& block, int tile) {
  const int k_lo = tile * mj_tile_k;
  const int left = static_cast<int>(args->kv_len) - k_lo;
  const int count = left < mj_tile_k ? left : mj_tile_k;
  const int found =
      mj_mask_full ? 2
                   : mj_tile_class(args, block.batch, block.head, block.kv_head, block.position,
                                   block.position + block.rows - 1, k_lo, k_lo + count - 1);
  return found == 2 && count < mj_tile_k ? 1 : found;
}

// The first active tile from `tile` on, kNoTile at the end; its class in *found.
MJ_INLINE int next_tile(const MjAttentionArgs* args, const QueryBlock& block, const KeyTiles& tiles,
                        int tile, int* found) {
  MJ_ROLL
  for (;; ++tile) {
    int next = kNoTile;
    MJ_UNROLL
    for (int i = 0; i < (mj_mask_full ? 1 : mj_range_count); ++i) {
      const int first = tiles.first[i] > tile ? tiles.first[i] : tile;
      if (first <= tiles.last[i] && first < next) next = first;
    }
    tile = next;
    if (tile == kNoTile) return tile;
    *found = tile_class(args, block, tile);
    if (*found != 0) return tile;
  }
}

}  // namespace mj
