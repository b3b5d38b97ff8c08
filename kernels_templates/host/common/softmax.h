#pragma once
// Online softmax in the base-2 domain: m = max of t = factor * x, e = 2^(t - m). `factor` is
// log2(e) for logits and scale * log2(e) for raw products, so that plain tiles need no pass of
// their own to scale.
#include "kernels_templates/host/common/exp2.h"
#include "kernels_templates/host/common/math.h"

namespace mj {

MJ_INLINE float row_maximum(const float* x, int columns, float factor) {
  F32x16 largest = splat(kNegativeInfinity);
  for (int j = 0; j < columns; j += kLanes) largest = max(largest, load(x + j) * splat(factor));
  return max_of(largest);
}

// x becomes 2^(factor x - base); returns the sum.
MJ_INLINE float exponentials(float* x, int columns, float factor, float base) {
  F32x16 total = splat(0.0f);
  for (int j = 0; j < columns; j += kLanes) {
    const F32x16 e = exp2(fma(load(x + j), splat(factor), splat(-base)));
    store(x + j, e);
    total += e;
  }
  return sum(total);
}

// What to subtract for a row maximum: 0 for a row without active keys, so that its exponentials are
// 0.
MJ_INLINE float exponent_base(float maximum) {
  return maximum == kNegativeInfinity ? 0.0f : maximum;
}

MJ_INLINE float exp2_scalar(float x) { return exp2(splat(x))[0]; }

MJ_INLINE void scale_row(float* x, int columns, float factor) {
  for (int j = 0; j < columns; j += kLanes) store(x + j, load(x + j) * splat(factor));
}

// Natural log-sum-exp of a row with base-2 maximum m and denominator l.
MJ_INLINE float log_sum_exp(float m, float l) {
  if (m == kNegativeInfinity) return kNegativeInfinity;
  return __builtin_fmaf(m, kLn2, log_scalar(l));
}

}  // namespace mj
