#pragma once
// The simplest attention that is right on a device: one warp a query row, two passes over the keys
// of its ranges for each 32 value columns.
#include "kernels_templates/nvptx/common/adjust.h"
#include "kernels_templates/nvptx/common/results.h"

namespace mj {

// The active keys of a row: those of the mask.
struct MaskedKeys {
  const MjAttentionArgs* args;
  int batch, head, kv_head, position;

  static MJ_MEMBER bool weighs() { return mj_weighted != 0; }
  MJ_MEMBER bool keeps(int k) const {
    return mj_mask_full || mj_keep(args, batch, head, kv_head, position, k);
  }
  // 1 / weight of an active key whose product with the query is given.
  MJ_MEMBER float inverse(int k, float) const {
    return inverse_weight(args, batch, head, kv_head, position, k);
  }
};

MJ_INLINE float sum_of_warp(float v) {
  MJ_UNROLL
  for (int lanes = 16; lanes > 0; lanes >>= 1) v += shuffle_xor(v, lanes);
  return v;
}

template <typename Keys>
struct ReferenceRow {
  Keys keys;
  QueryBlock block;
  const char* query;
  const void* additive;
};

template <typename Keys>
MJ_INLINE float product_of(const MjAttentionArgs* args, const ReferenceRow<Keys>& row, int k) {
  const QueryBlock& b = row.block;
  const char* key = row_of(args->key, mj_element, b.batch, b.kv_head, k);
  float product = 0.0f;
  MJ_ROLL
  for (int d = thread_index() % kWarp; d < mj_head_dim; d += kWarp) {
    product = __builtin_fmaf(load_element(row.query, d, mj_element),
                             load_element(key, d, mj_element), product);
  }
  return sum_of_warp(product);
}
template <typename Keys>
MJ_INLINE float logit_of(const MjAttentionArgs* args, const ReferenceRow<Keys>& row, int k,
                         float product) {
  const QueryBlock& b = row.block;
  return logit(args, b.batch, b.head, b.kv_head, b.position, k, row.additive, product);
}

// Visits the active keys with their logits and products.
template <typename Keys, typename Visit>
MJ_INLINE void for_each_key(const MjAttentionArgs* args, const ReferenceRow<Keys>& row,
                            Visit visit) {
  const QueryBlock& b = row.block;
  const KeyTiles tiles = key_tiles(args, b);
  int found = 0;
  MJ_ROLL
  for (int tile = 0;; ++tile) {
    tile = next_tile(args, b, tiles, tile, kNoTile, &found);
    if (tile == kNoTile) break;
    MJ_ROLL
    for (int k = tile * mj_tile_k; k < (tile + 1) * mj_tile_k; ++k) {
      if (k >= args->kv_len) break;
      if (!row.keys.keeps(k)) continue;
      const float product = product_of(args, row, k);
      visit(k, logit_of(args, row, k, product), product);
    }
  }
}

// The exponential of one key as it multiplies the value; adds to `total` what the denominator
// takes.
template <typename Keys>
MJ_INLINE float exponential(const MjAttentionArgs* args, const ReferenceRow<Keys>& row, int k,
                            float logit, float product, float base, float& total) {
  const QueryBlock& b = row.block;
  float e = exp2_approx(__builtin_fmaf(logit, kLog2E, -base));
  const float inverse = Keys::weighs() ? row.keys.inverse(k, product) : 1.0f;
  const bool kept = mj_dropout == MJ_NO_DROPOUT || dropout_keeps(args, b.batch, b.head, b.query, k);
  adjust(Keys::weighs(), inverse, kept, args->dropout_scale, e, total);
  return e;
}

// The maximum over every key that the additive mask allows, in the base-2 domain.
template <typename Keys>
MJ_INLINE float maximum_over_all(const MjAttentionArgs* args, const ReferenceRow<Keys>& row) {
  float m = kNegativeInfinity;
  MJ_ROLL
  for (int k = 0; k < static_cast<int>(args->kv_len); ++k)
    m = __builtin_fmaxf(m, logit_of(args, row, k, product_of(args, row, k)) * kLog2E);
  return m;
}

// Dense weights: each lane writes every 32nd key.
template <typename Keys>
MJ_INLINE void write_weights(const MjAttentionArgs* args, const ReferenceRow<Keys>& row,
                             float maximum, float total) {
  const QueryBlock& b = row.block;
  float* weights = reinterpret_cast<float*>(
      const_cast<char*>(row_of(args->weights, MJ_F32, b.batch, b.head, b.query)));
  const int lane = thread_index() % kWarp;
  MJ_ROLL
  for (int k = lane; k < static_cast<int>(args->kv_len); k += kWarp) weights[k] = 0.0f;
  if (is_empty(total)) return;
  const float inverse = 1.0f / total;
  for_each_key(args, row, [&](int k, float x, float product) __attribute__((always_inline)) {
    float ignored = 0.0f;
    const float e = exponential(args, row, k, x, product, maximum, ignored);
    if (k % kWarp == lane) weights[k] = e * inverse;
  });
}

// Grid: query rows times heads times batch, a warp each. `keys_of(block)`: the active keys.
template <typename Keys, typename KeysOf>
MJ_INLINE void run_reference(const MjAttentionArgs* args, const KeysOf& keys_of) {
  const int lane = thread_index() % kWarp;
  const int q_len = static_cast<int>(args->q_len);
  const int num_heads = static_cast<int>(args->num_heads);
  ReferenceRow<Keys> row;
  QueryBlock& b = row.block;
  b.query = block_index() % q_len;
  b.queries = 1;
  b.head = block_index() / q_len % num_heads;
  b.batch = block_index() / q_len / num_heads;
  b.kv_head = b.head / (num_heads / static_cast<int>(args->num_kv_heads));
  b.heads = 1;
  b.position = b.query + static_cast<int>(args->q_offset);
  row.query = row_of(args->query, mj_element, b.batch, b.head, b.query);
  row.additive = nullptr;
  if (mj_additive != MJ_NONE)
    row.additive = row_of(args->additive, mj_additive, b.batch, b.head, b.query);

  row.keys = keys_of(b);

  float m = kNegativeInfinity;
  for_each_key(args, row, [&](int, float x, float) __attribute__((always_inline)) {
    m = __builtin_fmaxf(m, x * kLog2E);
  });
  const float base = m == kNegativeInfinity ? 0.0f : m;
  float l = 0.0f;
  float reported = m, rescale = 1.0f;
  if (mj_dense_results && args->row_max_over_all) {
    reported = maximum_over_all(args, row);
    rescale = exp2_approx(m - (reported == kNegativeInfinity ? 0.0f : reported));
  }
  MJ_ROLL
  for (int first = 0; first < mj_head_dim_v; first += kWarp) {
    const int column = first + lane;
    const int there = column < mj_head_dim_v ? column : 0;
    float sum = 0.0f;
    l = 0.0f;
    for_each_key(args, row, [&](int k, float x, float product) __attribute__((always_inline)) {
      const float e = exponential(args, row, k, x, product, base, l);
      sum = __builtin_fmaf(
          e,
          load_element(row_of(args->value, mj_element, b.batch, b.kv_head, k), there, mj_element),
          sum);
    });
    const float inverse = is_empty(l) ? 0.0f : 1.0f / l;
    if (column < mj_head_dim_v)
      write_column(args, b.batch, b.head, b.query, column, sum, inverse, rescale);
  }
  if (mj_dense_results && args->weights.data != nullptr) write_weights(args, row, m, l);
  if (lane == 0)
    write_row_scalars(args, row_index(args, b.batch, b.head, b.query), m, l, reported, rescale);
}

}  // namespace mj
