#pragma once
// From products to logits: scale, score function, additive mask and predicate, one row of a tile at
// a time.
#include "kernels_templates/host/common/row_block.h"

namespace mj {

// The logit of one product s = <q, k>.
template <bool kPredicate>
MJ_INLINE float logit(const MjAttentionArgs* args, int32_t batch, int32_t head, int32_t kv_head,
                      int32_t q, int32_t k, const void* additive, float s) {
  s *= args->scale;
  if (!mj_score_identity) s = mj_score(args, batch, head, kv_head, q, k, s);
  if (mj_additive != MJ_NONE) s += load_additive(additive, k);
  if (kPredicate) s = mj_keep(args, batch, head, kv_head, q, k) ? s : -__builtin_inff();
  return s;
}

// x[j] becomes the logit of key k_begin + j for j < count, -inf where `kPredicate` and the mask
// excludes the key, and on the columns from count to mj_tile_k.
template <bool kPredicate>
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
      x[j + i] = logit<kPredicate>(args, batch, head, kv_head, q, k + j + i, additive, x[j + i]);
    }
  }
#pragma clang loop vectorize(disable) unroll(disable)
  for (; j < count; ++j)
    x[j] = logit<kPredicate>(args, batch, head, kv_head, q, k + j, additive, x[j]);
#pragma clang loop vectorize(disable) unroll(disable)
  for (; j < mj_tile_k; ++j) x[j] = -__builtin_inff();
}

}  // namespace mj
