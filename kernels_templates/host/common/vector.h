#pragma once
// Sixteen f32 lanes, whatever the target's registers: LLVM splits them where they are narrower.
#include <stdint.h>

#define MJ_INLINE static inline __attribute__((always_inline))
// A function that directs work and does none itself: code generation spends little time on it.
#define MJ_DIRECTOR __attribute__((section("mj_director")))
#define MJ_MEMBER inline __attribute__((always_inline))
// One copy in the kernel: for what is called from several places and does enough work to be called.
#define MJ_OUTLINE static __attribute__((noinline, unused))

namespace mj {

typedef float F32x16 __attribute__((ext_vector_type(16)));
typedef float F32x16u __attribute__((ext_vector_type(16), aligned(4)));
typedef float F32x4 __attribute__((ext_vector_type(4)));
typedef float F32x4u __attribute__((ext_vector_type(4), aligned(4)));
typedef int32_t I32x16 __attribute__((ext_vector_type(16)));
typedef uint32_t U32x16 __attribute__((ext_vector_type(16)));
typedef uint32_t U32x16u __attribute__((ext_vector_type(16), aligned(4)));
typedef uint16_t U16x16u __attribute__((ext_vector_type(16), aligned(2)));

constexpr int kLanes = 16;

MJ_INLINE F32x16 load(const float* p) { return *reinterpret_cast<const F32x16u*>(p); }
MJ_INLINE void store(float* p, F32x16 v) { *reinterpret_cast<F32x16u*>(p) = v; }
MJ_INLINE void store4(float* p, F32x4 v) { *reinterpret_cast<F32x4u*>(p) = v; }
MJ_INLINE U32x16 load_words(const uint32_t* p) { return *reinterpret_cast<const U32x16u*>(p); }
MJ_INLINE void store_words(uint32_t* p, U32x16 v) { *reinterpret_cast<U32x16u*>(p) = v; }
MJ_INLINE F32x16 splat(float v) { return F32x16(v); }
MJ_INLINE F32x16 fma(F32x16 a, F32x16 b, F32x16 c) { return __builtin_elementwise_fma(a, b, c); }
MJ_INLINE F32x16 as_floats(U32x16 v) { return __builtin_bit_cast(F32x16, v); }
MJ_INLINE U32x16 as_words(F32x16 v) { return __builtin_bit_cast(U32x16, v); }
// NaN in `a` stays.
MJ_INLINE F32x16 max(F32x16 a, F32x16 b) { return b > a ? b : a; }

MJ_INLINE float sum(F32x16 v) {
  typedef float F8 __attribute__((ext_vector_type(8)));
  typedef float F4 __attribute__((ext_vector_type(4)));
  const F8 a = v.lo + v.hi;
  const F4 b = a.lo + a.hi;
  return (b[0] + b[2]) + (b[1] + b[3]);
}
MJ_INLINE float max_of(F32x16 v) {
  typedef float F8 __attribute__((ext_vector_type(8)));
  typedef float F4 __attribute__((ext_vector_type(4)));
  const F8 a = v.hi > v.lo ? v.hi : v.lo;
  const F4 b = a.hi > a.lo ? a.hi : a.lo;
  const float c = b[2] > b[0] ? b[2] : b[0];
  const float d = b[3] > b[1] ? b[3] : b[1];
  return d > c ? d : c;
}

// The blocks of kStep lanes of a and b (as rows i and i + kStep) that a transposition brings to row
// i, and those that it brings to row i + kStep.
#define MJ_LOW(l) (((l) & kStep) ? 16 + (l) - kStep : (l))
#define MJ_HIGH(l) (((l) & kStep) ? 16 + (l) : (l) + kStep)
#define MJ_SHUFFLE(X)                                                                              \
  __builtin_shufflevector(a, b, X(0), X(1), X(2), X(3), X(4), X(5), X(6), X(7), X(8), X(9), X(10), \
                          X(11), X(12), X(13), X(14), X(15))
template <int kStep, typename Vector>
MJ_INLINE Vector low_blocks(Vector a, Vector b) {
  return MJ_SHUFFLE(MJ_LOW);
}
template <int kStep, typename Vector>
MJ_INLINE Vector high_blocks(Vector a, Vector b) {
  return MJ_SHUFFLE(MJ_HIGH);
}
#undef MJ_SHUFFLE
#undef MJ_HIGH
#undef MJ_LOW

MJ_INLINE constexpr int round_up(int n, int multiple) {
  return (n + multiple - 1) / multiple * multiple;
}
MJ_INLINE constexpr int64_t round_up64(int64_t n, int64_t multiple) {
  return (n + multiple - 1) / multiple * multiple;
}

}  // namespace mj
