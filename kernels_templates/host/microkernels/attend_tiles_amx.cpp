// Attention over tiles of 64 keys for 17 to 32 query rows: the products of one tile on the matrix
// unit beside the exponentials of the tile before on the vector units, instruction by instruction;
// then the sums of four tiles at once.
//
// Exponents are relative to a maximum known before - the last tile's or that of an earlier call -
// so that no pass over the scores comes before the exponentials and a tile of scores stays in the
// first-level cache.
#include <immintrin.h>

#include "kernels_templates/host/common/exp2.h"
#include "kernels_templates/host/common/reduce.h"
#include "kernels_templates/host/microkernels/fetch.h"
#include "kernels_templates/host/microkernels/microkernels.h"

namespace mj {
namespace {

constexpr int kRows = 32;
constexpr int kKeys = 64;           // of a tile
constexpr int kGroup = 4;           // tiles whose weights multiply values at once
constexpr int kPairs = kRows * 16;  // words of the weights of 32 keys
// Sums of weights beyond this are refused; f32 holds many of them, times values.
constexpr float kLargestSum = 0x1p40f;

// 2^x for any x. Without denominators that are results themselves: 2^f for f in [0, 1) by the
// minimax polynomial of degree 3 that is 1 at 0, 8.6e-5 relative, a twentieth of what rounding to
// bf16 does to a weight.
template <bool kExactTotals>
MJ_INLINE __m512 power(__m512 x) {
  if constexpr (kExactTotals) return (__m512)exp2((F32x16)x);
  const __m512 f = _mm512_reduce_ps(x, _MM_FROUND_TO_NEG_INF);
  __m512 p = _mm512_set1_ps(0.0770680314f);
  p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(0.227643533f));
  p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(0.695117286f));
  p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(1.0f));
  return _mm512_scalef_ps(p, x);
}

// The exponentials of half a tile, 32 keys of each row, as far as they are done.
template <bool kExactTotals>
struct Exponentials {
  const float* scores;  // of the next row, kKeys apart
  uint32_t* weights;    // [kRows][16]
  float* parts;         // [kRows][16]: sums of weights, by lane
  const float* base;    // [kRows]
  float factor;
  int left;  // rows

  MJ_MEMBER void rows(int count) {
    count = count < left ? count : left;
    left -= count;
    const __m512 f = _mm512_set1_ps(factor);
#pragma clang loop unroll(disable)
    for (int i = 0; i < count; ++i) {
      const __m512 b = _mm512_set1_ps(*base);
      const __m512 low = power<kExactTotals>(_mm512_fmsub_ps(_mm512_loadu_ps(scores), f, b));
      const __m512 high = power<kExactTotals>(_mm512_fmsub_ps(_mm512_loadu_ps(scores + 16), f, b));
      _mm512_storeu_si512(weights, (__m512i)_mm512_cvtne2ps_pbh(high, low));
      _mm512_storeu_ps(parts, _mm512_add_ps(_mm512_loadu_ps(parts), _mm512_add_ps(low, high)));
      scores += kKeys;
      weights += 16;
      parts += 16;
      base += 1;
    }
  }
};

// Up to `count` rows after each product, while there are any, and a line of what comes later.
template <typename Rows>
struct Beside {
  Rows* exponentials;
  RowFetcher* fetcher;
  int count;

  MJ_MEMBER void operator()() const {
    exponentials->rows(count);
    fetcher->line();
  }
};
struct Nothing {
  MJ_MEMBER void operator()() const {}
};

