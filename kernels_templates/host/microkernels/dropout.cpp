// Dropout by Philox 4x32 of ten rounds; masker_dsl/interp/dropout.h defines which weights it drops.
// Sixteen counters at once give the numbers of 64 consecutive keys.
#include "kernels_templates/host/common/vector.h"
#include "kernels_templates/host/microkernels/microkernels.h"

namespace mj {
namespace {

typedef uint64_t U64x8 __attribute__((ext_vector_type(8)));

struct Product {
  U32x16 high, low;
};

// The 64-bit products of even and odd lanes apart, as instructions have them.
MJ_INLINE Product multiply(U32x16 a, uint32_t b) {
  const U64x8 wide = __builtin_bit_cast(U64x8, a);
  const U64x8 even = (wide & 0xFFFFFFFFu) * uint64_t{b};
  const U64x8 odd = (wide >> 32) * uint64_t{b};
  const U64x8 upper = U64x8(0xFFFFFFFF00000000u);
  return {__builtin_bit_cast(U32x16, (even >> 32) | (odd & upper)),
          __builtin_bit_cast(U32x16, (even & 0xFFFFFFFFu) | (odd << 32))};
}

struct Words {
  U32x16 words[4];
};

MJ_INLINE Words philox(U32x16 first, uint32_t second, uint32_t third, uint32_t fourth,
                       const uint32_t* key) {
  U32x16 c0 = first, c1 = U32x16(second), c2 = U32x16(third), c3 = U32x16(fourth);
  uint32_t k0 = key[0], k1 = key[1];
#pragma clang loop unroll(full)
  for (int round = 0; round < 10; ++round) {
    const Product a = multiply(c0, 0xD2511F53u);
    const Product b = multiply(c2, 0xCD9E8D57u);
    c0 = b.high ^ c1 ^ U32x16(k0);
    c1 = b.low;
    c2 = a.high ^ c3 ^ U32x16(k1);
    c3 = a.low;
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  return {{c0, c1, c2, c3}};
}

}  // namespace
}  // namespace mj

extern "C" float mj_drop_out(const MjAttentionArgs* args, int32_t batch, int32_t head,
                             int64_t query, int64_t k_begin, int32_t count, float* x) {
  using namespace mj;
  const U32x16 lanes = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
  const U32x16 threshold = U32x16(args->dropout_threshold);
  const F32x16 scale = splat(args->dropout_scale);
  F32x16 total = splat(0.0f);
  float rest = 0.0f;
  const int64_t k_end = k_begin + count;
  for (int64_t block = k_begin / 64 * 64; block < k_end; block += 64) {
    const Words numbers =
        philox(U32x16(static_cast<uint32_t>(block / 4)) + lanes, static_cast<uint32_t>(query),
               static_cast<uint32_t>(head), static_cast<uint32_t>(batch), args->dropout_key);
#pragma clang loop unroll(full)
    for (int w = 0; w < 4; ++w) {
      const int64_t k = block + w * kLanes;
      if (k + kLanes <= k_begin || k >= k_end) continue;
      const F32x16 factor = numbers.words[w] >= threshold ? scale : splat(0.0f);
      float* at = x + (k - k_begin);
      if (k >= k_begin && k + kLanes <= k_end) {
        const F32x16 left = load(at) * factor;
        store(at, left);
        total += left;
        continue;
      }
      for (int i = 0; i < kLanes; ++i) {
        if (k + i < k_begin || k + i >= k_end) continue;
        at[i] *= factor[i];
        rest += at[i];
      }
    }
  }
  return sum(total) + rest;
}
