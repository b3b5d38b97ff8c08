#pragma once
// From products to logits: scale, score function, additive mask and predicate, one row of a tile at a time.
#include "kernels_templates/host/common/row_block.h"

namespace mj {

// x[j] = score(scale * x[j]) + additive for keys k_begin + j, j < count; -inf where `kPredicate` and the mask
// excludes the key, and on the columns from count to mj_tile_k.
template <bool kPredicate>
MJ_INLINE void logits_of_row(const MjAttentionArgs* args, const RowBlock& block, int row, int64_t k_begin, int count,
                             float* __restrict x) {
  const int32_t head = block.head_of(row);
  const int64_t query = block.query_of(row);
  const int32_t q = position(args, query);
  const float scale = args->scale;
  const int32_t k_first = static_cast<int32_t>(k_begin);
  const int32_t batch = block.batch;
  const int32_t kv_head = block.kv_head;
  const void* additive = nullptr;
  if (mj_additive != MJ_NONE) additive = row_of(args->additive, mj_additive, batch, head, query);
#pragma clang loop vectorize(assume_safety) interleave(disable)
  for (int j = 0; j < count; ++j) {
    float s = x[j] * scale;
    if (!mj_score_identity) s = mj_score(args, batch, head, kv_head, q, k_first + j, s);
    if (mj_additive != MJ_NONE) s += load_additive(additive, k_begin + j);
    if (kPredicate) s = mj_keep(args, batch, head, kv_head, q, k_first + j) ? s : -__builtin_inff();
    x[j] = s;
  }
  for (int j = count; j < mj_tile_k; ++j) x[j] = -__builtin_inff();
}

}  // namespace mj
