// The simplest attention that is right on a device: one warp a query row, two passes over the keys
// of its ranges for each 32 value columns. It supports every valid problem.
#include "kernels_templates/nvptx/common/key_tiles.h"

namespace mj {
namespace {

MJ_INLINE float sum_of_warp(float v) {
  MJ_UNROLL
  for (int lanes = 16; lanes > 0; lanes >>= 1) v += shuffle_xor(v, lanes);
  return v;
}

struct Row {
  QueryBlock block;
  const char* query;
  const void* additive;
};

MJ_INLINE float logit_of(const MjAttentionArgs* args, const Row& row, int k) {
  const QueryBlock& b = row.block;
  const char* key = row_of(args->key, mj_element, b.batch, b.kv_head, k);
  float product = 0.0f;
  MJ_ROLL
  for (int d = thread_index() % kWarp; d < mj_head_dim; d += kWarp) {
    product = __builtin_fmaf(load_element(row.query, d, mj_element),
                             load_element(key, d, mj_element), product);
  }
  return logit(args, b.batch, b.head, b.kv_head, b.position, k, row.additive, sum_of_warp(product));
}

// Visits the active keys with their logits.
template <typename Visit>
MJ_INLINE void for_each_key(const MjAttentionArgs* args, const Row& row, Visit visit) {
  const QueryBlock& b = row.block;
  const KeyTiles tiles = key_tiles(args, b);
  int found = 0;
  MJ_ROLL
  for (int tile = next_tile(args, b, tiles, 0, &found); tile != kNoTile;
       tile = next_tile(args, b, tiles, tile + 1, &found)) {
    MJ_ROLL
    for (int k = tile * mj_tile_k; k < (tile + 1) * mj_tile_k; ++k) {
      if (k >= args->kv_len) break;
      if (!mj_mask_full && !mj_keep(args, b.batch, b.head, b.kv_head, b.position, k)) continue;
      visit(k, logit_of(args, row, k));
    }
  }
}

}  // namespace
}  // namespace mj

// Grid: query rows times heads times batch, a warp each.
extern "C" MJ_KERNEL void mj_attention(const MjDeviceArgs device_args) {
  using namespace mj;
  const MjAttentionArgs* args = &device_args.attention;
  const int lane = thread_index() % kWarp;
  const int q_len = static_cast<int>(args->q_len);
  const int num_heads = static_cast<int>(args->num_heads);
  Row row;
  QueryBlock& b = row.block;
  b.query = block_index() % q_len;
  b.head = block_index() / q_len % num_heads;
  b.batch = block_index() / q_len / num_heads;
  b.kv_head = b.head / (num_heads / static_cast<int>(args->num_kv_heads));
  b.rows = 1;
  b.position = b.query + static_cast<int>(args->q_offset);
  row.query = row_of(args->query, mj_element, b.batch, b.head, b.query);
  row.additive = nullptr;
  if (mj_additive != MJ_NONE)
    row.additive = row_of(args->additive, mj_additive, b.batch, b.head, b.query);

  float m = kNegativeInfinity;
  for_each_key(args, row, [&](int, float x) __attribute__((always_inline)) {
    m = __builtin_fmaxf(m, x * kLog2E);
  });
  const float base = m == kNegativeInfinity ? 0.0f : m;
  float l = 0.0f;
  MJ_ROLL
  for (int first = 0; first < mj_head_dim_v; first += kWarp) {
    const int column = first + lane;
    const int there = column < mj_head_dim_v ? column : 0;
    float sum = 0.0f;
    l = 0.0f;
    for_each_key(args, row, [&](int k, float x) __attribute__((always_inline)) {
      const float e = exp2_approx(__builtin_fmaf(x, kLog2E, -base));
      l += e;
      sum = __builtin_fmaf(
          e,
          load_element(row_of(args->value, mj_element, b.batch, b.kv_head, k), there, mj_element),
          sum);
    });
    const bool empty = m == kNegativeInfinity;
    if (column < mj_head_dim_v && args->output.data != nullptr) {
      store_element(const_cast<char*>(row_of(args->output, mj_element, b.batch, b.head, b.query)),
                    column, empty ? 0.0f : sum / l, mj_element);
    }
    if (column < mj_head_dim_v && args->numerator.data != nullptr) {
      reinterpret_cast<float*>(const_cast<char*>(
          row_of(args->numerator, MJ_F32, b.batch, b.head, b.query)))[column] = empty ? 0.0f : sum;
    }
  }
  if (lane != 0) return;
  const bool empty = m == kNegativeInfinity;
  const int64_t index =
      (static_cast<int64_t>(b.batch) * args->num_heads + b.head) * args->q_len + b.query;
  if (args->lse != nullptr)
    args->lse[index] = empty ? kNegativeInfinity : (m + log2_approx(l)) * kLn2;
  if (args->row_max != nullptr) args->row_max[index] = m * kLn2;
  if (args->denominator != nullptr) args->denominator[index] = empty ? 0.0f : l;
}
