// A few query rows against key and value rows where they are: bound by the bandwidth of the rows,
// each of which is read once from memory.
#include "kernels_templates/host/common/elements.h"
#include "kernels_templates/host/common/exp2.h"
#include "kernels_templates/host/common/reduce.h"
#include "kernels_templates/host/microkernels/microkernels.h"

namespace mj {
namespace {

constexpr int kRowStep = 4;  // rows whose sums are kept in registers together
constexpr int kVectors = 4;  // vectors of such a row; twice that of a single row
constexpr int kStreams = 8;
constexpr int kKeysInTurns = 4;  // of a stream
constexpr int kCache = 2;        // where rows are asked for: 3 the first level, 2 the second

// Keys and values are read in kStreams places at once, an eighth of the rows apart: one stream of
// loads keeps too few of them in flight for the memory's latency, as the prefetchers of the
// second-level cache stop at the end of a page. 0 where the rows cannot be cut so.
MJ_INLINE int rows_apart(int count) { return count % (4 * kStreams) == 0 ? count / kStreams : 0; }

template <int kElement>
constexpr int kBytesOf = kElement == MJ_F32 ? 4 : 2;

// Where the rows that are read next lie relative to those that are read now, element by element; 0:
// none that lie so.
MJ_INLINE int64_t bytes_ahead(const MjRowsAhead* ahead, const char* first, int64_t row_bytes,
                              int32_t bytes) {
  if (ahead == nullptr || ahead->row_bytes != row_bytes || ahead->bytes != bytes) return 0;
  return static_cast<const char*>(ahead->first) - first;
}

// Asks for what lies `ahead` of the vector of elements from column d on, once a cache line.
template <int kElement>
MJ_INLINE void fetch(const char* row, int64_t ahead, int d) {
  constexpr int kBytes = kBytesOf<kElement>;
  if (ahead != 0 && d * kBytes % 64 == 0) __builtin_prefetch(row + (ahead + d * kBytes), 0, kCache);
}

// bf16 columns d to d + 31 of a row: those of even index and those of odd index take an instruction
// each, where widening neighbours takes two.
MJ_INLINE F32x16 even_columns(U32x16 words) { return as_floats(words << 16); }
MJ_INLINE F32x16 odd_columns(U32x16 words) { return as_floats(words & 0xFFFF0000u); }
typedef uint32_t U32x16h __attribute__((ext_vector_type(16), aligned(2)));
MJ_INLINE U32x16 load_pairs(const char* row, int d) {
  return *reinterpret_cast<const U32x16h*>(row + d * 2);
}

template <int kValue>
struct Constant {
  static constexpr int value = kValue;
};

constexpr int kMostSplitColumns = 256;
template <int kElement>
MJ_INLINE bool splits(int columns) {
  return kElement == MJ_BF16 && columns % (2 * kLanes) == 0 && columns <= kMostSplitColumns;
}

// Two vectors of neighbours to one of those of even index and one of the others, and back.
MJ_INLINE void split(F32x16* a, F32x16* b) {
  const F32x16 even =
      __builtin_shufflevector(*a, *b, 0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
  *b = __builtin_shufflevector(*a, *b, 1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31);
  *a = even;
}
MJ_INLINE void unsplit(F32x16* a, F32x16* b) {
  const F32x16 first =
      __builtin_shufflevector(*a, *b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
  *b =
      __builtin_shufflevector(*a, *b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
  *a = first;
}

// Products of one query row with sixteen key rows: lane i is key i.
template <int kElement, bool kSplit>
MJ_INLINE F32x16 dot_sixteen(const float* query, const char* const* keys, int head_dim,
                             int64_t ahead) {
  F32x16 sums[16];
#pragma clang loop unroll(full)
  for (int i = 0; i < 16; ++i) sums[i] = splat(0.0f);
#pragma clang loop unroll(disable)
  for (int d = 0; kSplit && d < head_dim; d += 2 * kLanes) {
    const F32x16 even = load(query + d), odd = load(query + d + kLanes);
#pragma clang loop unroll(full)
    for (int i = 0; i < 16; ++i) {
      fetch<kElement>(keys[i], ahead, d);
      const U32x16 pairs = load_pairs(keys[i], d);
      sums[i] = fma(even_columns(pairs), even, sums[i]);
      sums[i] = fma(odd_columns(pairs), odd, sums[i]);
    }
  }
#pragma clang loop unroll(disable)
  for (int d = 0; !kSplit && d < head_dim; d += kLanes) {
    const F32x16 q = load(query + d);
#pragma clang loop unroll(full)
    for (int i = 0; i < 16; ++i) {
      fetch<kElement>(keys[i], ahead, d);
      sums[i] = fma(load_columns(keys[i], d, head_dim, kElement), q, sums[i]);
    }
  }
  return fold_rows(sums, Add());
}

template <int kElement, bool kSplit>
MJ_INLINE void dot_row(const float* query, const char* first, int64_t row_bytes, int count,
                       int head_dim, float* scores, int64_t ahead) {
  const int apart = rows_apart(count);
  if (apart == 0) {
    for (int j = 0; j < count; j += kLanes) {
      const char* keys[16];
      // Lanes past the last key repeat the first of the sixteen.
#pragma clang loop unroll(full)
      for (int i = 0; i < 16; ++i) keys[i] = first + (j + i < count ? j + i : j) * row_bytes;
      store(scores + j, dot_sixteen<kElement, kSplit>(query, keys, head_dim, ahead));
    }
    return;
  }
  constexpr int kTogether = kLanes / kStreams;
  for (int j = 0; j < apart; j += kTogether) {
    const char* keys[16];
#pragma clang loop unroll(full)
    for (int i = 0; i < 16; ++i)
      keys[i] = first + (i / kTogether * apart + j + i % kTogether) * row_bytes;
    const F32x16 x = dot_sixteen<kElement, kSplit>(query, keys, head_dim, ahead);
#pragma clang loop unroll(full)
    for (int i = 0; i < 16; ++i) scores[i / kTogether * apart + j + i % kTogether] = x[i];
  }
}

// Of each four neighbouring lanes, element [i][j] becomes [j][i].
MJ_INLINE void transpose_fours(F32x16* v) {
  const F32x16 a = low_blocks<2>(v[0], v[2]), b = low_blocks<2>(v[1], v[3]);
  const F32x16 c = high_blocks<2>(v[0], v[2]), d = high_blocks<2>(v[1], v[3]);
  v[0] = low_blocks<1>(a, b), v[1] = high_blocks<1>(a, b);
  v[2] = low_blocks<1>(c, d), v[3] = high_blocks<1>(c, d);
}

// kRowStep query rows with four keys: the four products of each row in turn. A key's elements are
// widened once for all rows.
template <int kElement, bool kSplit>
MJ_INLINE F32x16 dot_four(const float* queries, int query_stride, const char* const* keys,
                          int head_dim, int64_t ahead) {
  F32x16 sums[16];
#pragma clang loop unroll(full)
  for (int i = 0; i < 16; ++i) sums[i] = splat(0.0f);
#pragma clang loop unroll(disable)
  for (int d = 0; kSplit && d < head_dim; d += 2 * kLanes) {
    U32x16 pairs[4];
#pragma clang loop unroll(full)
    for (int i = 0; i < 4; ++i) {
      fetch<kElement>(keys[i], ahead, d);
      pairs[i] = load_pairs(keys[i], d);
    }
#pragma clang loop unroll(full)
    for (int odd = 0; odd < 2; ++odd) {
      F32x16 key[4];
#pragma clang loop unroll(full)
      for (int i = 0; i < 4; ++i) key[i] = odd ? odd_columns(pairs[i]) : even_columns(pairs[i]);
#pragma clang loop unroll(full)
      for (int r = 0; r < 4; ++r) {
        const F32x16 q = load(queries + r * query_stride + d + odd * kLanes);
#pragma clang loop unroll(full)
        for (int i = 0; i < 4; ++i) sums[4 * r + i] = fma(key[i], q, sums[4 * r + i]);
      }
    }
  }
#pragma clang loop unroll(disable)
  for (int d = 0; !kSplit && d < head_dim; d += kLanes) {
    F32x16 key[4];
#pragma clang loop unroll(full)
    for (int i = 0; i < 4; ++i) {
      fetch<kElement>(keys[i], ahead, d);
      key[i] = load_columns(keys[i], d, head_dim, kElement);
    }
#pragma clang loop unroll(full)
    for (int r = 0; r < 4; ++r) {
      const F32x16 q = load(queries + r * query_stride + d);
#pragma clang loop unroll(full)
      for (int i = 0; i < 4; ++i) sums[4 * r + i] = fma(key[i], q, sums[4 * r + i]);
    }
  }
  return fold_rows(sums, Add());
}

MJ_INLINE void store_rows(float* scores, int stride, F32x16 x) {
  store4(scores, x.lo.lo);
  store4(scores + stride, x.lo.hi);
  store4(scores + 2 * stride, x.hi.lo);
  store4(scores + 3 * stride, x.hi.hi);
}

template <int kElement, bool kSplit>
MJ_INLINE void dot_some_rows(const float* queries, int query_stride, const char* first,
                             int64_t row_bytes, int count, int head_dim, float* scores,
                             int score_stride, int64_t ahead) {
  const int apart = rows_apart(count);
  const char* keys[4];
  if (apart != 0) {
    // Four keys of each of four streams.
#pragma clang loop unroll(disable)
    for (int j = 0; j < apart; j += 4) {
#pragma clang loop unroll(disable)
      for (int stream = 0; stream < kStreams; stream += 4) {
        const int from = stream * apart + j;
        alignas(64) float products[4][kLanes];
#pragma clang loop unroll(disable)
        for (int k = 0; k < 4; ++k) {
#pragma clang loop unroll(full)
          for (int i = 0; i < 4; ++i) keys[i] = first + (from + i * apart + k) * row_bytes;
          store(products[k],
                dot_four<kElement, kSplit>(queries, query_stride, keys, head_dim, ahead));
        }
        F32x16 x[4];
#pragma clang loop unroll(full)
        for (int k = 0; k < 4; ++k) x[k] = load(products[k]);
        transpose_fours(x);
#pragma clang loop unroll(full)
        for (int i = 0; i < 4; ++i) store_rows(scores + from + i * apart, score_stride, x[i]);
      }
    }
    return;
  }
  for (int j = 0; j < round_up(count, 4); j += 4) {
#pragma clang loop unroll(full)
    for (int i = 0; i < 4; ++i) keys[i] = first + (j + i < count ? j + i : j) * row_bytes;
    store_rows(scores + j, score_stride,
               dot_four<kElement, kSplit>(queries, query_stride, keys, head_dim, ahead));
  }
  // Up to a whole vector.
  for (int j = round_up(count, 4); j < round_up(count, kLanes); j += 4)
    store_rows(scores + j, score_stride, splat(0.0f));
}

// kSplit: columns of even and of odd index apart.
template <int kElement, bool kSplit>
MJ_INLINE void dot_all_rows(const float* queries, int query_stride, int rows, const char* first,
                            int64_t row_bytes, int count, int head_dim, float* scores,
                            int score_stride, const MjRowsAhead* rows_ahead) {
  static_assert(kRowStep == 4);
  int64_t ahead = bytes_ahead(rows_ahead, first, row_bytes, head_dim * kBytesOf<kElement>);
  float packed[kSplit ? kRowStep * kMostSplitColumns : 1];
  for (int r = 0; r < rows; ahead = 0) {
    const int step = r + kRowStep <= rows ? kRowStep : 1;
    const float* some = queries + r * query_stride;
    int stride = query_stride;
    for (int i = 0; kSplit && i < step; ++i) {
      for (int d = 0; d < head_dim; d += 2 * kLanes) {
        F32x16 a = load(some + i * query_stride + d),
               b = load(some + i * query_stride + d + kLanes);
        split(&a, &b);
        store(packed + i * head_dim + d, a);
        store(packed + i * head_dim + d + kLanes, b);
      }
    }
    if (kSplit) some = packed, stride = head_dim;
    if (step == kRowStep) {
      dot_some_rows<kElement, kSplit>(some, stride, first, row_bytes, count, head_dim,
                                      scores + r * score_stride, score_stride, ahead);
    } else {
      dot_row<kElement, kSplit>(some, first, row_bytes, count, head_dim, scores + r * score_stride,
                                ahead);
    }
    r += step;
  }
}

template <int kElement>
void dot_rows(const float* queries, int query_stride, int rows, const char* first,
              int64_t row_bytes, int count, int head_dim, float* scores, int score_stride,
              const MjRowsAhead* ahead) {
  if (splits<kElement>(head_dim)) {
    dot_all_rows<kElement, kElement == MJ_BF16>(queries, query_stride, rows, first, row_bytes,
                                                count, head_dim, scores, score_stride, ahead);
  } else {
    dot_all_rows<kElement, false>(queries, query_stride, rows, first, row_bytes, count, head_dim,
                                  scores, score_stride, ahead);
  }
}

// The sums of kRows rows in vectors d .. d + kCount - 1 over keys [from, to) of each stream.
template <int kElement, int kRows, int kCount, bool kSplit>
MJ_INLINE void add_columns(const char* first, int64_t row_bytes, int count, int head_dim_v,
                           const float* weights, int weight_stride, int d, float* sums,
                           int sum_stride, int64_t ahead, int apart, int from, int to) {
  F32x16 part[kRows][kCount];
#pragma clang loop unroll(full)
  for (int r = 0; r < kRows; ++r) {
#pragma clang loop unroll(full)
    for (int v = 0; v < kCount; ++v) part[r][v] = load(sums + r * sum_stride + d + v * kLanes);
#pragma clang loop unroll(full)
    for (int v = 0; kSplit && v + 1 < kCount; v += 2) split(&part[r][v], &part[r][v + 1]);
  }
#pragma clang loop unroll(disable)
  for (int j = from; j < to; ++j) {
#pragma clang loop unroll(disable)
    for (int key = j; key < count; key += apart) {
      const char* row = first + key * row_bytes;
#pragma clang loop unroll(full)
      for (int v = 0; v < kCount; ++v) {
        fetch<kElement>(row, ahead, d + v * kLanes);
        F32x16 value;
        if (kSplit) {
          const U32x16 pairs = load_pairs(row, d + v / 2 * 2 * kLanes);
          value = v % 2 == 0 ? even_columns(pairs) : odd_columns(pairs);
        } else {
          value = load_columns(row, d + v * kLanes, head_dim_v, kElement);
        }
#pragma clang loop unroll(full)
        for (int r = 0; r < kRows; ++r)
          part[r][v] = fma(splat(weights[r * weight_stride + key]), value, part[r][v]);
      }
    }
  }
#pragma clang loop unroll(full)
  for (int r = 0; r < kRows; ++r) {
#pragma clang loop unroll(full)
    for (int v = 0; kSplit && v + 1 < kCount; v += 2) unsplit(&part[r][v], &part[r][v + 1]);
#pragma clang loop unroll(full)
    for (int v = 0; v < kCount; ++v) store(sums + r * sum_stride + d + v * kLanes, part[r][v]);
  }
}

template <int kElement, int kRows, bool kSplit>
MJ_INLINE void add_value_rows(const char* first, int64_t row_bytes, int count, int head_dim_v,
                              const float* weights, int weight_stride, float* sums, int sum_stride,
                              int64_t ahead) {
  const int columns = round_up(head_dim_v, kLanes);
  const int streamed = rows_apart(count);
  const int apart = streamed == 0 ? count : streamed;
  // Several rows see a few keys' columns in turns: those are in the first-level cache.
  const int step = kRows == 1 || streamed == 0 ? apart : kKeysInTurns;
#pragma clang loop unroll(disable)
  for (int from = 0; from < apart; from += step) {
    const int to = from + step;
    const auto add = [&](auto count_of, auto split_of, int d) __attribute__((always_inline)) {
      add_columns<kElement, kRows, decltype(count_of)::value, decltype(split_of)::value>(
          first, row_bytes, count, head_dim_v, weights, weight_stride, d, sums, sum_stride, ahead,
          apart, from, to);
    };
    constexpr Constant<kSplit> kAsGiven;
    int d = 0;
    for (; kRows == 1 && d + 2 * kVectors * kLanes <= columns; d += 2 * kVectors * kLanes)
      add(Constant<kRows == 1 ? 2 * kVectors : kVectors>(), kAsGiven, d);
    for (; d + kVectors * kLanes <= columns; d += kVectors * kLanes)
      add(Constant<kVectors>(), kAsGiven, d);
    for (; kSplit && d < columns; d += 2 * kLanes) add(Constant<2>(), kAsGiven, d);
    for (; d < columns; d += kLanes) add(Constant<1>(), Constant<0>(), d);
  }
}

template <int kElement, bool kSplit>
MJ_INLINE void add_all_rows(const char* first, int64_t row_bytes, int count, int head_dim_v,
                            const float* weights, int weight_stride, int rows, float* sums,
                            int sum_stride, const MjRowsAhead* rows_ahead) {
  int64_t ahead = bytes_ahead(rows_ahead, first, row_bytes, head_dim_v * kBytesOf<kElement>);
  for (int r = 0; r < rows; ahead = 0) {
    const float* from = weights + r * weight_stride;
    float* to = sums + r * sum_stride;
    if (r + kRowStep <= rows) {
      add_value_rows<kElement, kRowStep, kSplit>(first, row_bytes, count, head_dim_v, from,
                                                 weight_stride, to, sum_stride, ahead);
      r += kRowStep;
    } else {
      add_value_rows<kElement, 1, kSplit>(first, row_bytes, count, head_dim_v, from, weight_stride,
                                          to, sum_stride, ahead);
      ++r;
    }
  }
}

template <int kElement>
void add_all_value_rows(const char* first, int64_t row_bytes, int count, int head_dim_v,
                        const float* weights, int weight_stride, int rows, float* sums,
                        int sum_stride, const MjRowsAhead* ahead) {
  if (splits<kElement>(head_dim_v)) {
    add_all_rows<kElement, kElement == MJ_BF16>(first, row_bytes, count, head_dim_v, weights,
                                                weight_stride, rows, sums, sum_stride, ahead);
  } else {
    add_all_rows<kElement, false>(first, row_bytes, count, head_dim_v, weights, weight_stride, rows,
                                  sums, sum_stride, ahead);
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

#ifdef __AMX_BF16__
#include "kernels_templates/host/microkernels/decode_tiles.h"
#else
namespace mj {
namespace {
MJ_INLINE bool dots_by_tiles(int, int, int) { return false; }
MJ_INLINE void dot_by_tiles(const float*, int, int, const char*, int64_t, int, int, float*, int,
                            const MjRowsAhead*) {}
MJ_INLINE bool adds_by_tiles(int, int, int) { return false; }
MJ_INLINE void add_by_tiles(const char*, int64_t, int, int, const float*, int, int, float*, int,
                            const MjRowsAhead*) {}
}  // namespace
}  // namespace mj
#endif

extern "C" {

void mj_widen_query(const void* row, int32_t element, int32_t head_dim, float* packed) {
  MJ_FOR_ELEMENT(element, mj::widen_query<kElement>(row, head_dim, packed));
}

void mj_dot_rows(const float* queries, int32_t query_stride, int32_t rows, const void* keys,
                 int64_t row_bytes, int32_t count, int32_t element, bool pairs, int32_t head_dim,
                 float* scores, int32_t score_stride, const MjRowsAhead* ahead) {
  const char* first = static_cast<const char*>(keys);
  if (pairs && mj::dots_by_tiles(rows, head_dim, count)) {
    mj::dot_by_tiles(queries, query_stride, rows, first, row_bytes, count, head_dim, scores,
                     score_stride, ahead);
    return;
  }
  MJ_FOR_ELEMENT(element, mj::dot_rows<kElement>(queries, query_stride, rows, first, row_bytes,
                                                 count, head_dim, scores, score_stride, ahead));
}

void mj_add_value_rows(const void* values, int64_t row_bytes, int32_t count, int32_t element,
                       bool pairs, int32_t head_dim_v, const float* weights, int32_t weight_stride,
                       int32_t rows, float* sums, int32_t sum_stride, const MjRowsAhead* ahead) {
  const char* first = static_cast<const char*>(values);
  if (pairs && mj::adds_by_tiles(rows, head_dim_v, count)) {
    mj::add_by_tiles(first, row_bytes, count, head_dim_v, weights, weight_stride, rows, sums,
                     sum_stride, ahead);
    return;
  }
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
