// bf16 multiplication by vdpbf16ps: each lane adds two products of bf16 to an f32.
#include <immintrin.h>

#include "kernels_templates/host/common/vector.h"
#include "kernels_templates/host/microkernels/microkernels.h"

namespace {

template <int kRows, int kColumns>
static inline __attribute__((always_inline)) void multiply_block(
    const uint32_t* __restrict a, int64_t lda, const uint32_t* __restrict b, int64_t panel,
    float* __restrict c, int64_t ldc, int64_t k, bool accumulate) {
  __m512 sums[kRows][kColumns];
  const uint32_t* rows[kRows];
#pragma clang loop unroll(full)
  for (int i = 0; i < kRows; ++i) {
    rows[i] = a + i * lda;
#pragma clang loop unroll(full)
    for (int j = 0; j < kColumns; ++j) sums[i][j] = _mm512_setzero_ps();
  }
  if (accumulate) {
#pragma clang loop unroll(full)
    for (int i = 0; i < kRows; ++i) {
#pragma clang loop unroll(full)
      for (int j = 0; j < kColumns; ++j) sums[i][j] = _mm512_loadu_ps(c + i * ldc + j * 16);
    }
  }
  // Unrolled, the addresses of the rows are computed once for four steps.
#pragma clang loop unroll_count(4)
  for (int64_t p = 0; p < k; ++p, b += 16) {
    __m512bh row[kColumns];
#pragma clang loop unroll(full)
    for (int j = 0; j < kColumns; ++j) row[j] = (__m512bh)_mm512_loadu_si512(b + j * panel);
#pragma clang loop unroll(full)
    for (int i = 0; i < kRows; ++i) {
      const __m512bh left = (__m512bh)_mm512_set1_epi32(static_cast<int>(rows[i][p]));
#pragma clang loop unroll(full)
      for (int j = 0; j < kColumns; ++j) sums[i][j] = _mm512_dpbf16_ps(sums[i][j], left, row[j]);
    }
  }
#pragma clang loop unroll(full)
  for (int i = 0; i < kRows; ++i) {
#pragma clang loop unroll(full)
    for (int j = 0; j < kColumns; ++j) _mm512_storeu_ps(c + i * ldc + j * 16, sums[i][j]);
  }
}

}  // namespace

extern "C" {

void mj_pairs_begin() {}
void mj_pairs_end() {}

void mj_multiply_pairs(const uint32_t* a, int32_t lda, const uint32_t* b, int32_t panel, float* c,
                       int32_t ldc, int32_t m, int32_t n, int32_t k, bool accumulate) {
  int32_t j = 0;
  for (; j + 32 <= n; j += 32) {
    for (int32_t i = 0; i < m; i += 8) {
      multiply_block<8, 2>(a + i * lda, lda, b + j / 16 * int64_t{panel}, panel, c + i * ldc + j,
                           ldc, k, accumulate);
    }
  }
  for (; j < n; j += 16) {
    for (int32_t i = 0; i < m; i += 8) {
      multiply_block<8, 1>(a + i * lda, lda, b + j / 16 * int64_t{panel}, panel, c + i * ldc + j,
                           ldc, k, accumulate);
    }
  }
}

void mj_round_pairs(const float* from, uint32_t* to, int32_t count) {
  for (int32_t i = 0; i < count; i += 16) {
    const __m256bh half = _mm512_cvtneps_pbh(_mm512_loadu_ps(from + i));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to + i / 2), (__m256i)half);
  }
}

}  // extern "C"
