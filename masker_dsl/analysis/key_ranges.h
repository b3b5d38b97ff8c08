#pragma once
// From the mask to the keys worth visiting for a block of queries: each conjunction of literals
// gives one interval of keys, whose ends are solved for from the inequalities in it.
//
//   k <= q, q - n < k        ->  q_lo - n + 1 .. q_hi
//   k // w <= c(q)           ->  0 .. c_hi * w + w - 1
//   flag[q], k < n           ->  0 .. n - 1 if any flag of the block is set, else nothing
#include <vector>

#include "masker_dsl/analysis/abstract_tile.h"

namespace maskjit::analysis {

// lo .. hi, nothing where `guard` is false.
struct KeyRange {
  ir::Value lo, hi, guard;
};

class KeyRanges {
 public:
  // With more disjuncts than the effort allows the ranges of the parts of a formula are united and
  // intersected.
  KeyRanges(Source& source, Formulas& formulas, FoldingBuilder& builder, Effort effort);

  // At most kMaxRanges; none if no key is ever active.
  std::vector<KeyRange> of(Formulas::Ref formula);
  KeyRange everything();
  bool is_everything(const KeyRange& range);
  // True if the literal bounds the key on some side, by itself.
  bool bounds_key(LiteralId literal);

 private:
  struct Bounds {
    std::vector<ir::Value> lower, upper;
  };

  std::vector<KeyRange> compute(Formulas::Ref formula);
  std::vector<KeyRange> of_conjunctions(const std::vector<Conjunction>& disjuncts);
  KeyRange of_conjunction(const Conjunction& literals);
  bool solve_at_most(const Linear& form, const Sum& bound, const Narrowed& narrowed, Bounds& found);
  bool bound_above(ir::Value term, const Sum& bound, const Narrowed& narrowed, Bounds& found);
  bool bound_operand(ir::Value x, ir::Value d, const Sum& end, bool is_upper,
                     const Narrowed& narrowed, Bounds& found);
  std::optional<std::pair<ir::Value, ir::Value>> launch_factor(const ir::Node& node);
  bool bound_below(ir::Value term, const Sum& bound, const Narrowed& narrowed, Bounds& found);

  std::vector<KeyRange> intersect(const std::vector<KeyRange>& a, const std::vector<KeyRange>& b);
  std::vector<KeyRange> simplify(std::vector<KeyRange> ranges, size_t limit);
  bool is_empty(const KeyRange& range);
  bool absorb(KeyRange& a, const KeyRange& b);
  KeyRange hull(const KeyRange& a, const KeyRange& b);
  double distance(const KeyRange& a, const KeyRange& b);

  Source& source_;
  Formulas& formulas_;
  FoldingBuilder& builder_;
  Effort effort_;
  AbstractTile block_;
  std::map<Formulas::Ref, std::vector<KeyRange>> ranges_;
};

}  // namespace maskjit::analysis
