// f32 multiplication for 32 vector registers (AVX-512): 16 sums, 2 of b, broadcasts of a from
// memory.
#include "kernels_templates/host/matrix_unit/fma.h"
#include "kernels_templates/host/matrix_unit/matrix_unit.h"

extern "C" {

const int32_t mj_unit_k_words = 1;

void mj_unit_begin() {}
void mj_unit_end() {}

void mj_unit_multiply(const uint32_t* a, int32_t lda, const uint32_t* b, int32_t ldb, float* c,
                      int32_t ldc, int32_t m, int32_t n, int32_t k, bool accumulate) {
  mj::multiply_f32<8, 2>(reinterpret_cast<const float*>(a), lda, reinterpret_cast<const float*>(b),
                         ldb, c, ldc, m, n, k, accumulate);
}

void mj_unit_round(const float*, uint32_t*, int32_t) {}

}  // extern "C"
