#pragma once
// Decoding in bf16 by AMX, between mj_pairs_begin and mj_pairs_end: sixteen query rows take as long
// as one. tdpbf16ps adds 16 x 32 by 32 x 16 products; the right operand has two consecutive inner
// indices a word. Products are rows of keys, where they are, by queries; sums are weights, rounded
// to bf16, by values, of which two rows are interleaved. Included by decode.cpp.
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
constexpr int kLeastTileRows = 5;

MJ_INLINE bool dots_by_tiles(int rows, int head_dim, int count) {
  return rows >= kLeastTileRows && rows <= kTileRows && head_dim % kTilePairs == 0 &&
         head_dim <= kMostTileColumns && rows_apart(count) != 0 && count <= kMostTileKeys;
}

template <int kValue>
struct Constant {
  static constexpr int value = kValue;
};

// Element [i][j] becomes [j][i].
MJ_INLINE void transpose(F32x16* v) {
  const auto swap = [&](auto step) __attribute__((always_inline)) {
    constexpr int kStep = decltype(step)::value;
#pragma clang loop unroll(full)
    for (int i = 0; i < 16; ++i) {
      if (i & kStep) continue;
      const F32x16 a = v[i], b = v[i + kStep];
      v[i] = low_blocks<kStep>(a, b);
      v[i + kStep] = high_blocks<kStep>(a, b);
    }
  };
  swap(Constant<8>()), swap(Constant<4>()), swap(Constant<2>()), swap(Constant<1>());
}

// Right operands: [head_dim / 32][pair][row], zeros past the last row.
MJ_INLINE void pack_queries(const float* queries, int stride, int rows, int head_dim,
                            uint32_t* packed) {
  for (int d = 0; d < head_dim; d += kTilePairs) {
    alignas(64) uint32_t pairs[kTileWords];
    F32x16 v[16];
#pragma clang loop unroll(disable)
    for (int r = 0; r < 16; ++r) {
      if (r < rows) {
        store_pairs(pairs + r * 16, load(queries + r * stride + d),
                    load(queries + r * stride + d + kLanes));
      } else {
        store_words(pairs + r * 16, U32x16(0u));
      }
    }
#pragma clang loop unroll(full)
    for (int r = 0; r < 16; ++r) v[r] = as_floats(load_words(pairs + r * 16));
    transpose(v);
#pragma clang loop unroll(full)
    for (int r = 0; r < 16; ++r)
      store_words(packed + d / kTilePairs * kTileWords + r * 16, as_words(v[r]));
  }
}

