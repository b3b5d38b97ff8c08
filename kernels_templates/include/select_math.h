#pragma once
// Functions of scorers and of magic_pig's weights that host and device kernels compute alike, so
// that both choose the same keys. Freestanding.
#include <stdint.h>

namespace mj {

#define MJ_SHARED_MATH static inline __attribute__((always_inline))

// erf by Abramowitz and Stegun 7.1.26, absolute error below 2e-7. `gauss`: exp(-x^2), for which
// hosts and devices have their own functions.
MJ_SHARED_MATH float erf_of(float x, float gauss) {
  const float a = __builtin_fabsf(x);
  const float t = 1.0f / __builtin_fmaf(0.3275911f, a, 1.0f);
  float p = 1.061405429f;
  p = __builtin_fmaf(p, t, -1.453152027f);
  p = __builtin_fmaf(p, t, 1.421413741f);
  p = __builtin_fmaf(p, t, -0.284496736f);
  p = __builtin_fmaf(p, t, 0.254829592f);
  return __builtin_copysignf(1.0f - p * t * gauss, x);
}

// acos by Abramowitz and Stegun 4.4.46, absolute error below 1e-7 in f32.
MJ_SHARED_MATH float acos_of(float x) {
  const float a = __builtin_fabsf(x);
  float p = -0.0012624911f;
  p = __builtin_fmaf(p, a, 0.0066700901f);
  p = __builtin_fmaf(p, a, -0.0170881256f);
  p = __builtin_fmaf(p, a, 0.0308918810f);
  p = __builtin_fmaf(p, a, -0.0501743046f);
  p = __builtin_fmaf(p, a, 0.0889789874f);
  p = __builtin_fmaf(p, a, -0.2145988016f);
  p = __builtin_fmaf(p, a, 1.5707963050f);
  const float value = p * __builtin_sqrtf(1.0f - a);
  return x < 0.0f ? 3.14159265358979f - value : value;
}

MJ_SHARED_MATH double power(double x, int n) {
  double result = 1.0;
#pragma clang loop unroll(disable)
  for (; n > 0; n >>= 1) {
    if ((n & 1) != 0) result *= x;
    x *= x;
  }
  return result;
}

// 1 - (1 - x)^n for x in [0, 1] without cancellation.
MJ_SHARED_MATH double at_least_once(double x, int n) {
  if (x * n > 1e-3) return 1.0 - power(1.0 - x, n);
  return n * x * (1.0 - (n - 1) * x / 2 * (1.0 - (n - 2) * x / 3));
}

// With which probability a key at this cosine from the query shares one of `tables` codes of `bits`
// random projections with it: 1 - (1 - p^bits)^tables, p = 1 - acos(cosine) / pi. Never 0.
MJ_SHARED_MATH float lsh_probability(float cosine, int bits, int tables) {
  cosine = cosine < 1.0f ? (cosine > -1.0f ? cosine : -1.0f) : 1.0f;
  const double agree = 1.0 - static_cast<double>(acos_of(cosine)) / 3.14159265358979323846;
  const double found = at_least_once(power(agree > 0.0 ? agree : 0.0, bits), tables);
  return found > 0x1p-126 ? static_cast<float>(found) : 0x1p-126f;
}

#undef MJ_SHARED_MATH

}  // namespace mj
