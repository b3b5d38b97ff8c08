#pragma once
// exp, log and tanh in f32 without branches, so that loops over them vectorise. Errors below 2 ulp
// (exp, tanh) and 3 ulp (log) over the normal range; the polynomials are Chebyshev fits.
#include "kernels_templates/host/common/elements.h"

namespace mj {

// exp(x) = 2^n exp(r), r = x - n ln 2 in two parts; inf above 88.72, 0 below -103.97 (subnormals
// flush to 0 below -87.3), NaN stays.
MJ_INLINE float exp_scalar(float x) {
  const float clamped = x < -104.0f ? -104.0f : (x > 89.0f ? 89.0f : x);
  const float shifted = clamped * 1.44269504f + 12582912.0f;
  const float n = shifted - 12582912.0f;
  float r = __builtin_fmaf(n, -0.693359375f, clamped);
  r = __builtin_fmaf(n, 2.12194440e-4f, r);
  float p = 0.00139261835877f;
  p = __builtin_fmaf(p, r, 0.00836317905272f);
  p = __builtin_fmaf(p, r, 0.0416665546172f);
  p = __builtin_fmaf(p, r, 0.166665769897f);
  p = __builtin_fmaf(p, r, 0.5f);
  p = __builtin_fmaf(p, r * r, r) + 1.0f;
  // 2^n in two factors so that n from -150 to 128 neither overflows nor vanishes too early.
  const int32_t whole = static_cast<int32_t>(bits_of(shifted) - bits_of(12582912.0f));
  const int32_t half = whole >> 1;
  const float first = float_of(static_cast<uint32_t>(half + 127) << 23);
  const float second = float_of(static_cast<uint32_t>(whole - half + 127) << 23);
  return p * first * second;
}

// log(x) = e ln 2 + log(1 + f), 1 + f in [sqrt(1/2), sqrt(2)); -inf at 0, NaN below.
MJ_INLINE float log_scalar(float x) {
  const bool subnormal = x < 0x1p-126f;
  const float scaled = subnormal ? x * 0x1p24f : x;
  const uint32_t shifted = bits_of(scaled) - 0x3F3504F3u;  // sqrt(1/2)
  const float e =
      static_cast<float>(static_cast<int32_t>(shifted) >> 23) - (subnormal ? 24.0f : 0.0f);
  const float f = float_of((shifted & 0x007FFFFFu) + 0x3F3504F3u) - 1.0f;
  float p = -0.0790274377239f;
  p = __builtin_fmaf(p, f, 0.126223198492f);
  p = __builtin_fmaf(p, f, -0.129981837637f);
  p = __builtin_fmaf(p, f, 0.142144959239f);
  p = __builtin_fmaf(p, f, -0.166412814631f);
  p = __builtin_fmaf(p, f, 0.200010450942f);
  p = __builtin_fmaf(p, f, -0.250003064226f);
  p = __builtin_fmaf(p, f, 0.333333307282f);
  const float square = f * f;
  float low = __builtin_fmaf(e, -2.12194440e-4f, p * f * square);
  low = __builtin_fmaf(-0.5f, square, low);
  const float value = __builtin_fmaf(e, 0.693359375f, f + low);
  const float not_number = float_of(0x7FC00000u);
  const float at_edge =
      x == 0.0f ? -__builtin_inff() : (x > 0.0f ? x : not_number);  // inf stays inf
  return x > 0.0f && x < __builtin_inff() ? value : at_edge;
}

// Away from 0 1 - 2 / (exp(2 |x|) + 1), where the quotient forgives the exponential 2^n 2^f what it
// loses in n + f = 2 |x| / ln 2; no n above 26 changes the result.
MJ_INLINE float tanh_scalar(float x) {
  const float a = __builtin_fabsf(x);
  const float y = x * x;
  float p = -0.00609671416591f;
  p = __builtin_fmaf(p, y, 0.0209971789991f);
  p = __builtin_fmaf(p, y, -0.0538509095785f);
  p = __builtin_fmaf(p, y, 0.13332769737f);
  p = __builtin_fmaf(p, y, -0.333333289441f);
  const float near = __builtin_fmaf(p * y, x, x);
  const float exponent = (a > 9.02f ? 9.02f : a) * 2.88539008f;
  const float shifted = exponent + 12582912.0f;
  const float f = exponent - (shifted - 12582912.0f);
  float e = 0.0013264727256f;
  e = __builtin_fmaf(e, f, 0.00967151270019f);
  e = __builtin_fmaf(e, f, 0.0555073374366f);
  e = __builtin_fmaf(e, f, 0.240222420845f);
  e = __builtin_fmaf(e, f, 0.693146977599f);
  e = __builtin_fmaf(e, f, 1.0f);
  e *= float_of((bits_of(shifted) + 127u) << 23);  // the low bits of `shifted` hold n
  const float far = 1.0f - 2.0f / (e + 1.0f);
  return a < 0.625f ? near : __builtin_copysignf(far, x);
}

}  // namespace mj
