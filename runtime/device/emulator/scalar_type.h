#pragma once
// The fundamental types of PTX operands, as they are written after a dot.
#include <cstdint>
#include <optional>
#include <string_view>

namespace maskjit::emulator {

enum class ScalarType : uint8_t {
  Pred,
  B8,
  U8,
  S8,
  B16,
  U16,
  S16,
  F16,
  BF16,
  B32,
  U32,
  S32,
  F32,
  TF32,
  F16x2,
  BF16x2,
  U16x2,
  S16x2,
  B64,
  U64,
  S64,
  F64,
  F32x2,
  B128,
};

// "b32" -> B32; nothing for what is no type.
std::optional<ScalarType> parse_scalar_type(std::string_view name);
std::string_view name_of(ScalarType type);

// Bytes in memory and in a register; a predicate has none in memory.
int bytes_of(ScalarType type);
bool is_signed(ScalarType type);  // S8 .. S64
bool is_float(ScalarType type);   // also the packed ones

}  // namespace maskjit::emulator