// Registers 0 to 3 += a (32 rows) times b (two panels of 16 columns), `steps` of 16 words. Tiles of
// a are 16 rows of `a_row` bytes, a_tile words from rows 0 to rows 16 and a_step from step to step.
// b passes by once for all rows: its loads say so, and leave in the first-level cache what stays.
template <typename Work>
MJ_INLINE void products(const uint32_t* a, int64_t a_row, int64_t a_tile, int64_t a_step,
                        const uint32_t* b, int64_t panel, int steps, const Work& work) {
#pragma clang loop unroll(disable)
  for (int p = 0; p < steps; ++p) {
    _tile_loadd(4, a, a_row);
    _tile_stream_loadd(6, b, 64);
    _tile_dpbf16ps(0, 4, 6);
    work();
    _tile_stream_loadd(7, b + panel, 64);
    _tile_dpbf16ps(1, 4, 7);
    work();
    _tile_loadd(5, a + a_tile, a_row);
    _tile_dpbf16ps(2, 5, 6);
    work();
    _tile_dpbf16ps(3, 5, 7);
    work();
    a += a_step;
    b += 256;
  }
}

MJ_INLINE void store_products(float* c, int64_t row_bytes) {
  float* below = reinterpret_cast<float*>(reinterpret_cast<char*>(c) + 16 * row_bytes);
  _tile_stored(0, c, row_bytes);
  _tile_stored(1, c + 16, row_bytes);
  _tile_stored(2, below, row_bytes);
  _tile_stored(3, below + 16, row_bytes);
}

// Those of the sixteen rows from `first` on that hold queries.
MJ_INLINE __mmask16 asked_rows(const MjTilesToAttend* job, int first) {
  const int rows = job->rows - first;
  return rows >= kLanes ? 0xffff : (1u << (rows < 0 ? 0 : rows)) - 1;
}

// The products of queries with keys [32 half, 32 half + 32) of a tile.
template <typename Work>
MJ_INLINE void scores_of_half(const MjTilesToAttend* job, const uint32_t* queries,
                              const uint32_t* keys, int half, const Work& work) {
  const int words = job->words;
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
  products(queries, int64_t{4} * words, int64_t{16} * words, 16,
           keys + int64_t{half} * (kKeys / 2) * words, int64_t{16} * words, words / 16, work);
}

MJ_INLINE const uint32_t* keys_of_tile(const MjTilesToAttend* job, int tile) {
  return job->keys + int64_t{tile} * kKeys * job->words;
}

MJ_INLINE void store_scores(const MjTilesToAttend* job, int half) {
  store_products(job->scores + half * 32, int64_t{4} * kKeys);
}

// What exponents of each row are relative to: the maximum before or, in rows that have none, that
// of the scores. False: a row still has none.
MJ_INLINE bool find_bases(const MjTilesToAttend* job, float* base) {
  for (int first = 0; first < kRows; first += kLanes) {
    F32x16 largest[kLanes];
#pragma clang loop unroll(disable)
    for (int r = 0; r < kLanes; ++r) {
      const float* x = job->scores + (first + r) * kKeys;
      largest[r] = max(max(load(x), load(x + 16)), max(load(x + 32), load(x + 48)));
    }
    const __m512 none = _mm512_set1_ps(-__builtin_inff());
    const __m512 now = (__m512)(fold_rows(largest, Larger()) * splat(job->factor));
    const __m512 before = (__m512)load(job->maximum + first);
    const __m512 bases =
        _mm512_mask_mov_ps(before, _mm512_cmp_ps_mask(before, none, _CMP_EQ_OQ), now);
    if (_mm512_mask_cmp_ps_mask(asked_rows(job, first), bases, none, _CMP_EQ_OQ)) return false;
    _mm512_store_ps(base + first, bases);
  }
  return true;
}

// sums += weights times the values of `tiles` tiles from `first` on.
MJ_INLINE void add_values(const MjTilesToAttend* job, int first, int tiles) {
  const int64_t row_bytes = int64_t{4} * job->columns, panel = job->panel;
  for (int column = 0; column < job->columns; column += 32) {
    float* c = job->sums + column;
    float* below = c + 16 * job->columns;
    _tile_loadd(0, c, row_bytes);
    _tile_loadd(1, c + 16, row_bytes);
    _tile_loadd(2, below, row_bytes);
    _tile_loadd(3, below + 16, row_bytes);
    products(job->weights, 64, kPairs / 2, kPairs,
             job->values + column / 16 * panel + first * (kKeys / 2) * 16, panel, 2 * tiles,
             Nothing());
    store_products(c, row_bytes);
  }
}

