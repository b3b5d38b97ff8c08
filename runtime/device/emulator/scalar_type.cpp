#include "runtime/device/emulator/scalar_type.h"

#include <iterator>

namespace maskjit::emulator {
namespace {

struct Entry {
  std::string_view name;
  int bytes;
  bool is_signed;
  bool is_float;
};

// In the order of the enumeration.
constexpr Entry kEntries[] = {
    {"pred", 0, false, false},  {"b8", 1, false, false},    {"u8", 1, false, false},
    {"s8", 1, true, false},     {"b16", 2, false, false},   {"u16", 2, false, false},
    {"s16", 2, true, false},    {"f16", 2, false, true},    {"bf16", 2, false, true},
    {"b32", 4, false, false},   {"u32", 4, false, false},   {"s32", 4, true, false},
    {"f32", 4, false, true},    {"tf32", 4, false, true},   {"f16x2", 4, false, true},
    {"bf16x2", 4, false, true}, {"u16x2", 4, false, false}, {"s16x2", 4, false, false},
    {"b64", 8, false, false},   {"u64", 8, false, false},   {"s64", 8, true, false},
    {"f64", 8, false, true},    {"f32x2", 8, false, true},  {"b128", 16, false, false},
};

const Entry& entry_of(ScalarType type) { return kEntries[static_cast<size_t>(type)]; }

}  // namespace

std::optional<ScalarType> parse_scalar_type(std::string_view name) {
  for (size_t i = 0; i < std::size(kEntries); ++i) {
    if (kEntries[i].name == name) return static_cast<ScalarType>(i);
  }
  return std::nullopt;
}

std::string_view name_of(ScalarType type) { return entry_of(type).name; }
int bytes_of(ScalarType type) { return entry_of(type).bytes; }
bool is_signed(ScalarType type) { return entry_of(type).is_signed; }
bool is_float(ScalarType type) { return entry_of(type).is_float; }

}  // namespace maskjit::emulator
