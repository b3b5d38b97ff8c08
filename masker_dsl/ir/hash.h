#pragma once
// Hashes of nodes, for sharing equal ones and for ordering operands.
#include <bit>

#include "masker_dsl/ir/function.h"

namespace maskjit::ir {

inline uint64_t mix(uint64_t hash, uint64_t value) {
  hash ^= value + 0x9E3779B97F4A7C15ull + (hash << 6) + (hash >> 2);
  hash *= 0xBF58476D1CE4E5B9ull;
  return hash ^ (hash >> 31);
}

inline uint64_t mix(uint64_t hash, std::span<const Value> operands) {
  for (Value operand : operands) hash = mix(hash, operand.id);
  return hash;
}

// Of everything but the operands.
inline uint64_t payload_hash(const Node& node) {
  uint64_t hash = mix(static_cast<uint64_t>(node.op), static_cast<uint64_t>(node.type));
  hash = mix(hash, static_cast<uint64_t>(node.constant.integer));
  hash = mix(hash, std::bit_cast<uint64_t>(node.constant.real));
  return mix(hash, node.index);
}

}  // namespace maskjit::ir
