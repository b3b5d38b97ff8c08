// Dropout; masker_dsl/interp/dropout.h defines which weights it drops.
#include "kernels_templates/host/common/philox.h"
#include "kernels_templates/host/microkernels/microkernels.h"

extern "C" {

float mj_drop_out(const MjAttentionArgs* args, int32_t batch, int32_t head, int64_t query,
                  int64_t k_begin, int32_t count, float* x) {
  using namespace mj;
  const U32x16 threshold = U32x16(args->dropout_threshold);
  const F32x16 scale = splat(args->dropout_scale);
  F32x16 total = splat(0.0f);
  float rest = 0.0f;
  const int64_t k_end = k_begin + count;
  for (int64_t block = k_begin / 64 * 64; block < k_end; block += 64) {
    const Words numbers = draws(block, query, head, batch, args->dropout_key);
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
      float factors[kLanes];
      store(factors, factor);
      const int first = k < k_begin ? static_cast<int>(k_begin - k) : 0;
      const int last = k + kLanes > k_end ? static_cast<int>(k_end - k) : kLanes;
#pragma clang loop vectorize(disable) unroll(disable)
      for (int i = first; i < last; ++i) rest += at[i] *= factors[i];
    }
  }
  return sum(total) + rest;
}

float mj_drop_out_list(const MjAttentionArgs* args, int32_t batch, int32_t head, int64_t query,
                       const int32_t* keys, int64_t count, float* x) {
  using namespace mj;
  float total = 0.0f;
  int64_t i = 0;
  while (i < count) {
    const int64_t block = keys[i] / 64 * 64;
    const Words numbers = draws(block, query, head, batch, args->dropout_key);
    uint32_t lanes[64];
    for (int w = 0; w < 4; ++w) store_words(lanes + w * kLanes, numbers.words[w]);
    for (; i < count && keys[i] < block + 64; ++i) {
      x[i] = lanes[keys[i] - block] >= args->dropout_threshold ? x[i] * args->dropout_scale : 0.0f;
      total += x[i];
    }
  }
  return total;
}

}  // extern "C"
