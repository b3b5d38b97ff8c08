#pragma once
// Abstract interpretation by program transformation: for the nodes of the mask this builds, in a
// target function, IR that computes what they can be on a tile.
//
//   Int    an interval [lo, hi]; lo and hi are one value if the node is the same in the whole tile
//   Float  an interval of its non-NaN values, with an error bound (float_ranges.cpp)
//   Bool   may: false only if no element of the tile satisfies the formula
//
// A tile is a box of positions; its ends are values of the target, so the same code serves tiles
// (bounds of queries and keys) and blocks of queries (all keys).
#include <limits>
#include <map>
#include <optional>
#include <vector>

#include "masker_dsl/analysis/effort.h"
#include "masker_dsl/analysis/folding_builder.h"
#include "masker_dsl/analysis/formula.h"
#include "masker_dsl/analysis/source.h"

namespace maskjit::analysis {

struct Box {
  ir::Value query_lo, query_hi, key_lo, key_hi;
};

// Inclusive ends in the target.
struct Ends {
  ir::Value lo, hi;
};

// Bounds of terms that are narrower than the tile's, from inequalities that hold together.
using Narrowed = std::map<ir::Value, Ends>;

class AbstractTile {
 public:
  // With more disjuncts than the effort allows the parts of a formula are looked at one by one.
  AbstractTile(Source& source, Formulas& formulas, FoldingBuilder& builder, Box box, Effort effort)
      : source_(source), formulas_(formulas), builder_(builder), box_(box), effort_(effort) {}

  // False (in the target) only if the formula holds nowhere in the tile.
  ir::Value may(Formulas::Ref formula);
  ir::Value may_all(const Conjunction& literals);

  Ends ends(ir::Value value);
  // A node that is the same in the whole tile, as it stands.
  ir::Value copy(ir::Value value);

  // One end of the form over the tile, exact over the integers.
  enum class Side { Lower, Upper };
  Sum end_of(const Linear& form, Side side, const Narrowed& narrowed = {});
  // Bounds of terms that inequalities on that term alone imply. With keys_too false, terms that
  // depend on the key keep the tile's.
  Narrowed narrow(const Conjunction& literals, bool keys_too);
  // The conditions whose And is may_all(); none if nothing rules the literals out.
  std::vector<ir::Value> checks_of(const Conjunction& literals, const Narrowed& narrowed);
  // Conditions on launch values alone: lower bounds do not exceed upper bounds.
  std::vector<ir::Value> consistent(const Conjunction& literals);

 private:
  // An inequality as direction . terms <= bound, or >= bound: the direction has only terms that
  // vary, its first coefficient is positive; the bound is a launch-invariant sum.
  struct Bounds {
    std::vector<Linear> upper, lower;
  };
  using Directions = std::map<std::vector<std::pair<ir::Value, int64_t>>, Bounds>;

  Directions directions_of(const Conjunction& literals);
  std::optional<ir::Value> quotient(const Linear& bound, int64_t divisor, Side side);
  ir::Value may_at_most_zero(const Linear& form, const Narrowed& narrowed);
  ir::Value any_of(std::vector<std::vector<ir::Value>> conjunctions);
  ir::Value may_literal(const Literal& literal);
  ir::Value may_bit(const ir::Node& node, bool positive);
  ir::Value may_compare(const ir::Node& node, bool positive);
  ir::Value may_parts(const std::vector<Formulas::Ref>& children);

  Ends compute_ends(ir::Value value);
  Ends statically(ir::Value value);
  Ends multiply(ir::Value value, const ir::Node& node);
  Ends divide(const ir::Node& node);
  Ends remainder(const ir::Node& node);
  Ends shift(const ir::Node& node, ir::Value value);
  Ends select(const ir::Node& node);
  Ends load(ir::Value value);
  std::optional<Ends> extremes_of_load(ir::Value value);
  Ends hull(std::vector<ir::Value> values);
  // Enough IR has been built: what is left is taken as unknown.
  bool is_over_budget() const { return builder_.function().size() > effort_.max_nodes; }
  bool may_wrap(ir::Value value) { return builder_.range(value).may_wrap; }

  struct Bits {  // bits that are 1 always, and sometimes
    ir::Value always, maybe;
  };
  Bits bits(ir::Value value);
  Bits compute_bits(ir::Value value);
  Ends ends_of_bits(Bits known);

  // What is known of a float node before any launch.
  struct FloatFacts {
    double limit = std::numeric_limits<double>::infinity();  // its magnitude never exceeds this
    double roundings = 0;  // rounding steps of f32 that its error adds up
    bool maybe_nan = true;
    bool non_negative = false;
  };
  // Every value that is not NaN lies in lo .. hi, give or take kMargin * magnitude.
  struct FloatEnds {
    ir::Value lo, hi, magnitude;
    FloatFacts facts;
  };
  FloatEnds float_ends(ir::Value value);
  FloatEnds compute_float_ends(ir::Value value);
  FloatEnds product_of(const FloatEnds& a, const FloatEnds& b, FloatFacts facts);
  FloatEnds extreme_of(ir::Op op, const FloatEnds& a, const FloatEnds& b);
  FloatEnds any_float();
  ir::Value real(double value);
  ir::Value unless_nan(ir::Value value, double otherwise);
  ir::Value margin(ir::Value magnitude);
  Ends floor_of(const ir::Node& node);
  ir::Value may_float_compare(const ir::Node& node, bool positive);

  Source& source_;
  Formulas& formulas_;
  FoldingBuilder& builder_;
  Box box_;
  Effort effort_;
  std::map<ir::Value, Ends> ends_;
  std::map<ir::Value, ir::Value> copies_;
  std::map<ir::Value, Bits> bits_;
  std::map<ir::Value, FloatEnds> float_ends_;
  std::map<Formulas::Ref, ir::Value> may_;
};

}  // namespace maskjit::analysis
