#pragma once
// What the stages of sequences compute alike in host and device kernels, so that both choose the
// same keys: functions of scorers, thresholds of draws, budgets. Freestanding.
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

// A draw is below floor(probability 2^32): it is at most `last`, and not `none`.
struct Threshold {
  bool none;
  uint32_t last;
};
MJ_SHARED_MATH Threshold threshold_of(float probability) {
  const double scaled = static_cast<double>(probability) * 0x1p32;
  if (!(scaled >= 1.0)) return {true, 0};
  return {false, scaled >= 0x1p32 ? 0xFFFFFFFFu : static_cast<uint32_t>(scaled) - 1};
}

// Near what a standard normal variable exceeds with probability p <= 0.5, of t = sqrt(-2 log p):
// Abramowitz and Stegun 26.2.23, error below 4.5e-4.
MJ_SHARED_MATH double normal_quantile_start(double t) {
  return t - (2.515517 + t * (0.802853 + t * 0.010328)) /
                 (1.0 + t * (1.432788 + t * (0.189269 + t * 0.001308)));
}

// Sums over a base sample of adaptive sampling, of u relative to the largest score that takes part,
// and of the active keys' u / weight.
struct Moments {
  double sum, squares, active;
  int sampled;
};

// How many keys adaptive sampling takes (docs/adr/0006). `z`: what a standard normal variable
// exceeds with probability delta / 2.
MJ_SHARED_MATH int64_t budget_of(const Moments& moments, int64_t candidates, int64_t base,
                                 float epsilon, double z) {
  const double r = static_cast<double>(candidates);
  const double rate =
      static_cast<double>(static_cast<float>(base) / static_cast<float>(candidates));
  const double total = moments.active + moments.sum / rate;
  const double tolerated = static_cast<double>(epsilon) * total / z;
  const double second_moment = r * moments.squares / moments.sampled;
  const double wanted = __builtin_ceil(r / (1.0 + tolerated * tolerated / second_moment));
  if (!(total > 0.0) || !(second_moment > 0.0) || !(wanted < r)) return candidates;
  return wanted < static_cast<double>(base) ? base : static_cast<int64_t>(wanted);
}

#undef MJ_SHARED_MATH

}  // namespace mj
