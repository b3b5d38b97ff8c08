#pragma once
// Decoding in bf16 by AMX, between mj_pairs_begin and mj_pairs_end: sixteen query rows take as long
// as one. tdpbf16ps adds 16 x 32 by 32 x 16 products; the right operand has two consecutive inner
// indices a word. Products are rows of keys by queries, sums are weights by rows of values; both
// kinds of rows are tiles where they are, and pass the first-level cache by. Included by
// decode.cpp.
#include <immintrin.h>

#include "kernels_templates/host/common/pairs.h"
#include "kernels_templates/host/common/vector.h"
#include "kernels_templates/host/microkernels/microkernels.h"

namespace mj {
namespace {

constexpr int kTileRows = 16;
constexpr int kTilePairs = 32;         // inner indices of a tile
constexpr int kTileWords = 16 * 16;    // words of a tile
constexpr int kMostTileColumns = 256;  // of the head dimension
constexpr int kMostTileKeys = 256;     // of a call

// Asks for the rows that are read next, in streams as those of one query row: `share` rows every
// `of` steps.
struct FetchedRows {
  const char* row;
  int64_t to_next_stream, to_first_stream;
  int bytes, share, of;
  int owed = 0, stream = 0;

  MJ_MEMBER FetchedRows(const MjRowsAhead* ahead, int count, int of_share, int of_steps)
      : share(of_share), of(of_steps) {
    row = nullptr;
    if (ahead == nullptr) return;
    const int apart = rows_apart(count);
    row = static_cast<const char*>(ahead->first);
    to_next_stream = ahead->row_bytes * (apart == 0 ? 1 : apart);
    to_first_stream = apart == 0 ? 0 : ahead->row_bytes * (1 - apart * kStreams);
    bytes = ahead->bytes;
  }

