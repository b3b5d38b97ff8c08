#pragma once
// Random numbers of keys (masker_dsl/interp/dropout.h), and the budget of adaptive sampling
// (docs/adr/0006).
#include "kernels_templates/include/select_math.h"
#include "kernels_templates/nvptx/common/adjust.h"
#include "kernels_templates/nvptx/select/row.h"

namespace mj {

// The keys of a group that are drawn. A counter of Philox serves four keys, 16 apart: half a warp
// does 64 of them.
MJ_INLINE Words4 draw_group(const SelectRow& row, int group, const uint32_t* key,
                            Threshold threshold) {
  const int lane = lane_index();
  const PhiloxWords numbers = philox(
      static_cast<uint32_t>(group * (mj_select_group / 4) + lane), static_cast<uint32_t>(row.query),
      static_cast<uint32_t>(row.head), static_cast<uint32_t>(row.batch), key);
  uint32_t votes[4];
  MJ_UNROLL
  for (int w = 0; w < 4; ++w)
    votes[w] = vote(!threshold.none && numbers.words[w] <= threshold.last);
  Words4 drawn;
  drawn.x = (votes[0] & 0xFFFFu) | votes[1] << 16;
  drawn.y = (votes[2] & 0xFFFFu) | votes[3] << 16;
  drawn.z = votes[0] >> 16 | (votes[1] & 0xFFFF0000u);
  drawn.w = votes[2] >> 16 | (votes[3] & 0xFFFF0000u);
  return drawn;
}

// log x of a positive normal number: x = 2^e m with m in [sqrt 1/2, sqrt 2), log m = 2 atanh z.
MJ_INLINE double log_of(double x) {
  const uint64_t bits = __builtin_bit_cast(uint64_t, x) - 0x3FE6A09E667F3BCDu;
  const int exponent = static_cast<int>(static_cast<int64_t>(bits) >> 52);
  const double m = __builtin_bit_cast(double, (bits & 0xFFFFFFFFFFFFFu) + 0x3FE6A09E667F3BCDu);
  const double z = (m - 1.0) / (m + 1.0), square = z * z;
  double sum = 0.0;
  MJ_ROLL
  for (int i = 23; i > 0; i -= 2) sum = __builtin_fma(sum, square, 1.0 / i);
  return exponent * 0.69314718055994530942 + 2.0 * z * sum;
}

// 1 - Phi(z), by its series below 2.5 and its continued fraction above (Abramowitz and Stegun
// 26.2.11 and 26.2.14); `density` is that of the standard normal at z >= 0.
MJ_INLINE double normal_tail(double z, double density) {
  if (z < 2.5) {
    double term = z, sum = z;
    MJ_ROLL
    for (int i = 3; i < 60; i += 2) {
      term *= z * z / i;
      sum += term;
    }
    return 0.5 - density * sum;
  }
  double fraction = z;
  MJ_ROLL
  for (int i = 100; i > 0; --i) fraction = z + i / fraction;
  return density / fraction;
}

MJ_INLINE double exp_of(double x) {  // x <= 0, above -700
  const double n = __builtin_rint(x * 1.44269504088896340736);
  const double r =
      __builtin_fma(n, -1.90821492927058770002e-10, __builtin_fma(n, -0.69314718036912381649, x));
  double sum = 1.0;
  MJ_ROLL
  for (int i = 14; i > 0; --i) sum = __builtin_fma(sum, r / i, 1.0);
  return sum *
         __builtin_bit_cast(double, static_cast<uint64_t>(static_cast<int64_t>(n) + 1023) << 52);
}

// What a standard normal variable exceeds with probability p, by Newton's method.
MJ_INLINE double normal_quantile_above(double p) {
  const bool upper = p > 0.5;
  if (upper) p = 1.0 - p;
  double z = normal_quantile_start(__builtin_sqrt(-2.0 * log_of(p)));
  MJ_ROLL
  for (int i = 0; i < 3; ++i) {
    const double at = z < 0.0 ? 0.0 : z;
    const double density = exp_of(-0.5 * at * at) * 0.39894228040143267794;
    z = at + (normal_tail(at, density) - p) / density;
  }
  return upper ? -z : z;
}

MJ_INLINE int64_t adaptive_budget(const Moments& moments, int64_t candidates, int64_t base,
                                  float epsilon, float delta) {
  if (moments.sampled < 2) return candidates;
  return budget_of(moments, candidates, base, epsilon,
                   normal_quantile_above(static_cast<double>(delta) / 2));
}

}  // namespace mj
