// Decoding under a static mask: the queries of a group's heads share tiles of 16 rows, and the keys
// that any of them can reach are read once for all.
#include "kernels_templates/nvptx/attention_decode/decode.h"

namespace mj {
namespace {

// Split `split` of `splits` of the tiles that `block` visits. Every thread counts a stretch of
// them; `scratch` is shared memory.
MJ_INLINE Share share_of(const MjAttentionArgs* args, const QueryBlock& block,
                         const KeyTiles& tiles, int split, int splits, uint32_t scratch) {
  if (splits == 1) return {0, kNoTile};
  if (mj_mask_full) {
    const int64_t count = tiles.last[0] + 1;
    const int begin = static_cast<int>(count * split / splits);
    return {begin, static_cast<int>(count * (split + 1) / splits) - begin};
  }
  int lo = kNoTile, hi = -1;
  MJ_UNROLL
  for (int i = 0; i < range_count(); ++i) {
    lo = tiles.first[i] < lo ? tiles.first[i] : lo;
    hi = tiles.last[i] > hi ? tiles.last[i] : hi;
  }
  if (hi < 0) return {0, 0};
  const int threads = mj_warps * kWarp;
  const int stretch = (hi - lo + threads) / threads;
  const int64_t begin = lo + static_cast<int64_t>(thread_index()) * stretch;
  const int from = begin <= hi ? static_cast<int>(begin) : kNoTile;
  const int end = from == kNoTile || hi - from < stretch ? hi + 1 : from + stretch;
  int count = 0, found = 0;
  MJ_ROLL
  for (int tile = from;; ++tile) {
    tile = next_tile(args, block, tiles, tile, end, &found);
    if (tile == kNoTile) break;
    ++count;
  }
  // How many tiles are before those of this thread, and how many there are.
  const int lane = thread_index() % kWarp, warp = thread_index() / kWarp;
  int before = count;
  MJ_UNROLL
  for (int lanes = 1; lanes < kWarp; lanes <<= 1) {
    const int other = shuffle_up(before, lanes);
    if (lane >= lanes) before += other;
  }
  if (lane == kWarp - 1) store_shared<int>(scratch + static_cast<uint32_t>(warp * 4), before);
  sync_threads();
  before -= count;
  int64_t total = 0;
  MJ_ROLL
  for (int w = 0; w < mj_warps; ++w) {
    const int of_warp = load_shared<int>(scratch + static_cast<uint32_t>(w * 4));
    if (w < warp) before += of_warp;
    total += of_warp;
  }
  const int skipped = static_cast<int>(total * split / splits);
  const int taken = static_cast<int>(total * (split + 1) / splits) - skipped;
  const uint32_t slot = scratch + static_cast<uint32_t>(mj_warps * 4);
  if (before <= skipped && skipped < before + count) {
    int tile = from - 1;
    MJ_ROLL
    for (int i = before; i <= skipped; ++i)
      tile = next_tile(args, block, tiles, tile + 1, end, &found);
    store_shared<int>(slot, tile);
  }
  sync_threads();
  if (taken == 0) return {0, 0};
  const int first = load_shared<int>(slot);
  return {first, taken};
}

// Tiles of consecutive keys, those that are not Empty.
struct TiledKeys {
  const MjAttentionArgs* args;
  QueryBlock block;
  KeyTiles tiles;
  KeyRows rows;
  int kv_len, warp, lane;

  static MJ_MEMBER Blocks blocks(const MjAttentionArgs* args) {
    return blocks_of(args, kDecodeRows, kDecodeRows);
  }
  static MJ_MEMBER bool weighs() { return mj_weighted != 0; }

  MJ_MEMBER Share share(int split, int splits, uint32_t scratch) const {
    return share_of(args, block, tiles, split, splits, scratch);
  }
  MJ_MEMBER void start(int length, int own_warp_index, int own_lane) {
    kv_len = length;
    warp = own_warp_index;
    lane = own_lane;
    rows = key_rows(args, block.batch, block.kv_head);
  }
  MJ_MEMBER int next(int tile, int* found) const {
    return next_tile(args, block, tiles, tile, kNoTile, found);
  }
  MJ_MEMBER int load(int tile, const Stage& stage) const {
    const int first = tile * mj_tile_k + warp * kDecodeKeys;
    load_tile(own_warp(), stage.keys, stage.key_pitch, rows.keys + first * rows.key_bytes,
              args->key.row_stride, kDecodeKeys, kv_len - first, mj_head_dim, rows.wide_keys);
    load_tile(own_warp(), stage.values, stage.value_pitch, rows.values + first * rows.value_bytes,
              args->value.row_stride, kDecodeKeys, kv_len - first, mj_head_dim_v, rows.wide_values);
    return 0;
  }
  template <typename RowOf>
  MJ_MEMBER void finish(const Ahead& now, bool raw, RowOf row, Scores& s,
                        Adjustment& adjustment) const {
    const int first = now.tile * mj_tile_k + warp * kDecodeKeys;
    if (!raw) apply_score(args, block, kWarpTile, lane, first, row, s);
    if (now.found == 1) apply_mask(args, block, kWarpTile, lane, first, row, s);
    find_adjustment(args, block, kWarpTile, lane, first, row, adjustment);
  }
};

}  // namespace
}  // namespace mj

extern "C" MJ_KERNEL void mj_attention(const MjDeviceArgs device_args) {
  using namespace mj;
  const MjAttentionArgs* args = &device_args.attention;
  run_decode<TiledKeys>(device_args, [&](const QueryBlock& block) __attribute__((always_inline)) {
    TiledKeys keys;
    keys.args = args;
    keys.block = block;
    keys.tiles = key_tiles(args, block);
    return keys;
  });
}

extern "C" MJ_KERNEL void mj_merge(const MjDeviceArgs device_args) { mj::run_merge(device_args); }
