#pragma once
// Packs tiles of query, key and value rows into what the matrix unit multiplies: rows of 32-bit words (one
// f32, or two bf16 of consecutive inner indices when mj_pairs), zero-padded at the ragged edges.
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

// Sixteen words of a row of `words` words from word `at`; zeros past the end.
MJ_INLINE U32x16 load_row_words(const void* row, int at, int words) {
  const int left = words - at;
  if (!mj_pairs) {
    return as_words(left >= kLanes ? load_elements(row, at, mj_element)
                                   : load_elements_partial(row, at, left, mj_element));
  }
  const uint16_t* halves = static_cast<const uint16_t*>(row);
  if (2 * (at + kLanes) <= mj_head_dim) return *reinterpret_cast<const U32x16h*>(halves + 2 * at);
  U32x16 result = U32x16(0u);
  for (int i = 0; i < kLanes; ++i) {
    const int d = 2 * (at + i);
    if (d < mj_head_dim) result[i] = halves[d];
    if (d + 1 < mj_head_dim) result[i] |= static_cast<uint32_t>(halves[d + 1]) << 16;
  }
  return result;
}

template <int... I>
struct Indices {};

// One stage of the recursive transposition: swaps the off-diagonal s x s blocks of two rows.
template <int kStep>
MJ_INLINE void transpose_stage(U32x16* r) {
#define MJ_LOW(l) (((l) & kStep) ? 16 + (l) - kStep : (l))
#define MJ_HIGH(l) (((l) & kStep) ? 16 + (l) : (l) + kStep)
#define MJ_SHUFFLE(X)                                                                                          \
  __builtin_shufflevector(a, b, X(0), X(1), X(2), X(3), X(4), X(5), X(6), X(7), X(8), X(9), X(10), X(11), X(12), \
                          X(13), X(14), X(15))
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

// Keys k_begin .. k_begin + count - 1 (count <= mj_tile_k), padded to mj_tile_k columns and `words` rows.
MJ_OUTLINE void pack_keys(const MjAttentionArgs* args, int64_t batch, int64_t kv_head, int64_t k_begin, int count,
                         int words, uint32_t* packed) {
  const int used = head_words();
  for (int j = 0; j < mj_tile_k; j += kLanes) {
    for (int d = 0; d < words; d += kLanes) {
      U32x16 block[16];
#pragma clang loop unroll(full)
      for (int i = 0; i < 16; ++i) block[i] = U32x16(0u);
      if (d < used) {
        if (j + kLanes <= count && d + kLanes <= used) {
#pragma clang loop unroll(full)
          for (int i = 0; i < 16; ++i) {
            block[i] = load_row_words(row_of(args->key, mj_element, batch, kv_head, k_begin + j + i), d, used);
          }
        } else {
          for (int i = 0; i < 16 && j + i < count; ++i) {
            block[i] = load_row_words(row_of(args->key, mj_element, batch, kv_head, k_begin + j + i), d, used);
          }
        }
      }
      transpose(block);
      const int rows = words - d < kLanes ? words - d : kLanes;
      if (rows == kLanes) {
#pragma clang loop unroll(full)
        for (int i = 0; i < 16; ++i) store_words(packed + (d + i) * mj_tile_k + j, block[i]);
      } else {
        for (int i = 0; i < rows; ++i) store_words(packed + (d + i) * mj_tile_k + j, block[i]);
      }
    }
  }
}

// Value rows k_begin .. k_begin + count - 1, zero-padded to mj_tile_k rows and the padded columns.
MJ_OUTLINE void pack_values(const MjAttentionArgs* args, int64_t batch, int64_t kv_head, int64_t k_begin, int count,
                           uint32_t* packed) {
  const int columns = padded_value_columns();
  if (!mj_pairs) {
    for (int j = 0; j < mj_tile_k; ++j) {
      const void* row = row_of(args->value, mj_element, batch, kv_head, k_begin + j);
      for (int d = 0; d < columns; d += kLanes) {
        const int left = mj_head_dim_v - d;
        F32x16 v = splat(0.0f);
        if (j < count) {
          v = left >= kLanes ? load_elements(row, d, mj_element) : load_elements_partial(row, d, left, mj_element);
        }
        store_words(packed + j * columns + d, as_words(v));
      }
    }
    return;
  }
  for (int j = 0; j < mj_tile_k; j += 2) {
    const uint16_t* first = static_cast<const uint16_t*>(row_of(args->value, mj_element, batch, kv_head, k_begin + j));
    const uint16_t* second =
        static_cast<const uint16_t*>(row_of(args->value, mj_element, batch, kv_head, k_begin + j + 1));
    for (int d = 0; d < columns; d += kLanes) {
      U32x16 pair = U32x16(0u);
      if (j + 1 < count && d + kLanes <= mj_head_dim_v) {
        const U32x16 low = __builtin_convertvector(*reinterpret_cast<const U16x16u*>(first + d), U32x16);
        const U32x16 high = __builtin_convertvector(*reinterpret_cast<const U16x16u*>(second + d), U32x16);
        pair = low | (high << 16);
      } else {
        for (int i = 0; i < kLanes && d + i < mj_head_dim_v; ++i) {
          if (j < count) pair[i] = first[d + i];
          if (j + 1 < count) pair[i] |= static_cast<uint32_t>(second[d + i]) << 16;
        }
      }
      store_words(packed + (j / 2) * columns + d, pair);
    }
  }
}

// One query row of `words` words.
MJ_INLINE void pack_query(const void* row, int words, uint32_t* packed) {
  const int used = head_words();
  for (int d = 0; d < words; d += kLanes) {
    const U32x16 v = d < used ? load_row_words(row, d, used) : U32x16(0u);
    const int left = words - d;
    if (left >= kLanes) {
      store_words(packed + d, v);
    } else {
      for (int i = 0; i < left; ++i) packed[d + i] = v[i];
    }
  }
}

}  // namespace mj
