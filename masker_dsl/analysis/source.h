#pragma once
// The mask as the analysis reads it: a copy in which shifts and aligned bit masks are divisions and
// remainders, with static ranges, and each Int node as a linear form over nodes that are not sums.
//
// A linear form is exact over the integers: it looks only through nodes that cannot wrap. A node
// that may wrap is a term of its own.
#include <optional>
#include <utility>
#include <vector>

#include "masker_dsl/analysis/value_range.h"
#include "masker_dsl/ir/function.h"

namespace maskjit::analysis {

// constant + sum of coefficient * term, terms ascending by id.
struct Linear {
  std::vector<std::pair<ir::Value, int64_t>> terms;
  int64_t constant = 0;
  bool operator==(const Linear&) const = default;
  auto operator<=>(const Linear&) const = default;

  int64_t coefficient(ir::Value term) const;
};

// a + scale * b, or nullopt if a number leaves 64 bits.
std::optional<Linear> add(const Linear& a, const Linear& b, int64_t scale);
// The same without `term`.
Linear without(const Linear& a, ir::Value term);

class Source {
 public:
  explicit Source(const ir::Function& function);

  const ir::Function& function() const { return function_; }
  ir::Value mask() const { return mask_; }
  // The node that stands for a node of the original function; invalid if the mask does not use it.
  ir::Value copy_of(ir::Value original) const { return copies_[original.id]; }
  ir::Node node(ir::Value value) const { return function_[value]; }
  const ValueRange& range(ir::Value value);
  Interval static_range(const Linear& linear);  // the full interval if it leaves 64 bits

  // Changes within a tile: depends on the query, the key or the score.
  bool varies(ir::Value value) const;
  bool has_key(ir::Value value) const;
  bool has_query(ir::Value value) const;
  bool has_key(const Linear& linear) const;
  std::optional<int64_t> constant_of(ir::Value value) const;

  // Also cancels remainders: x - x % d is d * (x // d).
  Linear linear(ir::Value value);
  // a - b with remainders cancelled.
  std::optional<Linear> difference(ir::Value a, ir::Value b);

 private:
  ir::Value canonical(const ir::Node& node, const std::vector<ir::Value>& operands);
  ir::Value divide(ir::Value x, int64_t divisor);
  Linear compute_linear(ir::Value value);
  Linear cancel_remainders(Linear linear);

  ir::Function function_;
  ir::Value mask_;
  std::vector<ir::Value> copies_;
  std::vector<ValueRange> ranges_;
  std::vector<std::optional<Linear>> linears_;
};

}  // namespace maskjit::analysis
