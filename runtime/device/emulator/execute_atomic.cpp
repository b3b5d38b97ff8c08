// atom and red.
#include <fmt/format.h>

#include <bit>
#include <cstring>

#include "runtime/device/emulator/executor.h"
#include "runtime/device/emulator/generic_address.h"
#include "runtime/device/emulator/numbers.h"

namespace maskjit::emulator {
namespace {

uint64_t value_at(std::byte* registers, uint32_t slot, uint32_t lane, uint32_t bytes) {
  uint64_t value = 0;
  std::memcpy(&value, registers + slot + size_t{lane} * bytes, bytes);
  return value;
}

template <typename T, typename F>
uint64_t by_value(uint64_t old, uint64_t operand, F f) {
  T a, b;
  std::memcpy(&a, &old, sizeof(T));
  std::memcpy(&b, &operand, sizeof(T));
  const T result = f(a, b);
  uint64_t bits = 0;
  std::memcpy(&bits, &result, sizeof(T));
  return bits;
}

template <typename F>
uint64_t by_float(uint64_t old, uint64_t operand, ScalarType type, F f) {
  const auto half = [&](uint32_t a, uint32_t b, FloatFormat format) {
    const auto widen = [&](uint32_t h) -> float {
      if (format.exponent_bits == 8) return std::bit_cast<float>(h << 16);
      const uint32_t magnitude = h & 0x7FFF, sign = (h & 0x8000u) << 16;
      if (magnitude >> 10 == 0) {
        const float small = static_cast<float>(magnitude) * 0x1p-24f;
        return sign != 0 ? -small : small;
      }
      return std::bit_cast<float>(sign |
                                  (magnitude >> 10 == 31 ? 0x7F800000u | (magnitude & 0x3FFu) << 13
                                                         : (magnitude << 13) + (112u << 23)));
    };
    return round_to_format(f(widen(a), widen(b)), format, Rounding::Nearest);
  };
  const auto a = static_cast<uint32_t>(old), b = static_cast<uint32_t>(operand);
  switch (type) {
    case ScalarType::F32:
      return by_value<float>(old, operand,
                             [&](float x, float y) { return static_cast<float>(f(x, y)); });
    case ScalarType::F64:
      return by_value<double>(old, operand, [&](double x, double y) { return f(x, y); });
    case ScalarType::F16:
      return half(a & 0xFFFF, b & 0xFFFF, kF16);
    case ScalarType::BF16:
      return half(a & 0xFFFF, b & 0xFFFF, kBF16);
    case ScalarType::F16x2:
      return half(a & 0xFFFF, b & 0xFFFF, kF16) | half(a >> 16, b >> 16, kF16) << 16;
    default:
      return half(a & 0xFFFF, b & 0xFFFF, kBF16) | half(a >> 16, b >> 16, kBF16) << 16;
  }
}

uint64_t apply(AtomicOp op, ScalarType type, uint64_t old, uint64_t b, uint64_t c) {
  const auto minimum = [](auto x, auto y) { return y < x ? y : x; };
  const auto maximum = [](auto x, auto y) { return x < y ? y : x; };
  switch (op) {
    case AtomicOp::And:
      return old & b;
    case AtomicOp::Or:
      return old | b;
    case AtomicOp::Xor:
      return old ^ b;
    case AtomicOp::Exchange:
      return b;
    case AtomicOp::CompareSwap:
      return old == b ? c : old;
    case AtomicOp::Inc:
      return old >= b ? 0 : old + 1;
    case AtomicOp::Dec:
      return old == 0 || old > b ? b : old - 1;
    case AtomicOp::Add:
      if (is_float(type)) return by_float(old, b, type, [](auto x, auto y) { return x + y; });
      return old + b;
    case AtomicOp::Min:
    case AtomicOp::Max: {
      const bool is_min = op == AtomicOp::Min;
      const auto pick = [&](auto x, auto y) { return is_min ? minimum(x, y) : maximum(x, y); };
      if (is_float(type)) {
        // A NaN loses.
        return by_float(old, b, type, [&](auto x, auto y) {
          return x != x ? y : y != y ? x : pick(x, y);
        });
      }
      switch (type) {
        case ScalarType::S32:
          return by_value<int32_t>(old, b, pick);
        case ScalarType::U32:
          return by_value<uint32_t>(old, b, pick);
        case ScalarType::S64:
          return by_value<int64_t>(old, b, pick);
        default:
          return by_value<uint64_t>(old, b, pick);
      }
    }
  }
  return old;
}

}  // namespace

bool Executor::atomic(Warp& warp, std::byte* registers, uint32_t mask, const Instruction& in) {
  const MemoryAccess& access =
      program_.functions[layout_.functions[part_].function].accesses[in.detail];
  const bool returns = in.kind == Kind::Atomic;
  const int first = returns ? 1 : 0;
  const uint32_t bytes = access.element_bytes;
  const Addresses at = addresses(registers, in.operands[first], access);
  const auto op = static_cast<AtomicOp>(in.immediate);
  const uint64_t ones = bytes == 8 ? ~uint64_t{0} : (uint64_t{1} << (8 * bytes)) - 1;
  if (!aligned(at, mask, bytes)) return false;
  uint32_t in_shared = 0, in_global = 0;
  Addresses offsets = at;
  for (uint32_t left = mask; left != 0; left &= left - 1) {
    const auto lane = static_cast<uint32_t>(std::countr_zero(left));
    Space space = access.space;
    uint64_t address = at.of[lane];
    if (space == Space::Generic) {
      space = space_of(address);
      if (space == Space::Shared) address -= kSharedWindow;
    }
    offsets.of[lane] = address;
    std::byte* memory = nullptr;
    if (space == Space::Shared) {
      if (!shared_bounds(address, bytes, lane)) return false;
      synchronising_access(warp, access, address);
      const Accessor who = accessor(warp, lane, true);
      if (const auto problem = shared_.read(address, bytes, who, warp.clock))
        return shared_fault(*problem, lane, address);
      if (const auto problem = shared_.write(address, bytes, who, warp.clock, nullptr))
        return shared_fault(*problem, lane, address);
      memory = shared_.data(address);
      in_shared |= 1u << lane;
    } else if (space == Space::Global) {
      memory = global_bytes(address, bytes, lane, true);
      if (memory == nullptr || !check_global_reads(address, bytes, lane)) return false;
      in_global |= 1u << lane;
    } else {
      return fault(FaultKind::OutOfBounds, "an atomic on local memory", lane, address);
    }
    uint64_t old = 0;
    std::memcpy(&old, memory, bytes);
    const uint64_t b = value_at(registers, in.operands[first + 1], lane, bytes);
    const uint64_t c =
        op == AtomicOp::CompareSwap ? value_at(registers, in.operands[first + 2], lane, bytes) : 0;
    const uint64_t result = apply(op, in.type, old, b, c) & ones;
    std::memcpy(memory, &result, bytes);
    if (space == Space::Global) note_global_write(address, bytes);
    if (returns && in.operands[0] != kNone)
      std::memcpy(registers + in.operands[0] + size_t{lane} * bytes, &old, bytes);
  }
  if (in_shared != 0) {
    advance_clock(warp);
    count_shared(traffic_[counter_].shared, offsets, in_shared, bytes);
  }
  if (in_global != 0) count_global(traffic_[counter_].global, offsets, in_global, bytes);
  return true;
}

}  // namespace maskjit::emulator
