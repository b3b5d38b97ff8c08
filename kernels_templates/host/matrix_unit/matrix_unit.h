#pragma once
// The matrix unit of a host kernel: one of the files beside this header, chosen by the target.
// Operands are rows of 32-bit words: one f32 each, or (mj_pairs) two bf16 of consecutive inner
// indices.
#include "kernels_templates/include/hooks.h"

extern "C" {
// Before the first and after the last product of an item.
void mj_unit_begin();
void mj_unit_end();
// c[m x n] = a[m x k] b[k x n], added to c if `accumulate`. m and n are multiples of 16, k counts
// words and is a multiple of mj_unit_k_words. Leading dimensions in words; c is f32.
void mj_unit_multiply(const uint32_t* a, int32_t lda, const uint32_t* b, int32_t ldb, float* c,
                      int32_t ldc, int32_t m, int32_t n, int32_t k, bool accumulate);
// Rounds sixteen f32 times `vectors` to words (pairs of bf16); used with mj_pairs only.
void mj_unit_round(const float* from, uint32_t* to, int32_t vectors);
// Words that the inner dimension is padded to: 1 or 16.
extern const int32_t mj_unit_k_words;
}

namespace mj {

// Can a product have an odd number of 16-column blocks? Key tiles never do, value rows may.
static inline __attribute__((always_inline)) bool odd_column_blocks() {
  return (mj_head_dim_v + 15) / 16 % 2 != 0;
}

}  // namespace mj
