#pragma once
// What the scorers share: blocks of transposed rows, quantisation, products with few rows.
#include "kernels_templates/host/common/elements.h"
#include "kernels_templates/host/microkernels/scorers.h"

namespace mj {
namespace {

typedef uint8_t U8x16u __attribute__((ext_vector_type(16), aligned(1)));

MJ_INLINE char* index_row(const MjIndexRows& rows, int64_t batch, int64_t head, int64_t row) {
  const char* data = static_cast<const char*>(rows.data);
  return const_cast<char*>(data + batch * rows.batch_stride + head * rows.head_stride +
                           row * rows.row_stride);
}
// The part of strip 0 that begins with row `row`, whose elements have `bytes`.
MJ_INLINE char* index_lane(const MjIndexRows& rows, int64_t batch, int64_t head, int64_t row,
                           int bytes) {
  return index_row(rows, batch, head, row / mj_index_block) + row % mj_index_block * bytes;
}
// The head that the rows of a scorer are of.
MJ_INLINE int32_t head_of(const MjScorer* scorer, int32_t head, int32_t kv_head) {
  return scorer->by_head != 0 ? head : kv_head;
}

MJ_INLINE int64_t align64(int64_t bytes) { return round_up64(bytes, 64); }

// A row in plain order; room for whole vectors, at least one, is written.
MJ_INLINE void widen_row(const void* row, int element, int columns, float* out) {
  for (int d = 0; d < columns; d += kLanes)
    store(out + vector_start(d, columns), load_columns(row, d, columns, element));
}

// scores[i] of rows begin .. begin + count - 1, from score.run<kVectors>(row, out), which gives
// those of 16 * kVectors rows from `row`, a multiple of 16, in one block.
template <typename Score>
MJ_INLINE void score_rows(const Score& score, int64_t begin, int32_t count, float* scores) {
  constexpr int kMost = Score::kVectors;
  const int64_t end = begin + count;
  int64_t at = begin / kLanes * kLanes;
  while (at < end) {
    if (at >= begin && at + kMost * kLanes <= end && at % (kMost * kLanes) == 0) {
      F32x16 result[kMost];
      score.template run<kMost>(at, result);
#pragma clang loop unroll(full)
      for (int v = 0; v < kMost; ++v) store(scores + (at - begin) + v * kLanes, result[v]);
      at += kMost * kLanes;
      continue;
    }
    F32x16 result[1];
    score.template run<1>(at, result);
    if (at >= begin && at + kLanes <= end) {
      store(scores + (at - begin), result[0]);
    } else {
      float lanes[kLanes];
      store(lanes, result[0]);
      const int first = at < begin ? static_cast<int>(begin - at) : 0;
      const int last = at + kLanes > end ? static_cast<int>(end - at) : kLanes;
#pragma clang loop vectorize(disable) unroll(disable)
      for (int i = first; i < last; ++i) scores[at + i - begin] = lanes[i];
    }
    at += kLanes;
  }
}

// Sums of factor[i] * strip[i], rows being elements: numbers that need no decoding.
template <int kElement>
struct StripSums {
  static constexpr int kVectors = 4;
  const MjIndexRows* rows;
  int32_t batch, head, count;
  const float* factors;
  const int32_t* strips;

  template <int kCount>
  MJ_MEMBER void run(int64_t row, F32x16* sums) const {
    const int bytes = element_bytes(kElement);
    const char* lanes = index_lane(*rows, batch, head, row, bytes);
#pragma clang loop unroll(full)
    for (int v = 0; v < kCount; ++v) sums[v] = splat(0.0f);
#pragma clang loop unroll(disable)
    for (int i = 0; i < count; ++i) {
      const char* strip = lanes + int64_t{strips[i]} * (mj_index_block * bytes);
      const F32x16 factor = splat(factors[i]);
#pragma clang loop unroll(full)
      for (int v = 0; v < kCount; ++v)
        sums[v] = fma(factor, load_elements(strip, v * kLanes, kElement), sums[v]);
    }
  }
};

// --- Asymmetric min-max quantisation: code = round((x - lo) M / (hi - lo)), M = 2^bits - 1, to
// even; what it stands for is lo + code (hi - lo) / M.

struct Quantiser {
  float lo, scale, step, most;