  MJ_MEMBER void step() {
    if (row == nullptr) return;
    for (owed += share; owed >= of; owed -= of) {
      for (int i = 0; i < bytes; i += 64) __builtin_prefetch(row + i, 0, kCache);
      row += to_next_stream;
      if (++stream < kStreams) continue;
      stream = 0;
      row += to_first_stream;
    }
  }
};

// Fewer rows than these take less time without.
constexpr int kLeastTileRows = 2;

MJ_INLINE bool dots_by_tiles(int rows, int head_dim, int count) {
  return rows >= kLeastTileRows && rows <= kTileRows && head_dim % kTilePairs == 0 &&
         head_dim <= kMostTileColumns && count % (2 * kTileRows) == 0 && count <= kMostTileKeys;
}

// Right operands: [head_dim / 32][pair][row]. Rows past the last one, which four rows at a time may
// or may not reach, make products that are not read.
MJ_INLINE void pack_queries(const float* queries, int stride, int rows, int head_dim,
                            uint32_t* packed) {
#pragma clang loop unroll(disable)
  for (int d = 0; d < head_dim; d += kTilePairs, packed += kTileWords) {
#pragma clang loop unroll(disable)
    for (int r = 0; r < rows; r += 4) {
      F32x16 v[4];
#pragma clang loop unroll(full)
      for (int i = 0; i < 4; ++i) {
        const float* query = queries + (r + i < rows ? r + i : r) * stride + d;
        alignas(64) uint32_t pairs[16];
        store_pairs(pairs, load(query), load(query + kLanes));
        v[i] = as_floats(load_words(pairs));
      }
      transpose_fours(v);
      float* to = reinterpret_cast<float*>(packed) + r;
#pragma clang loop unroll(full)
      for (int i = 0; i < 4; ++i) store_rows(to + i * kLanes, 4 * kLanes, v[i]);
    }
  }
}

// Two tiles of keys at a time, so that one's latency hides behind the other's. kKept: queries of at
// most 128 columns stay in registers 4 to 7.
template <bool kKept>
MJ_INLINE void dot_two_tiles(const char* keys, int64_t stride, int head_dim, const uint32_t* packed,
                             FetchedRows* fetched, float* x) {
  const char* others = keys + kTileRows * stride;
  _tile_zero(0);
  _tile_zero(1);
#define MJ_DOT(chunk, query)                            \
  fetched->step();                                      \
  _tile_stream_loadd(2, keys + (chunk) * 64, stride);   \
  _tile_dpbf16ps(0, 2, query);                          \
  fetched->step();                                      \
  _tile_stream_loadd(3, others + (chunk) * 64, stride); \
  _tile_dpbf16ps(1, 3, query)
  if (kKept) {
    MJ_DOT(0, 4);
    if (head_dim > 32) {
      MJ_DOT(1, 5);
    }
    if (head_dim > 64) {
      MJ_DOT(2, 6);
    }
    if (head_dim > 96) {
      MJ_DOT(3, 7);
    }
  } else {
#pragma clang loop unroll(disable)
    for (int i = 0; i < head_dim / kTilePairs; ++i) {
      _tile_loadd(4, packed + i * kTileWords, 64);
      MJ_DOT(i, 4);
    }
  }
#undef MJ_DOT
  _tile_stored(0, x, 64);
  _tile_stored(1, x + kTileWords, 64);
}

// Products of two tiles of keys, [key][row], to scores.
MJ_INLINE void store_two_tiles(const float* x, int rows, float* scores, int score_stride) {
#pragma clang loop unroll(disable)
  for (int j = 0; j < 2 * kLanes; j += kLanes) {
    const float* from = x + j * kLanes;
#pragma clang loop unroll(disable)
    for (int r = 0; r < rows; r += 4) {
      F32x16 v[4];
#pragma clang loop unroll(full)
      for (int i = 0; i < 4; ++i) {
        const auto four = [&](int key) __attribute__((always_inline)) {
          return static_cast<F32x4>(*reinterpret_cast<const F32x4u*>(from + key * kLanes + r));
        };
        v[i].lo.lo = four(i), v[i].lo.hi = four(4 + i), v[i].hi.lo = four(8 + i),
        v[i].hi.hi = four(12 + i);
      }
      transpose_fours(v);
      float* to = scores + r * score_stride + j;
#pragma clang loop unroll(full)
      for (int i = 0; i < 4; ++i) {
        if (r + i < rows) store(to + i * score_stride, v[i]);
      }
    }
  }
}

template <bool kKept>
void dot_tiles(const float* queries, int query_stride, int rows, const char* first,
               int64_t row_bytes, int count, int head_dim, float* scores, int score_stride,
               const MjRowsAhead* ahead) {
  alignas(64) uint32_t packed[kMostTileColumns / kTilePairs * kTileWords];
  // Two tiles are stored to scores while the next two are multiplied.
  alignas(64) float x[2][2 * kTileWords];
  pack_queries(queries, query_stride, rows, head_dim, packed);
  if (kKept) {
    _tile_loadd(4, packed, 64);
    if (head_dim > 32) _tile_loadd(5, packed + kTileWords, 64);
    if (head_dim > 64) _tile_loadd(6, packed + 2 * kTileWords, 64);
    if (head_dim > 96) _tile_loadd(7, packed + 3 * kTileWords, 64);
  }
  FetchedRows fetched(ahead, count, kTileRows, head_dim / kTilePairs);
  constexpr int kTwo = 2 * kTileRows;
  dot_two_tiles<kKept>(first, row_bytes, head_dim, packed, &fetched, x[0]);
  int at = 0;
#pragma clang loop unroll(disable)
  for (int key = kTwo; key < count; key += kTwo, at ^= 1) {
    dot_two_tiles<kKept>(first + key * row_bytes, row_bytes, head_dim, packed, &fetched, x[at ^ 1]);
    store_two_tiles(x[at], rows, scores + key - kTwo, score_stride);
  }
  store_two_tiles(x[at], rows, scores + count - kTwo, score_stride);
}

void dot_by_tiles(const float* queries, int query_stride, int rows, const char* first,
                  int64_t row_bytes, int count, int head_dim, float* scores, int score_stride,
                  const MjRowsAhead* ahead) {
  const auto dot = head_dim <= 128 ? dot_tiles<true> : dot_tiles<false>;
  dot(queries, query_stride, rows, first, row_bytes, count, head_dim, scores, score_stride, ahead);
}

MJ_INLINE bool adds_by_tiles(int rows, int head_dim_v, int count) {
  return rows >= kLeastTileRows && rows <= kTileRows && head_dim_v % kTilePairs == 0 &&
         count % kTileRows == 0 && count <= kMostTileKeys;
}

MJ_INLINE U32x16 rounded_words(F32x16 v) {
  return (U32x16)_mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh((__m512)v));
}

// Left operands of the weights: words (w, 0) for the columns of even index, (0, w) for those of odd
// index. A tile has, for up to 4 rows, also what bf16 leaves off each weight; for more than 8 the
// odd columns have a tile of their own.
struct WeightTiles {
  int rows, odd, rest;  // of the first odd and the first rest, in rows of a tile; rest 0: none
  int tiles;            // of 16 keys

