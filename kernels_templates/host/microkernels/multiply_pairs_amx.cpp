// bf16 multiplication by AMX: tiles of 16 x 16 f32, each tdpbf16ps adds 16 x 32 by 32 x 16
// products. Blocks of 2 x 2 result tiles (registers 0 to 3), two tiles of a (4, 5) and two of b (6,
// 7).
#include <immintrin.h>

#include "kernels_templates/host/common/vector.h"
#include "kernels_templates/host/microkernels/microkernels.h"

namespace {

struct alignas(64) TileConfig {
  uint8_t palette;
  uint8_t start_row;
  uint8_t reserved[14];
  uint16_t bytes_per_row[16];
  uint8_t rows[16];
};

}  // namespace

extern "C" {

void mj_pairs_begin() {
  TileConfig config = {};
  config.palette = 1;
  for (int i = 0; i < 8; ++i) {
    config.bytes_per_row[i] = 64;
    config.rows[i] = 16;
  }
  _tile_loadconfig(&config);
}

void mj_pairs_end() { _tile_release(); }

void mj_multiply_pairs(const uint32_t* a, int32_t lda, const uint32_t* b, int32_t panel, float* c,
                       int32_t ldc, int32_t m, int32_t n, int32_t k, bool accumulate) {
  const int64_t a_bytes = int64_t{4} * lda;
  constexpr int64_t kPanelBytes = 64;
  const int64_t c_bytes = int64_t{4} * ldc;
  int32_t i = 0;
  for (; i + 32 <= m; i += 32) {
    int32_t j = 0;
    for (; j + 32 <= n; j += 32) {
      float* c0 = c + i * ldc + j;
      float* c1 = c0 + 16 * ldc;
      if (accumulate) {
        _tile_loadd(0, c0, c_bytes);
        _tile_loadd(1, c0 + 16, c_bytes);
        _tile_loadd(2, c1, c_bytes);
        _tile_loadd(3, c1 + 16, c_bytes);
      } else {
        _tile_zero(0);
        _tile_zero(1);
        _tile_zero(2);
        _tile_zero(3);
      }
      for (int32_t p = 0; p < k; p += 16) {
        const uint32_t* a0 = a + i * lda + p;
        const uint32_t* b0 = b + j / 16 * int64_t{panel} + p * 16;
        _tile_loadd(4, a0, a_bytes);
        _tile_loadd(6, b0, kPanelBytes);
        _tile_loadd(7, b0 + panel, kPanelBytes);
        _tile_loadd(5, a0 + 16 * lda, a_bytes);
        _tile_dpbf16ps(0, 4, 6);
        _tile_dpbf16ps(1, 4, 7);
        _tile_dpbf16ps(2, 5, 6);
        _tile_dpbf16ps(3, 5, 7);
      }
      _tile_stored(0, c0, c_bytes);
      _tile_stored(1, c0 + 16, c_bytes);
      _tile_stored(2, c1, c_bytes);
      _tile_stored(3, c1 + 16, c_bytes);
    }
    for (; j < n; j += 16) {
      float* c0 = c + i * ldc + j;
      float* c1 = c0 + 16 * ldc;
      if (accumulate) {
        _tile_loadd(0, c0, c_bytes);
        _tile_loadd(2, c1, c_bytes);
      } else {
        _tile_zero(0);
        _tile_zero(2);
      }
      for (int32_t p = 0; p < k; p += 16) {
        _tile_loadd(4, a + i * lda + p, a_bytes);
        _tile_loadd(5, a + (i + 16) * lda + p, a_bytes);
        _tile_loadd(6, b + j / 16 * int64_t{panel} + p * 16, kPanelBytes);
        _tile_dpbf16ps(0, 4, 6);
        _tile_dpbf16ps(2, 5, 6);
      }
      _tile_stored(0, c0, c_bytes);
      _tile_stored(2, c1, c_bytes);
    }
  }
  for (; i < m; i += 16) {
    for (int32_t j = 0; j < n; j += 16) {
      float* c0 = c + i * ldc + j;
      if (accumulate) {
        _tile_loadd(0, c0, c_bytes);
      } else {
        _tile_zero(0);
      }
      for (int32_t p = 0; p < k; p += 16) {
        _tile_loadd(4, a + i * lda + p, a_bytes);
        _tile_loadd(6, b + j / 16 * int64_t{panel} + p * 16, kPanelBytes);
        _tile_dpbf16ps(0, 4, 6);
      }
      _tile_stored(0, c0, c_bytes);
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
