#pragma once
// 2^x in f32, error below 2 ulp for x >= -126, 0 below -127, NaN stays NaN. x = n + f with f in
// [-1/2, 1/2]; 2^f by the minimax polynomial of degree 5 (9e-8 relative).
#include "kernels_templates/host/common/vector.h"

namespace mj {

constexpr float kLog2E = 1.44269504088896340736f;
constexpr float kLn2 = 0.69314718055994530942f;
constexpr float kNegativeInfinity = -__builtin_inff();

MJ_INLINE F32x16 exp2(F32x16 x) {
  const F32x16 magic = splat(12582912.0f);  // 1.5 * 2^23: adding it rounds to an integer
  x = x < splat(-127.0f) ? splat(-127.0f) : x;
  const F32x16 shifted = x + magic;
  const F32x16 f = x - (shifted - magic);
  // The low bits of `shifted` hold n; n = -127 gives the bits of 0.
  const U32x16 scale = (as_words(shifted) - as_words(magic) + 127u) << 23;
  F32x16 p = splat(0.0013264727256f);
  p = fma(p, f, splat(0.00967151270019f));
  p = fma(p, f, splat(0.0555073374366f));
  p = fma(p, f, splat(0.240222420845f));
  p = fma(p, f, splat(0.693146977599f));
  p = fma(p, f, splat(1.0f));
  return p * as_floats(scale);
}

MJ_INLINE float exp2_scalar(float x) { return exp2(splat(x))[0]; }

// What to subtract for a row maximum: 0 for a row without active keys, so that its exponentials are
// 0.
MJ_INLINE float exponent_base(float maximum) {
  return maximum == kNegativeInfinity ? 0.0f : maximum;
}

}  // namespace mj
