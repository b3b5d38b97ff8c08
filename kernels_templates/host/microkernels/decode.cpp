// A few query rows against key and value rows where they are: bound by the bandwidth of the rows,
// each of which is read once from memory.
#include "kernels_templates/host/common/elements.h"
#include "kernels_templates/host/common/exp2.h"
#include "kernels_templates/host/common/products.h"
#include "kernels_templates/host/microkernels/microkernels.h"

namespace mj {
namespace {

constexpr int kRowStep = 4;  // rows whose sums are kept in registers together
constexpr int kVectors = 4;  // vectors of such a row; twice that of a single row
constexpr int kStreams = 8;

// Keys and values are read in kStreams places at once, an eighth of the rows apart: one stream of
// loads keeps too few of them in flight for the memory's latency, as the prefetchers of the
// second-level cache stop at the end of a page. 0 where the rows cannot be cut so.
MJ_INLINE int rows_apart(int count) { return count % (4 * kStreams) == 0 ? count / kStreams : 0; }

// Asks for row `row` of those that are read next.
MJ_INLINE void fetch(const MjRowsAhead* ahead, int row) {
  if (ahead == nullptr) return;
  const char* first = static_cast<const char*>(ahead->first) + row * ahead->row_bytes;
  for (int i = 0; i < ahead->bytes; i += 64) __builtin_prefetch(first + i, 0, 2);
}

template <int kElement>
MJ_INLINE void dot_row(const float* query, const char* first, int64_t row_bytes, int count,
                       int head_dim, float* scores) {
  const int apart = rows_apart(count);
  if (apart == 0) {
    for (int j = 0; j < count; j += kLanes) {
      const void* keys[16];
      // Lanes past the last key repeat the first of the sixteen.
#pragma clang loop unroll(full)
      for (int i = 0; i < 16; ++i) keys[i] = first + (j + i < count ? j + i : j) * row_bytes;
      store(scores + j, products<kElement>(query, keys, head_dim));
    }
    return;
  }
  constexpr int kTogether = kLanes / kStreams;
  for (int j = 0; j < apart; j += kTogether) {
    const void* keys[16];
#pragma clang loop unroll(full)
    for (int i = 0; i < 16; ++i)
      keys[i] = first + (i / kTogether * apart + j + i % kTogether) * row_bytes;
    const F32x16 x = products<kElement>(query, keys, head_dim);
#pragma clang loop unroll(full)
    for (int i = 0; i < 16; ++i) scores[i / kTogether * apart + j + i % kTogether] = x[i];
  }
}

// kRowStep query rows with four keys at a time, so that a key's elements are widened once for all.
template <int kElement>
MJ_INLINE void dot_some_rows(const float* queries, int query_stride, const char* first,
                             int64_t row_bytes, int count, int head_dim, float* scores,
                             int score_stride, const MjRowsAhead* ahead) {
  const int apart = rows_apart(count);
  for (int group = 0; group < round_up(count, 4); group += 4) {
    const int j = apart == 0 ? group : group / 4 % kStreams * apart + group / (4 * kStreams) * 4;
    const char* keys[4];
#pragma clang loop unroll(full)
    for (int i = 0; i < 4; ++i) keys[i] = first + (j + i < count ? j + i : j) * row_bytes;
    for (int i = 0; i < 4 && j + i < count; ++i) fetch(ahead, j + i);
    F32x16 sums[16];
#pragma clang loop unroll(full)
    for (int i = 0; i < 16; ++i) sums[i] = splat(0.0f);
#pragma clang loop unroll(disable)
    for (int d = 0; d < head_dim; d += kLanes) {
      F32x16 key[4];
#pragma clang loop unroll(full)
      for (int i = 0; i < 4; ++i) key[i] = load_columns(keys[i], d, head_dim, kElement);
#pragma clang loop unroll(full)
      for (int r = 0; r < 4; ++r) {
        const F32x16 q = load(queries + r * query_stride + d);
#pragma clang loop unroll(full)
        for (int i = 0; i < 4; ++i) sums[4 * r + i] = fma(key[i], q, sums[4 * r + i]);
      }
    }
    const F32x16 x = fold_rows(sums, Add());
    store4(scores + j, x.lo.lo);
    store4(scores + score_stride + j, x.lo.hi);
    store4(scores + 2 * score_stride + j, x.hi.lo);
    store4(scores + 3 * score_stride + j, x.hi.hi);
  }
  // Up to a whole vector.
  for (int j = round_up(count, 4); j < round_up(count, kLanes); j += 4) {
#pragma clang loop unroll(full)
    for (int r = 0; r < 4; ++r) store4(scores + r * score_stride + j, splat(0.0f).lo.lo);
  }
}

template <int kElement>
void dot_rows(const float* queries, int query_stride, int rows, const char* first,
              int64_t row_bytes, int count, int head_dim, float* scores, int score_stride,
              const MjRowsAhead* ahead) {
  static_assert(kRowStep == 4);
  int r = 0;
  for (; r + kRowStep <= rows; r += kRowStep) {
    dot_some_rows<kElement>(queries + r * query_stride, query_stride, first, row_bytes, count,
                            head_dim, scores + r * score_stride, score_stride,
                            r == 0 ? ahead : nullptr);
  }
  for (; r < rows; ++r) {
    dot_row<kElement>(queries + r * query_stride, first, row_bytes, count, head_dim,
                      scores + r * score_stride);
  }
}

// The sums of kRows rows in vectors d .. d + kCount - 1 over all keys.
template <int kElement, int kRows, int kCount>
MJ_INLINE void add_columns(const char* first, int64_t row_bytes, int count, int head_dim_v,
                           const float* weights, int weight_stride, int d, float* sums,
                           int sum_stride, const MjRowsAhead* ahead) {
  F32x16 part[kRows][kCount];
#pragma clang loop unroll(full)
  for (int r = 0; r < kRows; ++r) {
#pragma clang loop unroll(full)
    for (int v = 0; v < kCount; ++v) part[r][v] = load(sums + r * sum_stride + d + v * kLanes);
  }
  const int streamed = rows_apart(count);
  const int apart = streamed == 0 ? count : streamed;
#pragma clang loop unroll(disable)
  for (int j = 0; j < apart; ++j) {
#pragma clang loop unroll(disable)
    for (int key = j; key < count; key += apart) {
      const char* row = first + key * row_bytes;
      if (kRows > 1 && d == 0) fetch(ahead, key);
#pragma clang loop unroll(full)
      for (int v = 0; v < kCount; ++v) {
        const F32x16 value = load_columns(row, d + v * kLanes, head_dim_v, kElement);
#pragma clang loop unroll(full)
        for (int r = 0; r < kRows; ++r)
          part[r][v] = fma(splat(weights[r * weight_stride + key]), value, part[r][v]);
      }
    }
  }
#pragma clang loop unroll(full)
  for (int r = 0; r < kRows; ++r) {
#pragma clang loop unroll(full)
    for (int v = 0; v < kCount; ++v) store(sums + r * sum_stride + d + v * kLanes, part[r][v]);
  }
}

template <int kElement, int kRows>
void add_value_rows(const char* first, int64_t row_bytes, int count, int head_dim_v,
                    const float* weights, int weight_stride, float* sums, int sum_stride,
                    const MjRowsAhead* ahead) {
  const int columns = round_up(head_dim_v, kLanes);
  int d = 0;
  for (; kRows == 1 && d + 2 * kVectors * kLanes <= columns; d += 2 * kVectors * kLanes) {
    add_columns<kElement, 1, 2 * kVectors>(first, row_bytes, count, head_dim_v, weights,
                                           weight_stride, d, sums, sum_stride, ahead);
  }
  for (; d + kVectors * kLanes <= columns; d += kVectors * kLanes) {
    add_columns<kElement, kRows, kVectors>(first, row_bytes, count, head_dim_v, weights,
                                           weight_stride, d, sums, sum_stride, ahead);
  }
  for (; d < columns; d += kLanes) {
    add_columns<kElement, kRows, 1>(first, row_bytes, count, head_dim_v, weights, weight_stride, d,
                                    sums, sum_stride, ahead);
  }
}

template <int kElement>
void add_all_value_rows(const char* first, int64_t row_bytes, int count, int head_dim_v,
                        const float* weights, int weight_stride, int rows, float* sums,
                        int sum_stride, const MjRowsAhead* ahead) {
  int r = 0;
  for (; r + kRowStep <= rows; r += kRowStep) {
    add_value_rows<kElement, kRowStep>(first, row_bytes, count, head_dim_v,
                                       weights + r * weight_stride, weight_stride,
                                       sums + r * sum_stride, sum_stride, r == 0 ? ahead : nullptr);
  }
  for (; r < rows; ++r) {
    add_value_rows<kElement, 1>(first, row_bytes, count, head_dim_v, weights + r * weight_stride,
                                weight_stride, sums + r * sum_stride, sum_stride, nullptr);
  }
}

template <int kElement>
void widen_query(const void* row, int head_dim, float* packed) {
  for (int d = 0; d < head_dim; d += kLanes) {
    store(packed + d, load_columns(row, d, head_dim, kElement));
    const int overlap = d - vector_start(d, head_dim);
    for (int i = 0; i < overlap; ++i) packed[d + i] = 0.0f;
  }
}

}  // namespace
}  // namespace mj

