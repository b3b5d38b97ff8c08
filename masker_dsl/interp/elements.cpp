#include "masker_dsl/interp/elements.h"

#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

#include "masker_dsl/ir/internal_error.h"

namespace maskjit::interp {
namespace {

template <typename T>
T read(const void* data, int64_t index) {
  T value;
  std::memcpy(&value, static_cast<const char*>(data) + index * static_cast<int64_t>(sizeof(T)),
              sizeof(T));
  return value;
}

ir::Word integer(int64_t value) {
  ir::Word word;
  word.integer = value;
  return word;
}

ir::Word real(double value) {
  ir::Word word;
  word.real = value;
  return word;
}

}  // namespace

double half_to_double(uint16_t bits) {
  const int exponent = (bits >> 10) & 31;
  const int fraction = bits & 1023;
  double magnitude = 0;
  if (exponent == 31) {
    magnitude = fraction != 0 ? std::numeric_limits<double>::quiet_NaN()
                              : std::numeric_limits<double>::infinity();
  } else if (exponent == 0) {
    magnitude = std::ldexp(fraction, -24);
  } else {
    magnitude = std::ldexp(fraction + 1024, exponent - 25);
  }
  return (bits & 0x8000) != 0 ? -magnitude : magnitude;
}

double bfloat16_to_double(uint16_t bits) {
  return static_cast<double>(std::bit_cast<float>(static_cast<uint32_t>(bits) << 16));
}

ir::Word load_element(const void* data, ir::Element element, int64_t index) {
  switch (element) {
    case ir::Element::Bool:
      return integer(read<uint8_t>(data, index) != 0 ? 1 : 0);
    case ir::Element::Bit:
      return integer(static_cast<int64_t>(read<uint64_t>(data, index >> 6) >> (index & 63) & 1));
    case ir::Element::I8:
      return integer(read<int8_t>(data, index));
    case ir::Element::U8:
      return integer(read<uint8_t>(data, index));
    case ir::Element::I16:
      return integer(read<int16_t>(data, index));
    case ir::Element::I32:
      return integer(read<int32_t>(data, index));
    case ir::Element::I64:
      return integer(read<int64_t>(data, index));
    case ir::Element::F16:
      return real(half_to_double(read<uint16_t>(data, index)));
    case ir::Element::BF16:
      return real(bfloat16_to_double(read<uint16_t>(data, index)));
    case ir::Element::F32:
      return real(static_cast<double>(read<float>(data, index)));
    case ir::Element::F64:
      return real(read<double>(data, index));
  }
  ir::internal_error(__FILE__, __LINE__, "unknown element type");
}

}  // namespace maskjit::interp
