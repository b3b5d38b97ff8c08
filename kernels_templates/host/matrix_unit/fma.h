#pragma once
// c (+)= a b in f32 by register blocks of kRows x (kColumns * 16): each step broadcasts kRows words
// of a and loads kColumns vectors of b. Rows must be a multiple of kRows.
#include "kernels_templates/host/common/vector.h"
#include "kernels_templates/host/matrix_unit/matrix_unit.h"

namespace mj {

template <int kRows, int kColumns>
MJ_INLINE void multiply_block(const float* __restrict a, int64_t lda, const float* __restrict b,
                              int64_t ldb, float* __restrict c, int64_t ldc, int64_t k,
                              bool accumulate) {
  F32x16 sums[kRows][kColumns];
  const float* rows[kRows];
#pragma clang loop unroll(full)
  for (int i = 0; i < kRows; ++i) {
    rows[i] = a + i * lda;
#pragma clang loop unroll(full)
    for (int j = 0; j < kColumns; ++j) sums[i][j] = splat(0.0f);
  }
  if (accumulate) {
#pragma clang loop unroll(full)
    for (int i = 0; i < kRows; ++i) {
#pragma clang loop unroll(full)
      for (int j = 0; j < kColumns; ++j) sums[i][j] = load(c + i * ldc + j * kLanes);
    }
  }
  for (int64_t p = 0; p < k; ++p, b += ldb) {
    F32x16 row[kColumns];
#pragma clang loop unroll(full)
    for (int j = 0; j < kColumns; ++j) row[j] = load(b + j * kLanes);
#pragma clang loop unroll(full)
    for (int i = 0; i < kRows; ++i) {
      const F32x16 left = splat(rows[i][p]);
#pragma clang loop unroll(full)
      for (int j = 0; j < kColumns; ++j) sums[i][j] = fma(left, row[j], sums[i][j]);
    }
  }
#pragma clang loop unroll(full)
  for (int i = 0; i < kRows; ++i) {
#pragma clang loop unroll(full)
    for (int j = 0; j < kColumns; ++j) store(c + i * ldc + j * kLanes, sums[i][j]);
  }
}

template <int kRows, int kColumns>
MJ_INLINE void multiply_f32(const float* a, int lda, const float* b, int ldb, float* c, int ldc,
                            int m, int n, int k, bool accumulate) {
  int j = 0;
  for (; j + kColumns * kLanes <= n; j += kColumns * kLanes) {
    for (int i = 0; i < m; i += kRows) {
      multiply_block<kRows, kColumns>(a + i * lda, lda, b + j, ldb, c + i * ldc + j, ldc, k,
                                      accumulate);
    }
  }
  if (kColumns > 1 && odd_column_blocks()) {
    for (; j < n; j += kLanes) {
      for (int i = 0; i < m; i += kRows) {
        multiply_block<kRows, 1>(a + i * lda, lda, b + j, ldb, c + i * ldc + j, ldc, k, accumulate);
      }
    }
  }
}

}  // namespace mj