extern "C" {

void mj_widen_query(const void* row, int32_t element, int32_t head_dim, float* packed) {
  MJ_FOR_ELEMENT(element, mj::widen_query<kElement>(row, head_dim, packed));
}

void mj_dot_rows(const float* queries, int32_t query_stride, int32_t rows, const void* keys,
                 int64_t row_bytes, int32_t count, int32_t element, int32_t head_dim, float* scores,
                 int32_t score_stride, const MjRowsAhead* ahead) {
  const char* first = static_cast<const char*>(keys);
  MJ_FOR_ELEMENT(element, mj::dot_rows<kElement>(queries, query_stride, rows, first, row_bytes,
                                                 count, head_dim, scores, score_stride, ahead));
}

void mj_add_value_rows(const void* values, int64_t row_bytes, int32_t count, int32_t element,
                       int32_t head_dim_v, const float* weights, int32_t weight_stride,
                       int32_t rows, float* sums, int32_t sum_stride, const MjRowsAhead* ahead) {
  const char* first = static_cast<const char*>(values);
  MJ_FOR_ELEMENT(element,
                 mj::add_all_value_rows<kElement>(first, row_bytes, count, head_dim_v, weights,
                                                  weight_stride, rows, sums, sum_stride, ahead));
}

void mj_close_gap(float* sums, int32_t head_dim_v) {
  const int last = head_dim_v / mj::kLanes * mj::kLanes;
  if (last == head_dim_v) return;
  const int overlap = last - mj::vector_start(last, head_dim_v);
  if (overlap == 0) return;
  for (int d = last; d < head_dim_v; ++d) sums[d] = sums[d + overlap];
}

void mj_merge_parts(const float* part, int64_t part_stride, int64_t parts, int32_t columns,
                    float* merged) {
  using namespace mj;
  float m = kNegativeInfinity;
  for (int64_t i = 0; i < parts; ++i) {
    const float part_maximum = part[i * part_stride + columns];
    m = part_maximum > m ? part_maximum : m;
  }
  for (int d = 0; d < columns; d += kLanes) store(merged + d, splat(0.0f));
  float total = 0.0f;
  for (int64_t i = 0; i < parts; ++i, part += part_stride) {
    const float factor = exp2_scalar(part[columns] - exponent_base(m));
    total = __builtin_fmaf(part[columns + 1], factor, total);
    for (int d = 0; d < columns; d += kLanes)
      store(merged + d, fma(load(part + d), splat(factor), load(merged + d)));
  }
  merged[columns] = m;
  merged[columns + 1] = total;
}

}  // extern "C"
