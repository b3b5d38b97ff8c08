// c (+)= a b in f32 by register blocks of kRows x (kColumns * 16): each step broadcasts kRows words
// of a and loads a vector of kColumns panels of b. Beside a neighbour on the same core a thread
// issues fewer instructions a cycle: the blocks keep few of them other than FMAs.
#include "kernels_templates/host/common/vector.h"
#include "kernels_templates/host/microkernels/microkernels.h"

namespace mj {
namespace {

template <int kRows, int kColumns>
MJ_INLINE void multiply_block(const float* __restrict a, int64_t lda, const float* __restrict b,
                              int64_t ldb, int64_t panel, float* __restrict c, int64_t ldc,
                              int64_t k, bool accumulate) {
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
  // Unrolled, the addresses of the rows are computed once for four steps.
#pragma clang loop unroll_count(4)
  for (int64_t p = 0; p < k; ++p, b += ldb) {
    F32x16 row[kColumns];
#pragma clang loop unroll(full)
    for (int j = 0; j < kColumns; ++j) row[j] = load(b + j * panel);
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

struct Product {
  const float* a;
  int64_t lda;
  const float* b;
  int64_t ldb, panel;
  float* c;
  int64_t ldc;
  int m, k;
  bool accumulate;

  // kColumns panels and the rows from i on.
  template <int kRows, int kColumns>
  MJ_MEMBER void block(int i) const {
    multiply_block<kRows, kColumns>(a + i * lda, lda, b, ldb, panel, c + i * ldc, ldc, k,
                                    accumulate);
  }
  MJ_MEMBER void next(int columns) {
    b += columns * panel;
    c += columns * kLanes;
  }
};

// b in panels of 16 columns, `panel` floats apart, whose rows are ldb apart. m is a multiple of 16.
MJ_INLINE void multiply(Product p, int n) {
  int columns = n / kLanes;
#ifdef __AVX512F__
  // 32 vector registers: 24 or 16 sums, the others for b and broadcasts of a.
  for (; columns >= 4; columns -= 4, p.next(4)) {
    int i = 0;
    for (; p.m - i >= 12 || (p.m - i) % 4 != 0; i += 6) p.block<6, 4>(i);
    for (; i < p.m; i += 4) p.block<4, 4>(i);
  }
  for (; columns >= 2; columns -= 2, p.next(2)) {
    for (int i = 0; i < p.m; i += 8) p.block<8, 2>(i);
  }
  constexpr int kRows = 8;
#else
  // 16 vector registers, of which an F32x16 takes two: 8 sums, 2 of b, 1 of a.
  constexpr int kRows = 4;
#endif
  for (; columns > 0; --columns, p.next(1)) {
    for (int i = 0; i < p.m; i += kRows) p.block<kRows, 1>(i);
  }
}

}  // namespace
}  // namespace mj

extern "C" {

void mj_multiply_f32(const uint32_t* a, int32_t lda, const uint32_t* b, int32_t panel, float* c,
                     int32_t ldc, int32_t m, int32_t n, int32_t k, bool accumulate) {
  mj::multiply({reinterpret_cast<const float*>(a), lda, reinterpret_cast<const float*>(b),
                mj::kLanes, panel, c, ldc, m, k, accumulate},
               n);
}

void mj_multiply_rows(const float* a, int64_t lda, const float* b, int64_t ldb, float* c,
                      int64_t ldc, int32_t m, int32_t n, int32_t k) {
  mj::multiply({a, lda, b, ldb, mj::kLanes, c, ldc, m, k, false}, n);
}

}  // extern "C"
