#include "runtime/device/emulator/numbers.h"

#include <bit>
#include <cfenv>
#include <cmath>
#include <cstring>

namespace maskjit::emulator {
namespace {

// Evaluates `operation` under a rounding of the host. Its operands and result are volatile, so that
// nothing moves out of the region; this file is compiled with -frounding-math.
template <typename Operation>
auto with_rounding(Rounding rounding, Operation operation) {
  const int saved = std::fegetround();
  switch (rounding) {
    case Rounding::Zero:
      std::fesetround(FE_TOWARDZERO);
      break;
    case Rounding::Down:
      std::fesetround(FE_DOWNWARD);
      break;
    case Rounding::Up:
      std::fesetround(FE_UPWARD);
      break;
    case Rounding::Nearest:
    case Rounding::NearestAway:
      std::fesetround(FE_TONEAREST);
      break;
  }
  const volatile auto result = operation();
  std::fesetround(saved);
  return result;
}

template <typename T>
T add(T a, T b, Rounding rounding) {
  const volatile T x = a, y = b;
  return with_rounding(rounding, [&]() -> T { return x + y; });
}
template <typename T>
T mul(T a, T b, Rounding rounding) {
  const volatile T x = a, y = b;
  return with_rounding(rounding, [&]() -> T { return x * y; });
}
template <typename T>
T div(T a, T b, Rounding rounding) {
  const volatile T x = a, y = b;
  return with_rounding(rounding, [&]() -> T { return x / y; });
}
template <typename T>
T fused(T a, T b, T c, Rounding rounding) {
  const volatile T x = a, y = b, z = c;
  return with_rounding(rounding, [&]() -> T { return std::fma(T(x), T(y), T(z)); });
}
template <typename T>
T root(T a, Rounding rounding) {
  const volatile T x = a;
  return with_rounding(rounding, [&]() -> T { return std::sqrt(T(x)); });
}

// Is a value between `low` and the next one rounded up? `rest` of `unit` parts lies above low.
bool rounds_up(Rounding rounding, bool negative, bool odd, uint64_t rest, uint64_t half) {
  switch (rounding) {
    case Rounding::Nearest:
      return rest > half || (rest == half && odd);
    case Rounding::NearestAway:
      return rest >= half;
    case Rounding::Zero:
      return false;
    case Rounding::Down:
      return negative && rest != 0;
    case Rounding::Up:
      return !negative && rest != 0;
  }
  return false;
}

}  // namespace

uint32_t round_to_format(double value, FloatFormat format, Rounding rounding) {
  const int mantissa_bits = format.mantissa_bits;
  const int bias = (1 << (format.exponent_bits - 1)) - 1;
  const uint32_t infinity = ((1u << format.exponent_bits) - 1) << mantissa_bits;
  const uint64_t bits = std::bit_cast<uint64_t>(value);
  const bool negative = bits >> 63;
  const uint32_t sign = negative ? 1u << (format.exponent_bits + mantissa_bits) : 0;
  if (std::isnan(value)) return (1u << (format.exponent_bits + mantissa_bits)) - 1;
  if (std::isinf(value)) return sign | infinity;
  if (value == 0) return sign;
  int exponent = static_cast<int>(bits >> 52 & 0x7FF);
  uint64_t mantissa = bits & ((uint64_t{1} << 52) - 1);
  if (exponent == 0) {
    exponent = 1;
  } else {
    mantissa |= uint64_t{1} << 52;
  }
  // value = mantissa * 2^(exponent - 1075); subnormal f64 are below half of every format's least.
  int shift = 52 - mantissa_bits;
  int target = exponent - 1023 + bias;  // biased exponent of a normal result
  if (target < 1) {
    shift += 1 - target;
    target = 0;
  }
  if (shift > 62) {
    // Far below the least subnormal.
    mantissa = 1;
    shift = 62;
  }
  const uint64_t low = mantissa >> shift;
  const uint64_t rest = mantissa & ((uint64_t{1} << shift) - 1);
  const uint64_t half = uint64_t{1} << (shift - 1);
  uint64_t result = low + (rounds_up(rounding, negative, low & 1, rest, half) ? 1 : 0);
  // The hidden bit of a normal number counts as one exponent step; a carry becomes the next
  // exponent.
  if (target > 0) result += static_cast<uint64_t>(target - 1) << mantissa_bits;
  if (result >= infinity) {
    const bool to_infinity = rounding == Rounding::Nearest || rounding == Rounding::NearestAway ||
                             (rounding == Rounding::Up && !negative) ||
                             (rounding == Rounding::Down && negative);
    return sign | (to_infinity ? infinity : infinity - 1);
  }
  return sign | static_cast<uint32_t>(result);
}

float rounded_add(float a, float b, Rounding rounding) { return add(a, b, rounding); }
float rounded_mul(float a, float b, Rounding rounding) { return mul(a, b, rounding); }
float rounded_fma(float a, float b, float c, Rounding rounding) { return fused(a, b, c, rounding); }
float rounded_div(float a, float b, Rounding rounding) { return div(a, b, rounding); }
float rounded_sqrt(float a, Rounding rounding) { return root(a, rounding); }
double rounded_add(double a, double b, Rounding rounding) { return add(a, b, rounding); }
double rounded_mul(double a, double b, Rounding rounding) { return mul(a, b, rounding); }
double rounded_fma(double a, double b, double c, Rounding rounding) {
  return fused(a, b, c, rounding);
}
double rounded_div(double a, double b, Rounding rounding) { return div(a, b, rounding); }
double rounded_sqrt(double a, Rounding rounding) { return root(a, rounding); }

double fma_to_odd(double a, double b, double c) {
  const double product = a * b;  // exact
  const double sum = product + c;
  if (!std::isfinite(sum)) return sum;
  const double back = sum - product;
  const double error = (product - (sum - back)) + (c - back);
  if (error == 0) return sum;
  uint64_t bits = std::bit_cast<uint64_t>(sum);
  if ((bits & 1) == 0) bits = (error > 0) == (sum > 0) ? bits + 1 : bits - 1;
  return std::bit_cast<double>(bits);
}

double exact_log2(double a) { return std::log2(a); }
double exact_sin(double a) { return std::sin(a); }
double exact_cos(double a) { return std::cos(a); }
double exact_tanh(double a) { return std::tanh(a); }

namespace {

uint64_t read_register(const std::byte* registers, uint32_t slot, uint32_t bytes, int lane) {
  uint64_t value = 0;
  std::memcpy(&value, registers + slot + static_cast<size_t>(lane) * bytes, bytes);
  return value;
}

double float_value(uint64_t bits, ScalarType type) {
  const auto small = [&](int exponent_bits, int mantissa_bits) {
    const uint32_t b = static_cast<uint32_t>(bits);
    const uint32_t mantissa = b & ((1u << mantissa_bits) - 1);
    const int exponent = static_cast<int>(b >> mantissa_bits & ((1u << exponent_bits) - 1));
    const int bias = (1 << (exponent_bits - 1)) - 1;
    double value = 0;
    if (exponent == (1 << exponent_bits) - 1) {
      value = mantissa == 0 ? HUGE_VAL : std::nan("");
    } else if (exponent == 0) {
      value = std::ldexp(mantissa, 1 - bias - mantissa_bits);
    } else {
      value = std::ldexp(mantissa + (1u << mantissa_bits), exponent - bias - mantissa_bits);
    }
    return (b >> (exponent_bits + mantissa_bits) & 1) != 0 ? -value : value;
  };
  switch (type) {
    case ScalarType::F16:
      return small(5, 10);
    case ScalarType::BF16:
      return small(8, 7);
    case ScalarType::F32:
    case ScalarType::TF32:
      return std::bit_cast<float>(static_cast<uint32_t>(bits));
    default:
      return std::bit_cast<double>(bits);
  }
}

double flush(double value) {
  return std::fabs(value) < 0x1p-126 ? std::copysign(0.0, value) : value;
}

double round_integral(double value, Rounding rounding) {
  switch (rounding) {
    case Rounding::Nearest:
    case Rounding::NearestAway:
      return std::nearbyint(value);
    case Rounding::Zero:
      return std::trunc(value);
    case Rounding::Down:
      return std::floor(value);
    case Rounding::Up:
      return std::ceil(value);
  }
  return value;
}

// Bits of the integer type nearest to `value`; NaN becomes 0.
uint64_t clamp_to_integer(double value, ScalarType type) {
  if (std::isnan(value)) return 0;
  const int bits = 8 * bytes_of(type);
  if (is_signed(type)) {
    const double limit = std::ldexp(1.0, bits - 1);
    if (value >= limit) return (uint64_t{1} << (bits - 1)) - 1;
    if (value < -limit) return ~uint64_t{0} << (bits - 1);
    return static_cast<uint64_t>(static_cast<int64_t>(value));
  }
  if (value <= 0) return 0;
  if (value >= std::ldexp(1.0, bits)) return bits == 64 ? ~uint64_t{0} : (uint64_t{1} << bits) - 1;
  return static_cast<uint64_t>(value);
}

uint64_t float_bits(double value, ScalarType type, const Modes& modes) {
  uint64_t bits = 0;
  switch (type) {
    case ScalarType::F16:
      bits = round_to_format(value, kF16, modes.rounding);
      break;
    case ScalarType::BF16:
      bits = round_to_format(value, kBF16, modes.rounding);
      break;
    case ScalarType::TF32:
      bits = std::isnan(value)
                 ? 0x7FFFFFFFu
                 : static_cast<uint64_t>(round_to_format(value, kTF32, modes.rounding)) << 13;
      break;
    case ScalarType::F32:
      bits = round_to_format(value, kF32, modes.rounding);
      break;
    default:
      bits = std::bit_cast<uint64_t>(value);
      break;
  }
  if (modes.wrap && std::isfinite(value)) {
    // .satfinite: what would be infinite is the largest number.
    const uint64_t infinity = type == ScalarType::F16    ? 0x7C00
                              : type == ScalarType::BF16 ? 0x7F80
                                                         : 0x7F800000;
    const uint64_t sign = bytes_of(type) == 2 ? 0x8000 : 0x80000000u;
    const uint64_t step = type == ScalarType::TF32 ? 1u << 13 : 1;
    if ((bits & ~sign) == infinity) bits -= step;
  }
  return bits;
}

float integer_to_f32(int64_t value, bool is_unsigned, Rounding rounding) {
  const volatile int64_t x = value;
  return with_rounding(rounding, [&]() -> float {
    return is_unsigned ? static_cast<float>(static_cast<uint64_t>(x)) : static_cast<float>(x);
  });
}
double integer_to_f64(int64_t value, bool is_unsigned, Rounding rounding) {
  const volatile int64_t x = value;
  return with_rounding(rounding, [&]() -> double {
    return is_unsigned ? static_cast<double>(static_cast<uint64_t>(x)) : static_cast<double>(x);
  });
}

uint64_t convert_lane(uint64_t raw, const Instruction& in) {
  const ScalarType to = in.type, from = in.source_type;
  const Modes& modes = in.modes;
  if (is_float(from)) {
    double value = float_value(raw, from);
    if (modes.flush && from != ScalarType::F64) value = flush(value);
    if (modes.integral) value = round_integral(value, modes.rounding);
    if (!is_float(to)) return clamp_to_integer(value, to);
    if (modes.saturate) value = value > 0 ? std::fmin(value, 1.0) : 0.0;
    if (modes.relu && (value < 0 || (value == 0 && std::signbit(value)))) value = 0;
    if (from == ScalarType::F64 && to == ScalarType::F64) return std::bit_cast<uint64_t>(value);
    uint64_t bits = float_bits(value, to, modes);
    if (modes.flush && to == ScalarType::F32 && (bits & 0x7F800000) == 0) bits &= 0x80000000u;
    return bits;
  }
  const int from_bits = 8 * bytes_of(from);
  uint64_t value = from_bits == 64 ? raw : raw & ((uint64_t{1} << from_bits) - 1);
  if (is_signed(from) && from_bits < 64 && (value >> (from_bits - 1) & 1) != 0)
    value |= ~uint64_t{0} << from_bits;
  if (is_float(to)) {
    const auto x = static_cast<int64_t>(value);
    const bool is_unsigned = !is_signed(from);
    if (to == ScalarType::F64)
      return std::bit_cast<uint64_t>(integer_to_f64(x, is_unsigned, modes.rounding));
    if (to == ScalarType::F32)
      return std::bit_cast<uint32_t>(integer_to_f32(x, is_unsigned, modes.rounding));
    // Rounded once: towards zero in f64, with what was lost in the last bit.
    double wide = integer_to_f64(x, is_unsigned, Rounding::Zero);
    const bool exact = is_unsigned ? wide < 0x1p64 && static_cast<uint64_t>(wide) == value
                                   : static_cast<int64_t>(wide) == x;
    if (!exact) wide = std::bit_cast<double>(std::bit_cast<uint64_t>(wide) | 1);
    return float_bits(wide, to, modes);
  }
  if (modes.saturate) {
    const int bits = 8 * bytes_of(to);
    const auto x = static_cast<int64_t>(value);
    const bool negative = is_signed(from) && x < 0;
    if (is_signed(to)) {
      const int64_t high = static_cast<int64_t>(~uint64_t{0} >> (65 - bits)), low = -high - 1;
      if (negative) return static_cast<uint64_t>(x < low ? low : x);
      return value > static_cast<uint64_t>(high) ? static_cast<uint64_t>(high) : value;
    }
    const uint64_t high = ~uint64_t{0} >> (64 - bits);
    return negative ? 0 : value > high ? high : value;
  }
  return value;
}

}  // namespace

void convert_any(std::byte* registers, uint32_t mask, const Instruction& in) {
  const uint32_t to_bytes = in.immediate >> 8, from_bytes = in.immediate & 255;
  const int bits = 8 * bytes_of(in.type);
  for (int lane = 0; lane < kLanes; ++lane) {
    if ((mask >> lane & 1) == 0) continue;
    uint64_t value = convert_lane(read_register(registers, in.operands[1], from_bytes, lane), in);
    // A wider register holds the value extended by its sign, if it has one.
    if (bits < 64) {
      value &= (uint64_t{1} << bits) - 1;
      if (is_signed(in.type) && (value >> (bits - 1) & 1) != 0) value |= ~uint64_t{0} << bits;
    }
    std::memcpy(registers + in.operands[0] + static_cast<size_t>(lane) * to_bytes, &value,
                to_bytes);
  }
}

}  // namespace maskjit::emulator