// Two tiles of keys at a time, so that one's latency hides behind the other's. kKept: queries of at
// most 128 columns stay in registers 4 to 7.
template <bool kKept>
MJ_INLINE void dot_two_tiles(const char* keys, const char* others, int64_t stride, int head_dim,
                             const uint32_t* packed, FetchedRows* fetched, float* x) {
  _tile_zero(0);
  _tile_zero(1);
#define MJ_DOT(chunk, query)                     \
  fetched->step();                               \
  _tile_loadd(2, keys + (chunk) * 64, stride);   \
  _tile_dpbf16ps(0, 2, query);                   \
  fetched->step();                               \
  _tile_loadd(3, others + (chunk) * 64, stride); \
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

// Tile t has the keys t, t + tiles, t + 2 tiles, ..., so that all streams are read at once.
template <bool kKept>
void dot_tiles(const float* queries, int query_stride, int rows, const char* first,
               int64_t row_bytes, int count, int head_dim, float* scores, int score_stride,
               const MjRowsAhead* ahead) {
  alignas(64) uint32_t packed[kMostTileColumns / kTilePairs * kTileWords];
  alignas(64) float x[kMostTileKeys / kTileRows * kTileWords];
  pack_queries(queries, query_stride, rows, head_dim, packed);
  if (kKept) {
    _tile_loadd(4, packed, 64);
    if (head_dim > 32) _tile_loadd(5, packed + kTileWords, 64);
    if (head_dim > 64) _tile_loadd(6, packed + 2 * kTileWords, 64);
    if (head_dim > 96) _tile_loadd(7, packed + 3 * kTileWords, 64);
  }
  const int tiles = count / kTileRows;
  FetchedRows fetched(ahead, count, kTileRows, head_dim / kTilePairs);
#pragma clang loop unroll(disable)
  for (int t = 0; t < tiles; t += 2) {
    const char* keys = first + t * row_bytes;
    dot_two_tiles<kKept>(keys, keys + row_bytes, tiles * row_bytes, head_dim, packed, &fetched,
                         x + t * kTileWords);
  }
  const float* next = x;  // of the next key: row j / tiles of tile j % tiles
  const float* last = x + (tiles - 1) * kTileWords;
#pragma clang loop unroll(disable)
  for (int j = 0; j < count; j += kLanes) {
    const float* keys[kLanes];
#pragma clang loop unroll(full)
    for (int i = 0; i < kLanes; ++i) {
      keys[i] = next;
      const bool wraps = next == last;
      next += wraps ? kLanes - (tiles - 1) * kTileWords : kTileWords;
      last += wraps ? kLanes : 0;
    }
#pragma clang loop unroll(disable)
    for (int r = 0; r < rows; r += 4) {
      F32x16 v[4];
#pragma clang loop unroll(full)
      for (int i = 0; i < 4; ++i) {
        const auto four = [&](int key) __attribute__((always_inline)) {
          return static_cast<F32x4>(*reinterpret_cast<const F32x4u*>(keys[key] + r));
        };
        v[i].lo.lo = four(i), v[i].lo.hi = four(4 + i), v[i].hi.lo = four(8 + i),
        v[i].hi.hi = four(12 + i);
      }
      const F32x16 a = low_blocks<2>(v[0], v[2]), b = low_blocks<2>(v[1], v[3]);
      const F32x16 c = high_blocks<2>(v[0], v[2]), d = high_blocks<2>(v[1], v[3]);
      float* to = scores + r * score_stride + j;
      store(to, low_blocks<1>(a, b));
      if (r + 1 < rows) store(to + score_stride, high_blocks<1>(a, b));
      if (r + 2 < rows) store(to + 2 * score_stride, low_blocks<1>(c, d));
      if (r + 3 < rows) store(to + 3 * score_stride, high_blocks<1>(c, d));
    }
  }
}

void dot_by_tiles(const float* queries, int query_stride, int rows, const char* first,
                  int64_t row_bytes, int count, int head_dim, float* scores, int score_stride,
                  const MjRowsAhead* ahead) {
  const auto dot = head_dim <= 128 ? dot_tiles<true> : dot_tiles<false>;
  dot(queries, query_stride, rows, first, row_bytes, count, head_dim, scores, score_stride, ahead);
}

MJ_INLINE bool adds_by_tiles(int rows, int head_dim_v, int count) {
  return rows >= kLeastTileRows && rows <= kTileRows && head_dim_v % 64 == 0 &&
         rows_apart(count) != 0 && count <= kMostTileKeys;
}

// The columns of two rows, alternating: those of the lower and the upper half of each 128 bits.
MJ_INLINE void interleave(const char* even, const char* odd, uint32_t* low, uint32_t* high) {
  const __m512i a = _mm512_loadu_si512(even), b = _mm512_loadu_si512(odd);
  _mm512_store_si512(low, _mm512_unpacklo_epi16(a, b));
  _mm512_store_si512(high, _mm512_unpackhi_epi16(a, b));
}

// A block of 32 keys takes four of each stream.
void add_by_tiles(const char* first, int64_t row_bytes, int count, int head_dim_v,
                  const float* weights, int weight_stride, int rows, float* sums, int sum_stride,
                  const MjRowsAhead* ahead) {
  // [block][row][pair]; rows past the last one are not written, and make sums that are not read.
  alignas(64) uint32_t packed[kMostTileKeys / kTilePairs * kTileWords];
  alignas(64) uint32_t interleaved[2][4][kTileWords];
  alignas(64) float parts[4][kTileWords];
  const int blocks = count / kTilePairs;
  const int apart = rows_apart(count);
#pragma clang loop unroll(disable)
  for (int r = 0; r < rows; ++r) {
#pragma clang loop unroll(disable)
    for (int b = 0; b < blocks; ++b) {
      const float* from = weights + r * weight_stride + b * 4;
      const auto four = [&](int stream) __attribute__((always_inline)) {
        return static_cast<F32x4>(*reinterpret_cast<const F32x4u*>(from + stream * apart));
      };
      F32x16 left, right;
      left.lo.lo = four(0), left.lo.hi = four(1), left.hi.lo = four(2), left.hi.hi = four(3);
      right.lo.lo = four(4), right.lo.hi = four(5), right.hi.lo = four(6), right.hi.hi = four(7);
      store_pairs(packed + b * kTileWords + r * 16, left, right);
    }
  }
  FetchedRows fetched(ahead, count, 2, head_dim_v / 64);
#pragma clang loop unroll(disable)
  for (int d = 0; d < head_dim_v; d += 64) {
    _tile_zero(0), _tile_zero(1), _tile_zero(2), _tile_zero(3);
#pragma clang loop unroll(disable)
    for (int b = 0; b <= blocks; ++b) {
      if (b < blocks) {
        const char* block = first + b * 4 * row_bytes + d * 2;
        auto* values = interleaved[b % 2];
#pragma clang loop unroll(disable)
        for (int p = 0; p < 16; ++p) {
          fetched.step();
          const int pair = p % 8 * 2 + p / 8;
          const char* even = block + (p % 8 * apart + p / 8 * 2) * row_bytes;
          const char* odd = even + row_bytes;
          interleave(even, odd, values[0] + pair * 16, values[1] + pair * 16);
          interleave(even + 64, odd + 64, values[2] + pair * 16, values[3] + pair * 16);
        }
      }
      if (b == 0) continue;
      // The block before: what was stored has reached the cache.
      const auto* values = interleaved[b % 2 ^ 1];
      _tile_loadd(4, packed + (b - 1) * kTileWords, 64);
      _tile_loadd(5, values[0], 64);
      _tile_dpbf16ps(0, 4, 5);
      _tile_loadd(6, values[1], 64);
      _tile_dpbf16ps(1, 4, 6);
      _tile_loadd(7, values[2], 64);
      _tile_dpbf16ps(2, 4, 7);
      _tile_loadd(5, values[3], 64);
      _tile_dpbf16ps(3, 4, 5);
    }
    _tile_stored(0, parts[0], 64);
    _tile_stored(1, parts[1], 64);
    _tile_stored(2, parts[2], 64);
    _tile_stored(3, parts[3], 64);
#pragma clang loop unroll(disable)
    for (int r = 0; r < rows; ++r) {
      float* to = sums + r * sum_stride + d;
#pragma clang loop unroll(full)
      for (int half = 0; half < 2; ++half) {
        const F32x16 low = load(parts[2 * half] + r * 16),
                     high = load(parts[2 * half + 1] + r * 16);
        const F32x16 left = __builtin_shufflevector(low, high, 0, 1, 2, 3, 16, 17, 18, 19, 4, 5, 6,
                                                    7, 20, 21, 22, 23);
        const F32x16 right = __builtin_shufflevector(low, high, 8, 9, 10, 11, 24, 25, 26, 27, 12,
                                                     13, 14, 15, 28, 29, 30, 31);
        store(to + half * 32, load(to + half * 32) + left);
        store(to + half * 32 + 16, load(to + half * 32 + 16) + right);
      }
    }
  }
}

}  // namespace
}  // namespace mj
