#pragma once
// Philox 4x32 of ten rounds (masker_dsl/interp/dropout.h): sixteen counters at once give the draws
// of 64 consecutive keys.
#include "kernels_templates/host/common/vector.h"

namespace mj {

typedef uint64_t U64x8 __attribute__((ext_vector_type(8)));

// Sixteen 32-bit numbers as the multiplication of 64-bit lanes takes them: those of the even and of
// the odd lanes, each in the lower half of a lane. What is in the upper halves does not matter.
struct Halves {
  U64x8 even, odd;
};

MJ_INLINE Halves multiply(Halves a, uint32_t b) {
  return {(a.even & 0xFFFFFFFFu) * uint64_t{b}, (a.odd & 0xFFFFFFFFu) * uint64_t{b}};
}

// upper half of the product ^ b ^ key
MJ_INLINE Halves mix(Halves product, Halves b, uint32_t key) {
  return {(product.even >> 32) ^ b.even ^ U64x8(key), (product.odd >> 32) ^ b.odd ^ U64x8(key)};
}

MJ_INLINE U32x16 interleave(Halves a) {
  return __builtin_shufflevector(__builtin_bit_cast(U32x16, a.even),
                                 __builtin_bit_cast(U32x16, a.odd), 0, 16, 2, 18, 4, 20, 6, 22, 8,
                                 24, 10, 26, 12, 28, 14, 30);
}

struct Words {
  U32x16 words[4];
};

// Of the counters (first + lane, second, third, fourth).
MJ_INLINE Words philox(uint32_t first, uint32_t second, uint32_t third, uint32_t fourth,
                       const uint32_t* key) {
  const U64x8 even = {0, 2, 4, 6, 8, 10, 12, 14};
  Halves c0 = {U64x8(first) + even, U64x8(first) + even + 1};
  Halves c1 = {U64x8(second), U64x8(second)};
  Halves c2 = {U64x8(third), U64x8(third)};
  Halves c3 = {U64x8(fourth), U64x8(fourth)};
  uint32_t k0 = key[0], k1 = key[1];
#pragma clang loop unroll(full)
  for (int round = 0; round < 10; ++round) {
    const Halves a = multiply(c0, 0xD2511F53u);
    const Halves b = multiply(c2, 0xCD9E8D57u);
    c0 = mix(b, c1, k0);
    c1 = b;
    c2 = mix(a, c3, k1);
    c3 = a;
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  return {{interleave(c0), interleave(c1), interleave(c2), interleave(c3)}};
}

// The draws r[batch, head, query, j] of the keys j = block .. block + 63, block a multiple of 64:
// lane i of words[w] is that of block + 16 w + i.
MJ_INLINE Words draws(int64_t block, int64_t query, int32_t head, int32_t batch,
                      const uint32_t* key) {
  return philox(static_cast<uint32_t>(block / 4), static_cast<uint32_t>(query),
                static_cast<uint32_t>(head), static_cast<uint32_t>(batch), key);
}

}  // namespace mj