  explicit MJ_MEMBER WeightTiles(int query_rows) : rows(query_rows) {
    odd = rows <= 8 ? rows : kTileRows;
    rest = rows <= 4 ? 2 * rows : 0;
    tiles = rows <= 8 ? 1 : 2;
  }

  // [row][key] of 16 keys; what no row is written to makes sums that are not read.
  MJ_MEMBER void pack(const float* weights, int stride, uint32_t* packed) const {
    const auto both = [&](uint32_t* to, U32x16 words) __attribute__((always_inline)) {
      store_words(to, words);
      store_words(to + odd * 16, words << 16);
    };
#pragma clang loop unroll(disable)
    for (int r = 0; r < rows; ++r, weights += stride, packed += 16) {
      const F32x16 weight = load(weights);
      const U32x16 rounded = rounded_words(weight);
      both(packed, rounded);
      if (rest != 0) both(packed + rest * 16, rounded_words(weight - as_floats(rounded << 16)));
    }
  }
};

// Weights of a call, packed by those who need them first.
struct Weights {
  const WeightTiles& layout;
  const float* rows;
  int stride;
  uint32_t* packed;  // [16 keys][layout.tiles] tiles
  bool done = false;
};

// The sums of kTiles times 32 columns, from tiles of 16 value rows where they are: parts
// [tile][row][pair of columns], twice that for kOdd, whose odd columns are sums of their own.
// Weights are packed while values are multiplied with those before.
template <int kTiles, bool kOdd>
MJ_INLINE void add_tiles(const char* first, int64_t row_bytes, int count, const Weights& weights,
                         FetchedRows* fetched, float* parts) {
  static_assert(kTiles * (kOdd ? 2 : 1) <= 4);
  constexpr int kNext = (kOdd ? 2 : 1) * kTileWords;
  uint32_t* packed = weights.packed;
  if (!weights.done) weights.layout.pack(weights.rows, weights.stride, packed);
  _tile_zero(0), _tile_zero(1), _tile_zero(2), _tile_zero(3);
#define MJ_ADD(tile, values)                                              \
  if ((tile) < kTiles) {                                                  \
    fetched->step();                                                      \
    _tile_stream_loadd(values, first + (tile) * 64, row_bytes);           \
    _tile_dpbf16ps(kOdd ? 2 * (tile) % 4 : (tile), 4, values);            \
    if (kOdd) _tile_dpbf16ps(kOdd ? (2 * (tile) + 1) % 4 : 0, 5, values); \
  }
#pragma clang loop unroll(disable)
  for (int j = 0; j < count; j += kTileRows) {
    _tile_loadd(4, packed, 64);
    if (kOdd) _tile_loadd(5, packed + kTileWords, 64);
    MJ_ADD(0, 6)
    MJ_ADD(1, 7)
    MJ_ADD(2, 6)
    MJ_ADD(3, 7)
    first += kTileRows * row_bytes;
    packed += kNext;
    if (!weights.done && j + kTileRows < count)
      weights.layout.pack(weights.rows + j + kTileRows, weights.stride, packed);
  }
#undef MJ_ADD
  _tile_stored(0, parts, 64);
  _tile_stored(1, parts + kTileWords, 64);
  _tile_stored(2, parts + 2 * kTileWords, 64);
  _tile_stored(3, parts + 3 * kTileWords, 64);
}

// Adds the parts, which it uses up. False, and nothing added, where one is not finite: as each
// column met 0 times its neighbour, it may have got its neighbour's NaN.
MJ_INLINE bool add_parts(float* parts, int tiles, const WeightTiles& layout, float* sums,
                         int sum_stride) {
  const int to_odd = layout.odd * kLanes, to_rest = layout.rest * kLanes;
  const int to_next = layout.tiles * kTileWords;
  F32x16 check = splat(0.0f);
  for (int t = 0; t < tiles; ++t) {
    for (int r = 0; r < layout.rows; ++r) {
      float* even = parts + t * to_next + r * kLanes;
      float* odd = even + to_odd;
      F32x16 a = load(even), b = load(odd);
      if (to_rest != 0) a += load(even + to_rest), b += load(odd + to_rest);
      check = fma(a + b, splat(0.0f), check);
      unsplit(&a, &b);
      store(even, a), store(odd, b);
    }
  }
  if (__builtin_reduce_or(check != splat(0.0f)) != 0) return false;
  for (int t = 0; t < tiles; ++t) {
    for (int r = 0; r < layout.rows; ++r) {
      const float* part = parts + t * to_next + r * kLanes;
      float* to = sums + r * sum_stride + t * kTilePairs;
      store(to, load(to) + load(part));
      store(to + kLanes, load(to + kLanes) + load(part + to_odd));
    }
  }
  return true;
}

bool add_some_tiles(int tiles, const char* first, int64_t row_bytes, int count,
                    const Weights& weights, FetchedRows* fetched, float* sums, int sum_stride) {
  alignas(64) float parts[4 * kTileWords];
  const WeightTiles& layout = weights.layout;
  if (tiles == 4) {
    add_tiles<4, false>(first, row_bytes, count, weights, fetched, parts);
  } else if (tiles == 2 && layout.tiles == 2) {
    add_tiles<2, true>(first, row_bytes, count, weights, fetched, parts);
  } else if (tiles == 2) {
    add_tiles<2, false>(first, row_bytes, count, weights, fetched, parts);
  } else if (layout.tiles == 2) {
    add_tiles<1, true>(first, row_bytes, count, weights, fetched, parts);
  } else {
    add_tiles<1, false>(first, row_bytes, count, weights, fetched, parts);
  }
  return add_parts(parts, tiles, layout, sums, sum_stride);
}

// Value rows are right operands where they are: the pairs of a key are neighbouring columns.
void add_by_tiles(const char* first, int64_t row_bytes, int count, int head_dim_v,
                  const float* weights, int weight_stride, int rows, float* sums, int sum_stride,
                  const MjRowsAhead* ahead) {
  alignas(64) uint32_t packed[2 * kMostTileKeys / kTileRows * kTileWords];
  const WeightTiles layout(rows);
  Weights all = {layout, weights, weight_stride, packed};
  FetchedRows fetched(ahead, count, kTileRows, head_dim_v / kTilePairs);
  const int most = layout.tiles == 2 ? 2 : 4;
  for (int d = 0; d < head_dim_v;) {
    const int left = (head_dim_v - d) / kTilePairs;
    const int tiles = left >= most ? most : left >= 2 ? 2 : 1;
    if (!add_some_tiles(tiles, first + d * 2, row_bytes, count, all, &fetched, sums + d,
                        sum_stride)) {
      add_all_rows<MJ_BF16, true>(first + d * 2, row_bytes, count, tiles * kTilePairs, weights,
                                  weight_stride, rows, sums + d, sum_stride, nullptr);
    }
    all.done = true;
    d += tiles * kTilePairs;
  }
}

}  // namespace
}  // namespace mj
