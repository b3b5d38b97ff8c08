#pragma once
// Packs tiles of query, key and value rows into what the matrix unit multiplies: rows of 32-bit
// words (one f32, or two bf16 of consecutive inner indices when mj_pairs), zero-padded at the
// ragged edges.
//
//   queries  [rows][words of D]            row-major
//   keys     [words of D][mj_tile_k]       transposed, so that keys are the vector lanes
//   values   [mj_tile_k or half][Dv padded] row-major; pairs interleave two keys
#include "kernels_templates/host/common/elements.h"

namespace mj {

typedef uint32_t U32x16h __attribute__((ext_vector_type(16), aligned(2)));

// Words of a query row that hold elements, and what they are padded to for the matrix unit.
MJ_INLINE int head_words() { return mj_pairs ? (mj_head_dim + 1) / 2 : mj_head_dim; }
MJ_INLINE int padded_value_columns() { return round_up(mj_head_dim_v, kLanes); }

// Sixteen words of a row from where vector_start puts the one of word d; zeros past the end of a
// short row.
MJ_INLINE U32x16 load_row_words(const void* row, int d, int words) {
  if (!mj_pairs) return as_words(load_columns(row, d, words, mj_element));
  const uint16_t* halves = static_cast<const uint16_t*>(row);
  if (words >= kLanes)
    return *reinterpret_cast<const U32x16h*>(halves + 2 * vector_start(d, words));
  uint32_t bits[kLanes] = {};
#pragma clang loop unroll(disable) vectorize(disable)
  for (int i = 0; i < words; ++i)
    bits[i] = halves[2 * i] | static_cast<uint32_t>(halves[2 * i + 1]) << 16;
  return load_words(bits);
}

// One stage of the recursive transposition: swaps the off-diagonal s x s blocks of two rows.
template <int kStep>
MJ_INLINE void transpose_stage(U32x16* r) {
#define MJ_LOW(l) (((l) & kStep) ? 16 + (l) - kStep : (l))
#define MJ_HIGH(l) (((l) & kStep) ? 16 + (l) : (l) + kStep)
#define MJ_SHUFFLE(X)                                                                              \
  __builtin_shufflevector(a, b, X(0), X(1), X(2), X(3), X(4), X(5), X(6), X(7), X(8), X(9), X(10), \
                          X(11), X(12), X(13), X(14), X(15))
#pragma clang loop unroll(full)
  for (int i = 0; i < 16; ++i) {
    if (i & kStep) continue;
    const U32x16 a = r[i];
    const U32x16 b = r[i + kStep];
    r[i] = MJ_SHUFFLE(MJ_LOW);
    r[i + kStep] = MJ_SHUFFLE(MJ_HIGH);
  }
#undef MJ_SHUFFLE
#undef MJ_HIGH
#undef MJ_LOW
}

MJ_INLINE void transpose(U32x16* r) {
  transpose_stage<8>(r);
  transpose_stage<4>(r);
  transpose_stage<2>(r);
  transpose_stage<1>(r);
}

// Keys k_begin .. k_begin + count - 1 (count <= mj_tile_k); the columns past them repeat the last
// key (their logits are overwritten). Rows from words of D to `words` are 0.
MJ_OUTLINE void pack_keys(const MjAttentionArgs* args, int64_t batch, int64_t kv_head,
                          int64_t k_begin, int count, int words, uint32_t* packed) {
  const int used = head_words();
  const char* first =
      static_cast<const char*>(row_of(args->key, mj_element, batch, kv_head, k_begin));
  const int64_t row_bytes = args->key.row_stride * element_bytes(mj_element);
  for (int j = 0; j < mj_tile_k; j += kLanes) {
    const char* rows[16];
#pragma clang loop unroll(full)
    for (int i = 0; i < 16; ++i) rows[i] = first + (j + i < count ? j + i : count - 1) * row_bytes;
    for (int d = 0; d < used; d += kLanes) {
      U32x16 block[16];
#pragma clang loop unroll(full)
      for (int i = 0; i < 16; ++i) block[i] = load_row_words(rows[i], d, used);
      transpose(block);
      uint32_t* out = packed + vector_start(d, used) * mj_tile_k + j;
      // A short row fills rows past `used` with zeros, which is room that the scratch layout
      // leaves.
#pragma clang loop unroll(full)
      for (int i = 0; i < 16; ++i) store_words(out + i * mj_tile_k, block[i]);
    }
    for (int d = used; d < words; ++d) store_words(packed + d * mj_tile_k + j, U32x16(0u));
  }
}

// Value rows k_begin .. k_begin + count - 1, zeros in the rows to mj_tile_k. What is in the columns
// from Dv to the padded number does not matter: every column of the product is its own.
MJ_OUTLINE void pack_values(const MjAttentionArgs* args, int64_t batch, int64_t kv_head,
                            int64_t k_begin, int count, uint32_t* packed) {
  const int columns = padded_value_columns();
  const char* first =
      static_cast<const char*>(row_of(args->value, mj_element, batch, kv_head, k_begin));
  const int64_t row_bytes = args->value.row_stride * element_bytes(mj_element);
  if (!mj_pairs) {
    for (int j = 0; j < mj_tile_k; ++j) {
      for (int d = 0; d < columns; d += kLanes) {
        const F32x16 v = j < count
                             ? load_columns(first + j * row_bytes, d, mj_head_dim_v, mj_element)
                             : splat(0.0f);
        store_words(packed + j * columns + vector_start(d, mj_head_dim_v), as_words(v));
      }
    }
    return;
  }
  for (int j = 0; j < mj_tile_k; j += 2) {
    for (int d = 0; d < columns; d += kLanes) {
      // The upper halves of bf16 widened to f32 are the bf16 themselves.
      const F32x16 low =
          j < count ? load_columns(first + j * row_bytes, d, mj_head_dim_v, MJ_BF16) : splat(0.0f);
      const F32x16 high = j + 1 < count
                              ? load_columns(first + (j + 1) * row_bytes, d, mj_head_dim_v, MJ_BF16)
                              : splat(0.0f);
      store_words(packed + (j / 2) * columns + vector_start(d, mj_head_dim_v),
                  as_words(low) >> 16 | as_words(high));
    }
  }
}

// One query row of `words` words, zeros past words of D.
MJ_INLINE void pack_query(const void* row, int words, uint32_t* packed) {
  const int used = head_words();
  for (int d = 0; d < used; d += kLanes)
    store_words(packed + vector_start(d, used), load_row_words(row, d, used));
  for (int d = used; d < words; ++d) packed[d] = 0;
}

}  // namespace mj
