// Packs tiles of query, key and value rows into what the matrix products take.
#include "kernels_templates/host/common/elements.h"
#include "kernels_templates/host/microkernels/fetch.h"
#include "kernels_templates/host/microkernels/microkernels.h"

namespace mj {
namespace {

typedef uint32_t U32x16h __attribute__((ext_vector_type(16), aligned(2)));

// Words of a row that hold elements.
MJ_INLINE int words_of(int columns, bool pairs) { return pairs ? (columns + 1) / 2 : columns; }

// Sixteen words of a row of bf16 pairs from where vector_start puts the one of word d; zeros past
// the end of a short row.
MJ_INLINE U32x16 load_pair_words(const void* row, int d, int words) {
  const uint16_t* halves = static_cast<const uint16_t*>(row);
  if (words >= kLanes)
    return *reinterpret_cast<const U32x16h*>(halves + 2 * vector_start(d, words));
  uint32_t bits[kLanes] = {};
  for (int i = 0; i < words; ++i)
    bits[i] = halves[2 * i] | static_cast<uint32_t>(halves[2 * i + 1]) << 16;
  return load_words(bits);
}

template <int kElement, bool kPairs>
MJ_INLINE U32x16 load_row_words(const void* row, int d, int words) {
  if constexpr (kPairs) return load_pair_words(row, d, words);
  return as_words(load_columns(row, d, words, kElement));
}

// One stage of the recursive transposition: swaps the off-diagonal s x s blocks of two rows.
template <int kStep>
MJ_INLINE void transpose_stage(U32x16* r) {
#pragma clang loop unroll(full)
  for (int i = 0; i < 16; ++i) {
    if (i & kStep) continue;
    const U32x16 a = r[i];
    const U32x16 b = r[i + kStep];
    r[i] = low_blocks<kStep>(a, b);
    r[i + kStep] = high_blocks<kStep>(a, b);
  }
}

template <int kElement, bool kPairs>
void pack_keys(const char* first, int64_t row_bytes, int count, int head_dim, int words, int keys,
               uint32_t* packed) {
  const int used = words_of(head_dim, kPairs);
  for (int j = 0; j < keys; j += kLanes, packed += words * kLanes) {
    const char* rows[16];
#pragma clang loop unroll(full)
    for (int i = 0; i < 16; ++i) rows[i] = first + (j + i < count ? j + i : count - 1) * row_bytes;
    for (int d = 0; d < used; d += kLanes) {
      U32x16 block[16];
#pragma clang loop unroll(full)
      for (int i = 0; i < 16; ++i) block[i] = load_row_words<kElement, kPairs>(rows[i], d, used);
      transpose_stage<8>(block);
      transpose_stage<4>(block);
      transpose_stage<2>(block);
      transpose_stage<1>(block);
      uint32_t* out = packed + vector_start(d, used) * kLanes;
      // A short row fills rows past `used` with zeros.
#pragma clang loop unroll(full)
      for (int i = 0; i < 16; ++i) store_words(out + i * kLanes, block[i]);
    }
    for (int d = used; d < words; ++d) store_words(packed + d * kLanes, U32x16(0u));
  }
}

// Columns d .. d + 15 of a row, zeros past its end.
template <int kElement>
MJ_INLINE F32x16 load_panel_row(const char* row, int d, int columns) {
  const F32x16 v = load_columns(row, d, columns, kElement);
  const int overlap = d - vector_start(d, columns);
  if (overlap == 0) return v;
  float moved[2 * kLanes] = {};
  store(moved, v);
  return load(moved + overlap);
}

template <int kElement, bool kPairs>
void pack_values(const char* first, int64_t row_bytes, int count, int head_dim_v, int keys,
                 int64_t panel, uint32_t* packed) {
  constexpr int kKeys = kPairs ? 2 : 1;
  for (int j = 0; j < keys; j += kKeys, packed += kLanes) {
    const char* row = first + j * row_bytes;
    uint32_t* out = packed;
    for (int d = 0; d < head_dim_v; d += kLanes, out += panel) {
      U32x16 words = U32x16(0u);
      if (j < count) words = as_words(load_panel_row<kElement>(row, d, head_dim_v));
      if constexpr (kPairs) {
        // The upper halves of bf16 widened to f32 are the bf16 themselves.
        words >>= 16;
        if (j + 1 < count)
          words |= as_words(load_panel_row<kElement>(row + row_bytes, d, head_dim_v));
      }
      store_words(out, words);
    }
  }
}

template <int kElement, bool kPairs>
void pack_query(const void* row, int head_dim, int words, uint32_t* packed) {
  const int used = words_of(head_dim, kPairs);
  for (int d = 0; d < used; d += kLanes)
    store_words(packed + vector_start(d, used), load_row_words<kElement, kPairs>(row, d, used));
  for (int d = used; d < words; ++d) packed[d] = 0;
}

}  // namespace
}  // namespace mj

extern "C" {

void mj_fetch_rows(MjRowsToFetch* rows) {
  mj::RowFetcher fetcher(rows);
  while (rows->count > 0) fetcher.line();
}

void mj_pack_query(const void* row, int32_t element, bool pairs, int32_t head_dim, int32_t words,
                   uint32_t* packed) {
  if (pairs) return mj::pack_query<MJ_BF16, true>(row, head_dim, words, packed);
  MJ_FOR_ELEMENT(element, (mj::pack_query<kElement, false>(row, head_dim, words, packed)));
}

void mj_pack_keys(const void* rows, int64_t row_bytes, int32_t count, int32_t element, bool pairs,
                  int32_t head_dim, int32_t words, int32_t keys, uint32_t* packed) {
  const char* first = static_cast<const char*>(rows);
  if (pairs) {
    return mj::pack_keys<MJ_BF16, true>(first, row_bytes, count, head_dim, words, keys, packed);
  }
  MJ_FOR_ELEMENT(element, (mj::pack_keys<kElement, false>(first, row_bytes, count, head_dim, words,
                                                          keys, packed)));
}

void mj_pack_values(const void* rows, int64_t row_bytes, int32_t count, int32_t element, bool pairs,
                    int32_t head_dim_v, int32_t keys, int32_t panel, uint32_t* packed) {
  const char* first = static_cast<const char*>(rows);
  if (pairs) {
    return mj::pack_values<MJ_BF16, true>(first, row_bytes, count, head_dim_v, keys, panel, packed);
  }
  MJ_FOR_ELEMENT(element, (mj::pack_values<kElement, false>(first, row_bytes, count, head_dim_v,
                                                            keys, panel, packed)));
}

}  // extern "C"
