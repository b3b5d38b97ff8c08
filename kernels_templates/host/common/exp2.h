#pragma once
// 2^x in f32, error below 2 ulp for x >= -126, 0 for -inf, NaN stays NaN. 2^f by a minimax
// polynomial of degree 5 that is 1 at 0.
#include "kernels_templates/host/common/vector.h"

#ifdef __AVX512DQ__
#include <immintrin.h>
#endif

namespace mj {

constexpr float kLog2E = 1.44269504088896340736f;
constexpr float kLn2 = 0.69314718055994530942f;
constexpr float kNegativeInfinity = -__builtin_inff();

#ifdef __AVX512DQ__

// f in [0, 1) (8e-8 relative), and the unit's own scaling, down to 2^-149.
MJ_INLINE F32x16 exp2(F32x16 x) {
  const __m512 f = _mm512_reduce_ps((__m512)x, _MM_FROUND_TO_NEG_INF);
  __m512 p = _mm512_set1_ps(0.0018671185243874788f);
  p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(0.009017055854201317f));
  p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(0.05579989403486252f));
  p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(0.24016445875167847f));
  p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(0.6931512951850891f));
  p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(1.0f));
  return (F32x16)_mm512_scalef_ps(p, (__m512)x);
}

#else

// x = n + f with f in [-1/2, 1/2] (9e-8 relative); 0 below -127.
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

#endif

MJ_INLINE float exp2_scalar(float x) { return exp2(splat(x))[0]; }

// What to subtract for a row maximum: 0 for a row without active keys, so that its exponentials are
// 0.
MJ_INLINE float exponent_base(float maximum) {
  return maximum == kNegativeInfinity ? 0.0f : maximum;
}

}  // namespace mj
