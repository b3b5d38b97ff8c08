#pragma once
// What happens to the exponentials of a row before they multiply values. Only kernels with weights
// or dropout link it.
#include "kernels_templates/include/hooks.h"

extern "C" {
// x[j], j < count, of query row `query` (an index) and keys k_begin + j becomes e / w, of which
// dropout leaves nothing or 1 / (1 - p) times as much. Returns the sum that the denominator takes.
float mj_adjust_row(const MjAttentionArgs* args, int32_t batch, int32_t head, int32_t kv_head,
                    int64_t query, int64_t k_begin, int32_t count, float* x);
}

namespace mj {

static inline __attribute__((always_inline)) bool adjusts() {
  return mj_weighted != 0 || mj_dropout != MJ_NO_DROPOUT;
}

}  // namespace mj