// Adds the sums of weights to the totals, unless one is too large.
MJ_INLINE bool add_totals(const MjTilesToAttend* job, const float* parts) {
  F32x16 sums[kRows / kLanes];
  for (int i = 0; i < kRows / kLanes; ++i) {
    F32x16 of_row[kLanes];
    for (int r = 0; r < kLanes; ++r) of_row[r] = load(parts + (i * kLanes + r) * kLanes);
    sums[i] = fold_rows(of_row, Add());
    // Not at most: NaN, too.
    if (_mm512_mask_cmp_ps_mask(asked_rows(job, i * kLanes), (__m512)sums[i],
                                _mm512_set1_ps(kLargestSum), _CMP_NLE_UQ)) {
      return false;
    }
  }
  for (int i = 0; i < kRows / kLanes; ++i)
    store(job->total + i * kLanes, load(job->total + i * kLanes) + sums[i]);
  return true;
}

template <bool kExactTotals>
MJ_INLINE int32_t attend_tiles(const MjTilesToAttend* job, int32_t tiles) {
  for (int half = 0; half < 2 && !job->begun; ++half) {
    scores_of_half(job, job->queries, keys_of_tile(job, tiles - 1), half, Nothing());
    store_scores(job, half);
  }
  job->finish(job->context, tiles - 1, job->scores);
  alignas(64) float base[kRows];
  if (!find_bases(job, base)) return 0;
  RowFetcher fetcher(job->ahead);
  alignas(64) float parts[kRows * kLanes];
  // 32 rows beside 4 products for every 16 words.
  const int beside = (4 * kRows + job->words - 1) / job->words;
  for (int left = tiles; left > 0;) {
    const int first = left < kGroup ? 0 : left - kGroup;
    for (int i = 0; i < kRows * kLanes; i += kLanes) store(parts + i, splat(0.0f));
#pragma clang loop unroll(disable)
    for (int tile = left - 1; tile >= first; --tile) {
      const uint32_t* queries = tile > 0 ? job->queries : job->next_queries;
      const uint32_t* keys = tile > 0 ? keys_of_tile(job, tile - 1) : job->next_keys;
#pragma clang loop unroll(disable)
      for (int half = 0; half < 2; ++half) {
        // The scores that the next tile's replace.
        Exponentials<kExactTotals> exponentials = {
            job->scores + half * 32,
            job->weights + (2 * (tile - first) + half) * kPairs,
            parts,
            base,
            job->factor,
            kRows};
        if (keys != nullptr) {
          scores_of_half(job, queries, keys, half,
                         Beside<Exponentials<kExactTotals>>{&exponentials, &fetcher, beside});
        }
        exponentials.rows(kRows);
        if (keys != nullptr) store_scores(job, half);
      }
      if (tile > 0) job->finish(job->context, tile - 1, job->scores);
    }
    if (!add_totals(job, parts)) return tiles - left;
    if (left == tiles) {
      for (int i = 0; i < kRows; i += kLanes) store(job->maximum + i, load(base + i));
    }
    add_values(job, first, left - first);
    left = first;
  }
  return tiles;
}

}  // namespace
}  // namespace mj

extern "C" int32_t mj_attend_tiles(const MjTilesToAttend* job, int32_t tiles) {
  using namespace mj;
  if (job->tile_k != kKeys || job->rows <= kRows / 2 || job->columns % 32 != 0) return -1;
  return job->exact_totals ? attend_tiles<true>(job, tiles) : attend_tiles<false>(job, tiles);
}
