#pragma once
// Floating-point formats and roundings that the host has no instruction for. Scalar; each function
// gives the correctly rounded result.
#include <cstdint>

#include "runtime/device/emulator/instruction.h"

namespace maskjit::emulator {

struct FloatFormat {
  int exponent_bits;
  int mantissa_bits;
};
inline constexpr FloatFormat kF16 = {5, 10};
inline constexpr FloatFormat kBF16 = {8, 7};
inline constexpr FloatFormat kTF32 = {8, 10};
inline constexpr FloatFormat kF32 = {8, 23};

// The bits of `value` in `format`: NaN becomes the canonical NaN of PTX (all ones but the sign).
uint32_t round_to_format(double value, FloatFormat format, Rounding rounding);

// a + b, a * b, a * b + c, a / b, sqrt(a) with a directed rounding.
float rounded_add(float a, float b, Rounding rounding);
float rounded_mul(float a, float b, Rounding rounding);
float rounded_fma(float a, float b, float c, Rounding rounding);
float rounded_div(float a, float b, Rounding rounding);
float rounded_sqrt(float a, Rounding rounding);
double rounded_add(double a, double b, Rounding rounding);
double rounded_mul(double a, double b, Rounding rounding);
double rounded_fma(double a, double b, double c, Rounding rounding);
double rounded_div(double a, double b, Rounding rounding);
double rounded_sqrt(double a, Rounding rounding);

// a * b + c of numbers with at most 24 bits, rounded to odd, so that a second rounding to f16 or
// bf16 is right.
double fma_to_odd(double a, double b, double c);

// The mathematical function in f64.
double exact_log2(double a);
double exact_sin(double a);
double exact_cos(double a);
double exact_tanh(double a);

// cvt between any two types; immediate: bytes of the destination's and the source's register.
void convert_any(std::byte* registers, uint32_t mask, const Instruction& instruction);

}  // namespace maskjit::emulator
