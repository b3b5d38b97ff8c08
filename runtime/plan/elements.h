#pragma once
// Floating elements of views <-> float, rounding to nearest even.
#include <bit>
#include <cstdint>

#include "runtime/api/tensor_view.h"

namespace maskjit::plan {

inline float half_to_float(uint16_t bits) {
  const uint32_t magnitude = bits & 0x7FFFu;
  float value = std::bit_cast<float>(magnitude << 13) * 0x1p112f;
  if (magnitude >= 0x7C00u) {
    value = std::bit_cast<float>(std::bit_cast<uint32_t>(value) | 0x7F800000u);
  }
  return (bits & 0x8000u) != 0 ? -value : value;
}

inline float bfloat16_to_float(uint16_t bits) {
  return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16);
}

uint16_t float_to_half(float value);
uint16_t float_to_bfloat16(float value);

// `type` is F32, F16 or BF16; `index` in elements.
float load_floating(const void* data, ElementType type, int64_t index);
void store_floating(void* data, ElementType type, int64_t index, float value);

}  // namespace maskjit::plan
