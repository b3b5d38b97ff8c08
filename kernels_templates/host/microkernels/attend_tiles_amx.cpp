// Attention over tiles of 64 keys that need nothing but products, for 17 to 32 query rows: the
// products of one tile on the matrix unit beside the exponentials of the tile before on the vector
// units, instruction by instruction; then the sums of four tiles at once.
//
// Exponents are relative to the maximum that the caller found in an earlier tile, so that no pass
// over the scores comes before the exponentials and a tile of scores stays in the first-level
// cache.
#include <immintrin.h>

#include "kernels_templates/host/common/reduce.h"
#include "kernels_templates/host/microkernels/microkernels.h"

namespace mj {
namespace {

constexpr int kRows = 32;
constexpr int kKeys = 64;           // of a tile
constexpr int kGroup = 4;           // tiles whose weights multiply values at once
constexpr int kPairs = kRows * 16;  // words of the weights of 32 keys
constexpr int kUnits = 2 * kRows;   // of a tile: 32 keys of one row each
// Sums of weights beyond this are refused; f32 holds many of them, times values.
constexpr float kLargestSum = 0x1p40f;

// 2^x for any x, 0 below -149: 2^f for f in [0, 1) by the minimax polynomial of degree 4 that is 1
// at 0 (2.9e-6 relative; bf16 keeps 2e-3).
MJ_INLINE __m512 power(__m512 x) {
  const __m512 f = _mm512_reduce_ps(x, _MM_FROUND_TO_NEG_INF);
  __m512 p = _mm512_set1_ps(0.0134267006069f);
  p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(0.0522424466908f));
  p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(0.241280212998f));
  p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(0.69304484129f));
  p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(1.0f));
  return _mm512_scalef_ps(p, x);
}

// The exponentials of one tile, as far as they are done.
struct Exponentials {
  const float* scores;  // [kRows][kKeys]
  uint32_t* weights;    // [2][kRows][16]: two blocks of 32 keys
  float* parts;         // [kRows][16]: sums of weights, by lane
  const float* base;    // [kRows]
  float factor;
  int done;  // units: first the first 32 keys of all rows, then the others

  MJ_MEMBER void unit() {
    const int row = done % kRows;
    const float* x = scores + row * kKeys + done / kRows * (kKeys / 2);
    const __m512 f = _mm512_set1_ps(factor), b = _mm512_set1_ps(base[row]);
    const __m512 low = power(_mm512_fmsub_ps(_mm512_loadu_ps(x), f, b));
    const __m512 high = power(_mm512_fmsub_ps(_mm512_loadu_ps(x + 16), f, b));
    _mm512_storeu_si512(weights + done * 16, (__m512i)_mm512_cvtne2ps_pbh(high, low));
    float* part = parts + row * 16;
    _mm512_storeu_ps(part, _mm512_add_ps(_mm512_loadu_ps(part), _mm512_add_ps(low, high)));
    ++done;
  }
  MJ_MEMBER void finish(int units) {
#pragma clang loop unroll(disable)
    while (done < units) unit();
  }
};

// Up to `count` units after each product, while there are any.
struct Beside {
  Exponentials* exponentials;
  int count;

  MJ_MEMBER void operator()() const {
    int end = exponentials->done + count;
    end = end < kUnits ? end : kUnits;
    exponentials->finish(end);
  }
};
struct Nothing {
  MJ_MEMBER void operator()() const {}
};

// Registers 0 to 3 += a (32 rows) times b (two panels of 16 columns), `steps` of 16 words. Tiles of
// a are 16 rows of `a_row` bytes, a_tile words from rows 0 to rows 16 and a_step from step to step.
template <typename Work>
MJ_INLINE void products(const uint32_t* a, int64_t a_row, int64_t a_tile, int64_t a_step,
                        const uint32_t* b, int64_t panel, int steps, const Work& work) {
#pragma clang loop unroll(disable)
  for (int p = 0; p < steps; ++p) {
    _tile_loadd(4, a, a_row);
    _tile_loadd(6, b, 64);
    _tile_dpbf16ps(0, 4, 6);
    work();
    _tile_loadd(7, b + panel, 64);
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

// The scores of tile `tile`; `exponentials` are of the scores that they replace.
template <typename Work>
MJ_INLINE void scores_of_tile(const MjFullTiles* job, int tile, Exponentials* exponentials,
                              const Work& work) {
  const int words = job->words;
  const uint32_t* keys = job->keys + static_cast<int64_t>(tile) * kKeys * words;
  for (int half = 0; half < 2; ++half) {
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    products(job->queries, int64_t{4} * words, int64_t{16} * words, 16, keys + half * 32 * words,
             int64_t{16} * words, words / 16, work);
    if (exponentials != nullptr) exponentials->finish((half + 1) * kRows);
    store_products(job->scores + half * 32, int64_t{4} * kKeys);
  }
}

// sums += weights times the values of `tiles` tiles from `first` on.
MJ_INLINE void add_values(const MjFullTiles* job, int first, int tiles) {
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
MJ_INLINE bool add_totals(const float* parts, int rows, float* total) {
  F32x16 sums[kRows / kLanes];
  for (int i = 0; i < kRows / kLanes; ++i) {
    F32x16 of_row[kLanes];
    for (int r = 0; r < kLanes; ++r) of_row[r] = load(parts + (i * kLanes + r) * kLanes);
    sums[i] = fold_rows(of_row, Add());
    const __mmask16 asked = rows - i * kLanes >= kLanes ? 0xffff : (1u << (rows - i * kLanes)) - 1;
    // Not at most: NaN, too.
    if (_mm512_mask_cmp_ps_mask(asked, (__m512)sums[i], _mm512_set1_ps(kLargestSum), _CMP_NLE_UQ))
      return false;
  }
  for (int i = 0; i < kRows / kLanes; ++i)
    store(total + i * kLanes, load(total + i * kLanes) + sums[i]);
  return true;
}

}  // namespace
}  // namespace mj

extern "C" int32_t mj_attend_tiles(const MjFullTiles* job, int32_t tiles) {
  using namespace mj;
  if (tiles <= 0 || job->tile_k != kKeys || job->rows <= kRows / 2 || job->columns % 32 != 0)
    return 0;
  alignas(64) float base[kRows];
  for (int r = 0; r < kRows; ++r) {
    base[r] = r < job->rows ? job->maximum[r] : 0.0f;
    if (base[r] == -__builtin_inff()) return mj_no_maximum;
  }
  alignas(64) float parts[kRows * kLanes];
  // 64 units beside 8 products for every 16 words.
  const int beside = (2 * kUnits + job->words - 1) / job->words;
  scores_of_tile(job, 0, nullptr, Nothing());
  for (int tile = 0; tile < tiles; tile += kGroup) {
    const int group = tiles - tile < kGroup ? tiles - tile : kGroup;
    for (int i = 0; i < kRows * kLanes; i += kLanes) store(parts + i, splat(0.0f));
#pragma clang loop unroll(disable)
    for (int i = 0; i < group; ++i) {
      Exponentials exponentials = {
          job->scores, job->weights + i * 2 * kPairs, parts, base, job->factor, 0};
      if (tile + i + 1 < tiles) {
        scores_of_tile(job, tile + i + 1, &exponentials, Beside{&exponentials, beside});
      } else {
        exponentials.finish(kUnits);
      }
    }
    if (!add_totals(parts, job->rows, job->total)) return tile;
    add_values(job, tile, group);
  }
  return tiles;
}