  MJ_MEMBER static Quantiser of(float lo, float hi, int bits) {
    const float most = static_cast<float>((1 << bits) - 1);
    const float range = hi - lo;
    return {lo, most / (range == 0.0f ? 1.0f : range), range / most, most};
  }
  MJ_MEMBER static Quantiser of(const float* x, int count, int bits) {
    float lo = x[0], hi = x[0];
    for (int i = 1; i < count; ++i) {
      lo = x[i] < lo ? x[i] : lo;
      hi = x[i] > hi ? x[i] : hi;
    }
    return of(lo, hi, bits);
  }
  MJ_MEMBER float code(float x) const {
    const float magic = 12582912.0f;  // 1.5 * 2^23: adding it rounds to an integer
    const float v = ((x - lo) * scale + magic) - magic;
    return v >= 0.0f ? (v <= most ? v : most) : 0.0f;
  }
  MJ_MEMBER float value(float x) const { return code(x) * step + lo; }
};

// Writes number `i` of lane 0 of `lanes`; two of up to 4 bits share a byte, the even one below.
MJ_INLINE void store_code(char* lanes, int i, int bits, int64_t lane, uint32_t code) {
  if (bits <= 4) {
    uint8_t* byte = reinterpret_cast<uint8_t*>(lanes) + int64_t{i / 2} * mj_index_block + lane;
    *byte = static_cast<uint8_t>(i % 2 == 0 ? (*byte & 0xF0u) | code : (*byte & 0x0Fu) | code << 4);
  } else if (bits <= 8) {
    (reinterpret_cast<uint8_t*>(lanes) + int64_t{i} * mj_index_block)[lane] =
        static_cast<uint8_t>(code);
  } else {
    (reinterpret_cast<uint16_t*>(lanes) + int64_t{i} * mj_index_block)[lane] =
        static_cast<uint16_t>(code);
  }
}

MJ_INLINE U32x16 load_bytes(const char* p) {
  return __builtin_convertvector(*reinterpret_cast<const U8x16u*>(p), U32x16);
}
// Sixteen codes of one strip that is not of halves.
template <int kBytes>
MJ_INLINE U32x16 load_codes(const char* p) {
  if constexpr (kBytes == 1) return load_bytes(p);
  return __builtin_convertvector(*reinterpret_cast<const U16x16u*>(p), U32x16);
}
MJ_INLINE F32x16 to_floats(U32x16 v) {
  return __builtin_convertvector(__builtin_bit_cast(I32x16, v), F32x16);
}

// --- c[m x n] = a[m x k] b[k x n] for any m, n a multiple of 16. Every element is one sum over k
// in order, whatever m.

template <int kRows, int kColumns>
MJ_INLINE void few_rows(const float* a, int64_t lda, const float* b, int64_t ldb, float* c,
                        int64_t ldc, int k) {
  F32x16 sums[kRows][kColumns];
#pragma clang loop unroll(full)
  for (int i = 0; i < kRows; ++i) {
#pragma clang loop unroll(full)
    for (int j = 0; j < kColumns; ++j) sums[i][j] = splat(0.0f);
  }
#pragma clang loop unroll(disable)
  for (int p = 0; p < k; ++p, b += ldb) {
#pragma clang loop unroll(full)
    for (int j = 0; j < kColumns; ++j) {
      const F32x16 right = load(b + j * kLanes);
#pragma clang loop unroll(full)
      for (int i = 0; i < kRows; ++i) sums[i][j] = fma(splat(a[i * lda + p]), right, sums[i][j]);
    }
  }
#pragma clang loop unroll(full)
  for (int i = 0; i < kRows; ++i) {
#pragma clang loop unroll(full)
    for (int j = 0; j < kColumns; ++j) store(c + i * ldc + j * kLanes, sums[i][j]);
  }
}

template <int kRows>
MJ_INLINE void few_rows_all(const float* a, int64_t lda, const float* b, int64_t ldb, float* c,
                            int64_t ldc, int n, int k) {
  constexpr int kColumns = kRows == 1 ? 4 : 1;
  int j = 0;
  for (; j + kColumns * kLanes <= n; j += kColumns * kLanes)
    few_rows<kRows, kColumns>(a, lda, b + j, ldb, c + j, ldc, k);
  for (; j < n; j += kLanes) few_rows<kRows, 1>(a, lda, b + j, ldb, c + j, ldc, k);
}

MJ_OUTLINE void product(const float* a, int64_t lda, const float* b, int64_t ldb, float* c,
                        int64_t ldc, int m, int n, int k) {
  const int whole = m / 16 * 16;
  if (whole > 0) mj_multiply_rows(a, lda, b, ldb, c, ldc, whole, n, k);
  int i = whole;
  for (; i + 4 <= m; i += 4) few_rows_all<4>(a + i * lda, lda, b, ldb, c + i * ldc, ldc, n, k);
  for (; i < m; ++i) few_rows_all<1>(a + i * lda, lda, b, ldb, c + i * ldc, ldc, n, k);
}

// Bit i of the result: x[i] > 0.
MJ_INLINE uint32_t positive_bits(F32x16 x) {
  typedef bool Signs __attribute__((ext_vector_type(16)));
  return __builtin_bit_cast(uint16_t, __builtin_convertvector(x > splat(0.0f), Signs));
}

}  // namespace
}  // namespace mj
