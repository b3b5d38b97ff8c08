// Online softmax of a tile of scores: m = max of t = factor * x, e = 2^(t - m). `factor` is log2(e)
// for logits and scale * log2(e) for raw products, so that plain tiles need no pass of their own to
// scale.
#include "kernels_templates/host/common/exp2.h"
#include "kernels_templates/host/microkernels/microkernels.h"

namespace mj {
namespace {

MJ_INLINE float row_maximum(const float* x, int columns, float factor) {
  F32x16 largest = splat(kNegativeInfinity);
#pragma clang loop unroll(disable)
  for (int j = 0; j < columns; j += kLanes) largest = max(largest, load(x + j) * splat(factor));
  return max_of(largest);
}

// x becomes 2^(factor x - base); returns the sum.
MJ_INLINE float exponentials(float* x, int columns, float factor, float base) {
  F32x16 total = splat(0.0f);
  for (int j = 0; j < columns; j += kLanes) {
    const F32x16 e = exp2(fma(load(x + j), splat(factor), splat(-base)));
    store(x + j, e);
    total += e;
  }
  return sum(total);
}

}  // namespace
}  // namespace mj

extern "C" {

float mj_row_maximum(const float* x, int32_t columns, float factor) {
  return mj::row_maximum(x, columns, factor);
}

float mj_exponentials(float* x, int32_t columns, float factor, float base) {
  return mj::exponentials(x, columns, factor, base);
}

float mj_row_sum(const float* x, int32_t count) {
  using namespace mj;
  F32x16 total = splat(0.0f);
  int j = 0;
  for (; j + kLanes <= count; j += kLanes) total += load(x + j);
  float rest = 0.0f;
#pragma clang loop vectorize(disable) unroll(disable)
  for (; j < count; ++j) rest += x[j];
  return sum(total) + rest;
}

void mj_softmax_rows(float* scores, int32_t rows, int32_t tile_k, float factor, float* maximum,
                     float* total, float* rescale, float* sums, int32_t columns) {
  using namespace mj;
  for (int r = 0; r < rows; ++r) {
    const float largest = row_maximum(scores + r * tile_k, tile_k, factor);
    rescale[r] = largest > maximum[r] ? largest : maximum[r];
  }
  for (int r = 0; r < rows; r += kLanes) {
    const F32x16 updated = load(rescale + r);
    const F32x16 base = updated == splat(kNegativeInfinity) ? splat(0.0f) : updated;
    const F32x16 factors = exp2(load(maximum + r) - base);
    store(maximum + r, updated);
    store(rescale + r, factors);
  }
  for (int r = 0; r < rows; ++r) {
    const float sum_of_row =
        exponentials(scores + r * tile_k, tile_k, factor, exponent_base(maximum[r]));
    total[r] = total[r] * rescale[r] + sum_of_row;
    if (rescale[r] == 1.0f) continue;
    float* row = sums + r * columns;
    for (int j = 0; j < columns; j += kLanes) store(row + j, load(row + j) * splat(rescale[r]));
  }
}

}  // extern "C"
