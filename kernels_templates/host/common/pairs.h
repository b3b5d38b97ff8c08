#pragma once
// f32 rounded to bf16, two a word.
#ifdef __AVX512BF16__
#include <immintrin.h>
#endif

#include "kernels_templates/host/common/vector.h"

namespace mj {

// Round to nearest even; NaN becomes a quiet NaN.
MJ_INLINE U32x16 round_words(F32x16 v) {
  const U32x16 bits = as_words(v);
  const U32x16 rounded = (bits + 0x7FFFu + (bits >> 16 & 1u)) >> 16;
  return v == v ? rounded : U32x16(0x7FC0u);
}

// a and b, in order, as 16 words.
MJ_INLINE void store_pairs(uint32_t* to, F32x16 a, F32x16 b) {
#ifdef __AVX512BF16__
  _mm512_storeu_si512(to, (__m512i)_mm512_cvtne2ps_pbh((__m512)b, (__m512)a));
#else
  typedef uint16_t U16x16 __attribute__((ext_vector_type(16)));
  typedef uint16_t U16x32u __attribute__((ext_vector_type(32), aligned(4)));
  U16x32u halves;
  halves.lo = __builtin_convertvector(round_words(a), U16x16);
  halves.hi = __builtin_convertvector(round_words(b), U16x16);
  *reinterpret_cast<U16x32u*>(to) = halves;
#endif
}

}  // namespace mj
