#pragma once
// Static value ranges: for each Int node an interval that holds for every launch (positions and lengths
// within ir::kMaxPosition, run-time integers within ir::kMaxRuntimeInt), and whether computing the node can
// wrap. Passes use it to prove that a rewrite cannot overflow, lowering to pick 32-bit arithmetic.
#include <cstdint>
#include <limits>
#include <vector>

#include "masker_dsl/ir/function.h"

namespace maskjit::analysis {

struct Interval {
  int64_t lo = std::numeric_limits<int64_t>::min();
  int64_t hi = std::numeric_limits<int64_t>::max();
  bool operator==(const Interval&) const = default;
  bool contains(int64_t v) const { return lo <= v && v <= hi; }
  bool within(Interval o) const { return o.lo <= lo && hi <= o.hi; }
};

struct ValueRange {
  Interval interval;      // of the (possibly wrapped) result; Int and Bool (0..1) nodes
  bool may_wrap = false;  // the exact result may leave 64 bits
};

// By node id. Float nodes get the full interval.
std::vector<ValueRange> value_ranges(const ir::Function& function);

}  // namespace maskjit::analysis
