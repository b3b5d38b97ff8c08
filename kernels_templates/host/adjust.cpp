// The weights of explicit masks and dropout on one row of a tile's exponentials.
#include "kernels_templates/host/common/adjust.h"

#include "kernels_templates/host/common/vector.h"
#include "kernels_templates/host/microkernels/microkernels.h"

namespace mj {
namespace {

MJ_INLINE float weighed(const MjAttentionArgs* args, int32_t batch, int32_t head, int32_t kv_head,
                        int32_t q, int32_t k, float e) {
  const float w = mj_weight(args, batch, head, kv_head, q, k);
  return w > 0.0f ? e / w : 0.0f;
}

MJ_INLINE void weigh_row(const MjAttentionArgs* args, int32_t batch, int32_t head, int32_t kv_head,
                         int64_t query, int64_t k_begin, int32_t count, float* __restrict x) {
  const int32_t q = static_cast<int32_t>(query + args->q_offset);
  const int32_t k = static_cast<int32_t>(k_begin);
  int j = 0;
  for (; j + kLanes <= count; j += kLanes) {
#pragma clang loop vectorize(assume_safety) interleave(disable)
    for (int i = 0; i < kLanes; ++i) {
      x[j + i] = weighed(args, batch, head, kv_head, q, k + j + i, x[j + i]);
    }
  }
#pragma clang loop vectorize(disable) unroll(disable)
  for (; j < count; ++j) x[j] = weighed(args, batch, head, kv_head, q, k + j, x[j]);
}

}  // namespace
}  // namespace mj

extern "C" __attribute__((noinline)) float mj_adjust_row(const MjAttentionArgs* args, int32_t batch,
                                                         int32_t head, int32_t kv_head,
                                                         int64_t query, int64_t k_begin,
                                                         int32_t count, float* __restrict x) {
  if (mj_weighted) mj::weigh_row(args, batch, head, kv_head, query, k_begin, count, x);
  const float before = mj_dropout != MJ_DROPOUT_RENORMALISE ? mj_row_sum(x, count) : 0.0f;
  if (mj_dropout == MJ_NO_DROPOUT) return before;
  const float left = mj_drop_out(args, batch, head, query, k_begin, count, x);
  return mj_dropout == MJ_DROPOUT_RENORMALISE ? left : before;
}
