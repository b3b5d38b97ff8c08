#pragma once
// Loads of f32, f16 and bf16 rows widened to f32, and the rounding stores.
#include "kernels_templates/host/common/vector.h"
#include "kernels_templates/include/hooks.h"

// Runs `call` with kElement, a constant, equal to `element`, which is a floating-point type.
#define MJ_FOR_ELEMENT(element, call)   \
  switch (element) {                    \
    case MJ_F32: {                      \
      constexpr int kElement = MJ_F32;  \
      call;                             \
      break;                            \
    }                                   \
    case MJ_F16: {                      \
      constexpr int kElement = MJ_F16;  \
      call;                             \
      break;                            \
    }                                   \
    default: {                          \
      constexpr int kElement = MJ_BF16; \
      call;                             \
      break;                            \
    }                                   \
  }

namespace mj {

MJ_INLINE int element_bytes(int element) {
  return element == MJ_F32 ? 4 : element == MJ_BOOL ? 1 : 2;
}

MJ_INLINE const void* row_of(const MjOperand& x, int element, int64_t batch, int64_t head,
                             int64_t row) {
  const int64_t offset = batch * x.batch_stride + head * x.head_stride + row * x.row_stride;
  return static_cast<const char*>(x.data) + offset * element_bytes(element);
}

// Exact, subnormals included: shift into place and multiply by 2^112.
MJ_INLINE F32x16 widen_f16(U32x16 h) {
  const U32x16 magnitude = h & 0x7FFFu;
  const F32x16 value = as_floats(magnitude << 13) * splat(0x1p112f);
  const U32x16 special = as_words(value) | 0x7F800000u;
  const U32x16 bits = magnitude >= 0x7C00u ? special : as_words(value);
  return as_floats(bits | ((h & 0x8000u) << 16));
}

MJ_INLINE F32x16 widen(U32x16 halves, int element) {
  return element == MJ_BF16 ? as_floats(halves << 16) : widen_f16(halves);
}

// Sixteen elements from `row` + `column`.
MJ_INLINE F32x16 load_elements(const void* row, int64_t column, int element) {
  if (element == MJ_F32) return load(static_cast<const float*>(row) + column);
  const U16x16u halves =
      *reinterpret_cast<const U16x16u*>(static_cast<const uint16_t*>(row) + column);
  return widen(__builtin_convertvector(halves, U32x16), element);
}

// A row shorter than a vector: its `count` (1 to 15) elements, the rest 0; nothing past them is
// read.
MJ_OUTLINE F32x16 load_short_row(const void* row, int count, int element) {
  uint32_t bits[kLanes] = {};
#pragma clang loop unroll(disable) vectorize(disable)
  for (int i = 0; i < count; ++i) {
    bits[i] = element == MJ_F32 ? static_cast<const uint32_t*>(row)[i]
                                : static_cast<const uint16_t*>(row)[i];
  }
  const U32x16 v = load_words(bits);
  return element == MJ_F32 ? as_floats(v) : widen(v, element);
}

// Vectors that cover `columns` columns: one every kLanes, the last one moved back to end with the
// row, so that a row of at least kLanes columns needs no partial load.
MJ_INLINE int vector_start(int d, int columns) {
  return d + kLanes <= columns || columns < kLanes ? d : columns - kLanes;
}
MJ_INLINE F32x16 load_columns(const void* row, int d, int columns, int element) {
  return columns < kLanes ? load_short_row(row, columns, element)
                          : load_elements(row, vector_start(d, columns), element);
}

MJ_INLINE uint32_t bits_of(float v) { return __builtin_bit_cast(uint32_t, v); }
MJ_INLINE float float_of(uint32_t v) { return __builtin_bit_cast(float, v); }

MJ_INLINE float widen_scalar(uint16_t h, int element) {
  if (element == MJ_BF16) return float_of(static_cast<uint32_t>(h) << 16);
  const uint32_t magnitude = h & 0x7FFFu;
  uint32_t bits = bits_of(float_of(magnitude << 13) * 0x1p112f);
  if (magnitude >= 0x7C00u) bits |= 0x7F800000u;
  return float_of(bits | ((h & 0x8000u) << 16));
}

MJ_INLINE float load_element(const void* row, int64_t column, int element) {
  if (element == MJ_F32) return static_cast<const float*>(row)[column];
  return widen_scalar(static_cast<const uint16_t*>(row)[column], element);
}

// Round to nearest even; NaN becomes the quiet NaN.
MJ_INLINE uint16_t round_bf16(float v) {
  const uint32_t bits = bits_of(v);
  if (v != v) return 0x7FC0;
  return static_cast<uint16_t>((bits + 0x7FFFu + ((bits >> 16) & 1u)) >> 16);
}

MJ_INLINE uint16_t round_f16(float v) {
  const uint32_t bits = bits_of(v);
  const uint32_t sign = (bits >> 16) & 0x8000u;
  const uint32_t magnitude = bits & 0x7FFFFFFFu;
  uint32_t result;
  if (v != v) {
    result = 0x7E00u;
  } else if (magnitude >= 0x47800000u) {  // 65536 and more
    result = 0x7C00u;
  } else if (magnitude <
             0x38800000u) {  // below 2^-14: adding 0.5 leaves the subnormal in the low bits
    result = bits_of(float_of(magnitude) + 0.5f) - 0x3F000000u;
  } else {
    const uint32_t odd = (magnitude >> 13) & 1u;
    result = (magnitude - 0x38000000u + 0xFFFu + odd) >> 13;
  }
  return static_cast<uint16_t>(result | sign);
}

MJ_INLINE void store_element(void* row, int64_t column, float v, int element) {
  if (element == MJ_F32) {
    static_cast<float*>(row)[column] = v;
  } else {
    static_cast<uint16_t*>(row)[column] = element == MJ_BF16 ? round_bf16(v) : round_f16(v);
  }
}

// One column of the additive mask as something to add: Boolean masks give 0 or -inf.
MJ_INLINE float load_additive(const void* row, int64_t column) {
  if (mj_additive == MJ_BOOL) {
    return static_cast<const uint8_t*>(row)[column] != 0 ? 0.0f : -__builtin_inff();
  }
  return load_element(row, column, mj_additive);
}

}  // namespace mj
