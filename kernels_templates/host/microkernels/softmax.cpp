// Online softmax of a tile of scores: m = max of t = factor * x, e = 2^(t - m). `factor` is log2(e)
// for logits and scale * log2(e) for raw products, so that plain tiles need no pass of their own to
// scale.
#include "kernels_templates/host/common/exp2.h"
#include "kernels_templates/host/common/pairs.h"
#include "kernels_templates/host/common/reduce.h"
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

// Maxima of up to 16 rows, before they are scaled.
MJ_INLINE F32x16 maxima(const float* x, int rows, int columns, int stride) {
  F32x16 largest[kLanes];
#pragma clang loop unroll(disable)
  for (int r = 0; r < kLanes; ++r) {
    // A row that is not there costs nothing.
    F32x16 m = splat(kNegativeInfinity);
    for (int j = 0; r < rows && j < columns; j += kLanes) m = max(m, load(x + r * stride + j));
    largest[r] = m;
  }
  return fold_rows(largest, Larger());
}

// The exponentials of a row; returns the vector of their sums.
MJ_INLINE F32x16 exponentials_of_row(float* x, int columns, float factor, float base,
                                     uint32_t* pairs) {
  F32x16 even = splat(0.0f), odd = splat(0.0f);
  if (pairs != nullptr) {
    for (int j = 0; j < columns; j += 2 * kLanes) {
      const F32x16 a = exp2(fma(load(x + j), splat(factor), splat(-base)));
      const F32x16 b = exp2(fma(load(x + j + kLanes), splat(factor), splat(-base)));
      store_pairs(pairs + j / 2, a, b);
      even += a;
      odd += b;
    }
  } else {
    for (int j = 0; j < columns; j += 2 * kLanes) {
      const F32x16 a = exp2(fma(load(x + j), splat(factor), splat(-base)));
      const F32x16 b = exp2(fma(load(x + j + kLanes), splat(factor), splat(-base)));
      store(x + j, a);
      store(x + j + kLanes, b);
      even += a;
      odd += b;
    }
  }
  return even + odd;
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

void mj_softmax_rows(float* scores, int32_t rows, int32_t columns, int32_t stride, float factor,
                     float* maximum, float* total, float* rescale, float* sums, int32_t sum_columns,
                     uint32_t* pairs) {
  using namespace mj;
  for (int first = 0; first < rows; first += kLanes) {
    const int count = rows - first < kLanes ? rows - first : kLanes;
    float* x = scores + first * stride;
    const F32x16 before = load(maximum + first);
    const F32x16 updated = max(before, maxima(x, count, columns, stride) * splat(factor));
    const F32x16 base = updated == splat(kNegativeInfinity) ? splat(0.0f) : updated;
    const F32x16 factors = exp2(before - base);
    store(maximum + first, updated);
    store(rescale + first, factors);
    float bases[kLanes];
    store(bases, base);
    F32x16 part[kLanes];
#pragma clang loop unroll(disable)
    for (int r = 0; r < count; ++r) {
      uint32_t* to = pairs == nullptr ? nullptr : pairs + (first + r) * (stride / 2);
      part[r] = exponentials_of_row(x + r * stride, columns, factor, bases[r], to);
      const float f = rescale[first + r];
      if (f == 1.0f) continue;
      float* row = sums + (first + r) * sum_columns;
      for (int j = 0; j < sum_columns; j += kLanes) store(row + j, load(row + j) * splat(f));
    }
    for (int r = count; r < kLanes; ++r) part[r] = splat(0.0f);
    store(total + first, fma(load(total + first), factors, fold_rows(part, Add())));
  }
}

}  // extern "C"
