// bf16 multiplication for CPUs without instructions for it: each pair is widened to two f32. No
// kernel chooses it (packing f32 is faster); it makes the set of microkernels the same everywhere
// and is what the instructions' results are compared with.
#include "kernels_templates/host/common/elements.h"
#include "kernels_templates/host/microkernels/microkernels.h"

namespace mj {
namespace {

MJ_INLINE F32x16 low_half(U32x16 words) { return as_floats(words << 16); }
MJ_INLINE F32x16 high_half(U32x16 words) { return as_floats(words & 0xFFFF0000u); }

}  // namespace
}  // namespace mj

extern "C" {

void mj_pairs_begin() {}
void mj_pairs_end() {}

void mj_multiply_pairs(const uint32_t* a, int32_t lda, const uint32_t* b, int32_t panel, float* c,
                       int32_t ldc, int32_t m, int32_t n, int32_t k, bool accumulate) {
  using namespace mj;
  for (int32_t i = 0; i < m; ++i, a += lda, c += ldc) {
    for (int32_t j = 0; j < n; j += kLanes) {
      F32x16 sum = accumulate ? load(c + j) : splat(0.0f);
      for (int32_t p = 0; p < k; ++p) {
        const U32x16 left = U32x16(a[p]);
        const U32x16 right = load_words(b + j / kLanes * int64_t{panel} + p * kLanes);
        sum = fma(low_half(left), low_half(right), sum);
        sum = fma(high_half(left), high_half(right), sum);
      }
      store(c + j, sum);
    }
  }
}

void mj_round_pairs(const float* from, uint32_t* to, int32_t count) {
  for (int32_t i = 0; i < count; i += 2) {
    to[i / 2] = mj::round_bf16(from[i]) | static_cast<uint32_t>(mj::round_bf16(from[i + 1])) << 16;
  }
}

}  // extern "C"
