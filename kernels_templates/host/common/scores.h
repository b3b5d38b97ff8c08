#pragma once
// From products to logits: scale, score function, additive mask and predicate, one row of a tile at
// a time.
#include "kernels_templates/host/common/row_block.h"

namespace mj {

// The logit of one product s = <q, k>.
MJ_INLINE float logit(const MjAttentionArgs* args, int32_t batch, int32_t head, int32_t kv_head,
                      int32_t q, int32_t k, const void* additive, float s) {
  s *= args->scale;
  if (!mj_score_identity) s = mj_score(args, batch, head, kv_head, q, k, s);
  if (mj_additive != MJ_NONE) s += load_additive(additive, k);
  return s;
}

// x[j] becomes the logit of key k_begin + j for j < count.
MJ_INLINE void logits_of_row(const MjAttentionArgs* args, const RowBlock& block, int row,
                             int64_t k_begin, int count, float* __restrict x) {
  const int32_t head = block.head_of(row);
  const int64_t query = block.query_of(row);
  const int32_t q = position(args, query);
  const int32_t k = static_cast<int32_t>(k_begin);
  const int32_t batch = block.batch;
  const int32_t kv_head = block.kv_head;
  const void* additive = nullptr;
  if (mj_additive != MJ_NONE) additive = row_of(args->additive, mj_additive, batch, head, query);
  int j = 0;
  for (; j + kLanes <= count; j += kLanes) {
    // A constant trip count: one vector, and no remainder to compile.
#pragma clang loop vectorize(assume_safety) interleave(disable)
    for (int i = 0; i < kLanes; ++i) {
      x[j + i] = logit(args, batch, head, kv_head, q, k + j + i, additive, x[j + i]);
    }
  }
#pragma clang loop vectorize(disable) unroll(disable)
  for (; j < count; ++j) x[j] = logit(args, batch, head, kv_head, q, k + j, additive, x[j]);
}

// x[j] becomes -inf where the mask excludes key k_begin + j, j < count.
MJ_INLINE void mask_row(const MjAttentionArgs* args, const RowBlock& block, int row,
                        int64_t k_begin, int count, float* __restrict x) {
  const int32_t head = block.head_of(row);
  const int32_t q = position(args, block.query_of(row));
  const int32_t k = static_cast<int32_t>(k_begin);
  const int32_t batch = block.batch;
  const int32_t kv_head = block.kv_head;
  int j = 0;
  for (; j + kLanes <= count; j += kLanes) {
#pragma clang loop vectorize(assume_safety) interleave(disable)
    for (int i = 0; i < kLanes; ++i) {
      const bool keep = mj_keep(args, batch, head, kv_head, q, k + j + i);
      x[j + i] = keep ? x[j + i] : -__builtin_inff();
    }
  }
#pragma clang loop vectorize(disable) unroll(disable)
  for (; j < count; ++j) {
    x[j] = mj_keep(args, batch, head, kv_head, q, k + j) ? x[j] : -__builtin_inff();
  }
}

// Do products stay as they are, with the scale in the softmax's factor? Without score and additive
// mask, and for a positive scale, which keeps -inf what it is.
MJ_INLINE bool keeps_products(const MjAttentionArgs* args) {
  return mj_score_identity && mj_additive == MJ_NONE && args->scale > 0.0f;
}

// From the products of one row to what the softmax takes: logits, -inf where the mask of a Partial
// tile excludes a key and on the columns from count to mj_tile_k.
MJ_INLINE void finish_row(const MjAttentionArgs* args, const RowBlock& block, int row,
                          int64_t k_begin, int count, bool predicate, float* x) {
  if (!keeps_products(args)) logits_of_row(args, block, row, k_begin, count, x);
  if (!mj_mask_full && predicate) mask_row(args, block, row, k_begin, count, x);
#pragma clang loop vectorize(disable) unroll(disable)
  for (int j = count; j < mj_tile_k; ++j) x[j] = -__builtin_inff();
}

}  // namespace mj
