#pragma once
// Static value ranges: for each Int node an interval that holds for every launch (positions and
// lengths within ir::kMaxPosition, run-time integers within ir::kMaxRuntimeInt), and whether
// computing the node can wrap. Passes use it to prove that a rewrite cannot overflow, lowering to
// pick 32-bit arithmetic.
#include <cstdint>
#include <limits>
#include <span>
#include <vector>

#include "masker_dsl/ir/function.h"

namespace maskjit::analysis {

struct Interval {
  int64_t lo = std::numeric_limits<int64_t>::min();
  int64_t hi = std::numeric_limits<int64_t>::max();
  bool operator==(const Interval&) const = default;
  bool contains(int64_t v) const { return lo <= v && v <= hi; }
  bool within(Interval o) const { return o.lo <= lo && hi <= o.hi; }
  bool is_constant() const { return lo == hi; }
};

struct ValueRange {
  Interval interval;      // of the (possibly wrapped) result; Int and Bool (0..1) nodes
  bool may_wrap = false;  // the exact result may leave 64 bits
};

// By node id. Float nodes get the full interval.
std::vector<ValueRange> value_ranges(const ir::Function& function);

// The range of one node from those of the nodes before it, by id: what value_ranges() does at each
// step.
ValueRange range_of(const ir::Function& function, ir::Value value,
                    std::span<const ValueRange> earlier);

// What a variable or an element of a tensor may hold. A tensor's range includes 0, which is what a
// read out of range gives.
Interval range_of(ir::Var var);
Interval range_of(ir::Element element);

}  // namespace maskjit::analysis
