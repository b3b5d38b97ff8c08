#pragma once
// Sixteen vectors to one: lane i of the result is vector i folded over its lanes.
#include "kernels_templates/host/common/vector.h"

namespace mj {

struct Add {
  MJ_MEMBER F32x16 operator()(F32x16 a, F32x16 b) const { return a + b; }
};
struct Larger {
  MJ_MEMBER F32x16 operator()(F32x16 a, F32x16 b) const { return max(a, b); }
};

template <int kStep, typename Fold>
MJ_INLINE void fold_halves(F32x16* r, Fold fold) {
#pragma clang loop unroll(full)
  for (int i = 0; i < kStep; ++i) {
    const F32x16 a = r[i];
    const F32x16 b = r[i + kStep];
    r[i] = fold(low_blocks<kStep>(a, b), high_blocks<kStep>(a, b));
  }
}

// Uses up r.
template <typename Fold>
MJ_INLINE F32x16 fold_rows(F32x16* r, Fold fold) {
  fold_halves<8>(r, fold);
  fold_halves<4>(r, fold);
  fold_halves<2>(r, fold);
  fold_halves<1>(r, fold);
  return r[0];
}

}  // namespace mj
