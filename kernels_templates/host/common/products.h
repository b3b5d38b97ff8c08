#pragma once
// A query row against sixteen key rows, wherever they are.
#include "kernels_templates/host/common/elements.h"
#include "kernels_templates/host/common/reduce.h"

namespace mj {

// Products of one query row with sixteen key rows: lane i is key i.
template <int kElement>
MJ_INLINE F32x16 products(const float* query, const void* const* keys, int head_dim) {
  F32x16 sums[16];
#pragma clang loop unroll(full)
  for (int i = 0; i < 16; ++i) sums[i] = splat(0.0f);
#pragma clang loop unroll(disable)
  for (int d = 0; d < head_dim; d += kLanes) {
    const F32x16 q = load(query + d);
#pragma clang loop unroll(full)
    for (int i = 0; i < 16; ++i)
      sums[i] = fma(load_columns(keys[i], d, head_dim, kElement), q, sums[i]);
  }
  return fold_rows(sums, Add());
}

}  // namespace mj
