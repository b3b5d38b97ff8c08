#include "runtime/plan/elements.h"

#include <cmath>

namespace maskjit::plan {

uint16_t float_to_bfloat16(float value) {
  if (std::isnan(value)) return 0x7FC0;
  const auto bits = std::bit_cast<uint32_t>(value);
  return static_cast<uint16_t>((bits + 0x7FFFu + (bits >> 16 & 1u)) >> 16);
}

uint16_t float_to_half(float value) {
  const auto bits = std::bit_cast<uint32_t>(value);
  const uint32_t sign = bits >> 16 & 0x8000u;
  const uint32_t magnitude = bits & 0x7FFFFFFFu;
  uint32_t half;
  if (magnitude > 0x7F800000u) {
    half = 0x7E00u;
  } else if (magnitude >= 0x47800000u) {  // 65536 and more
    half = 0x7C00u;
  } else if (magnitude < 0x38800000u) {  // subnormal: 0.5 has its last place where theirs is
    half = std::bit_cast<uint32_t>(std::bit_cast<float>(magnitude) + 0.5f) - 0x3F000000u;
  } else {
    half = (magnitude - 0x38000000u + 0xFFFu + (magnitude >> 13 & 1u)) >> 13;
  }
  return static_cast<uint16_t>(half | sign);
}

float load_floating(const void* data, ElementType type, int64_t index) {
  switch (type) {
    case ElementType::F16:
      return half_to_float(static_cast<const uint16_t*>(data)[index]);
    case ElementType::BF16:
      return bfloat16_to_float(static_cast<const uint16_t*>(data)[index]);
    default:
      return static_cast<const float*>(data)[index];
  }
}

void store_floating(void* data, ElementType type, int64_t index, float value) {
  switch (type) {
    case ElementType::F16:
      static_cast<uint16_t*>(data)[index] = float_to_half(value);
      break;
    case ElementType::BF16:
      static_cast<uint16_t*>(data)[index] = float_to_bfloat16(value);
      break;
    default:
      static_cast<float*>(data)[index] = value;
  }
}

}  // namespace maskjit::plan
