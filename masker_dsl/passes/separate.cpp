#include "masker_dsl/passes/separate.h"

#include <algorithm>
#include <limits>
#include <map>

#include "masker_dsl/analysis/value_range.h"
#include "masker_dsl/passes/rewrite.h"

namespace maskjit::passes {
namespace {

using analysis::Interval;
using ir::Op;
using ir::Value;
__extension__ using Wide = __int128;

constexpr uint32_t kKeyVars =
    ir::bit(ir::Var::Key) | ir::bit(ir::Var::KeyLo) | ir::bit(ir::Var::KeyHi);
// Sums that share subexpressions take exponentially long to expand; real ones have a handful of
// terms.
constexpr int kMaxSteps = 256;

bool fits(Wide value) {
  return value >= std::numeric_limits<int64_t>::min() &&
         value <= std::numeric_limits<int64_t>::max();
}

// A sum of constant multiples of nodes, and a constant.
struct Linear {
  std::map<Value, int64_t> terms;
  int64_t constant = 0;
};

class Separation {
 public:
  explicit Separation(const ir::Function& in) : in_(in), ranges_(analysis::value_ranges(in)) {}

  Value visit(const Visit& visit) {
    const Op op = visit.node.op;
    const bool comparison = op == Op::Lt || op == Op::Le || op == Op::Eq || op == Op::Ne;
    if (!comparison || in_.type(visit.node.operands[0]) != ir::Type::Int) return visit.unchanged();
    const Value replacement = separated(visit);
    return replacement.valid() ? replacement : visit.unchanged();
  }

 private:
  bool depends_on_key(Value v) const { return (in_.variables_of(v) & kKeyVars) != 0; }

  // Adds factor * v to `sum`, exactly; false if a coefficient leaves 64 bits or it takes too long.
  bool collect(Value v, int64_t factor, int& steps, Linear& sum) const {
    if (++steps > kMaxSteps) return false;
    const ir::Node& node = in_[v];
    auto scaled = [&](Value operand, int64_t by) {
      int64_t product = 0;
      return !__builtin_mul_overflow(factor, by, &product) && collect(operand, product, steps, sum);
    };
    if (node.op == Op::Const) {
      int64_t product = 0;
      return !__builtin_mul_overflow(factor, node.constant.integer, &product) &&
             !__builtin_add_overflow(sum.constant, product, &sum.constant);
    }
    if (!ranges_[v.id].may_wrap) {
      switch (node.op) {
        case Op::Add:
          return scaled(node.operands[0], 1) && scaled(node.operands[1], 1);
        case Op::Sub:
          return scaled(node.operands[0], 1) && scaled(node.operands[1], -1);
        case Op::Neg:
          return scaled(node.operands[0], -1);
        case Op::Mul:
          for (size_t i = 0; i < 2; ++i) {
            const ir::Node& constant = in_[node.operands[i]];
            if (constant.op != Op::Const) continue;
            return scaled(node.operands[1 - i], constant.constant.integer);
          }
          break;
        default:
          break;
      }
    }
    int64_t& coefficient = sum.terms[v];
    return !__builtin_add_overflow(coefficient, factor, &coefficient);
  }

  // Splits the terms into those that depend on the key and the rest, which takes the constant.
  void split(const Linear& sum, Linear& key, Linear& rest) const {
    for (const auto& [value, coefficient] : sum.terms) {
      if (coefficient != 0) (depends_on_key(value) ? key : rest).terms[value] = coefficient;
    }
    rest.constant = sum.constant;
  }

  // True if the negative of the key's side reads better: the key itself would be positive.
  bool should_flip(const Linear& key) const {
    bool all_negative = true;
    for (const auto& [value, coefficient] : key.terms) {
      const ir::Node& node = in_[value];
      if (node.op == Op::Variable && node.var() == ir::Var::Key) return coefficient < 0;
      all_negative = all_negative && coefficient < 0;
    }
    return all_negative;
  }

  static bool negate(Linear& sum) {
    constexpr int64_t kLeast = std::numeric_limits<int64_t>::min();
    if (sum.constant == kLeast) return false;
    sum.constant = -sum.constant;
    for (auto& [value, coefficient] : sum.terms) {
      if (coefficient == kLeast) return false;
      coefficient = -coefficient;
    }
    return true;
  }

  // Changing Lt to Le or back makes this constant beside the other terms zero: key < rest + 1 is
  // key <= rest.
  static bool absorbs_one(Op op, bool rest_first, int64_t constant) {
    if (op == Op::Lt) return constant == (rest_first ? -1 : 1);
    return op == Op::Le && constant == (rest_first ? 1 : -1);
  }

  // One side as it is written: everything in one kind, and no constant with the key.
  bool is_pure(const Linear& side, bool key) const {
    if (key && side.terms.empty()) return false;
    for (const auto& [value, coefficient] : side.terms) {
      if (coefficient == 0 || depends_on_key(value) != key) return false;
    }
    return !key || side.constant == 0;
  }

  // Builds the sum in `out`; the steps are in the order in which fits_when_built() checks them.
  Value build(const Linear& sum, const Visit& visit) const {
    ir::Function& out = visit.out;
    Value total;
    for (const bool positive : {true, false}) {
      for (const auto& [value, coefficient] : sum.terms) {
        if ((coefficient > 0) != positive) continue;
        Value term = visit.map[value.id];
        const int64_t magnitude = positive ? coefficient : -coefficient;
        if (magnitude != 1) term = out.binary(Op::Mul, term, out.constant_int(magnitude));
        if (!total.valid()) {
          total = positive ? term : out.unary(Op::Neg, term);
        } else {
          total = out.binary(positive ? Op::Add : Op::Sub, total, term);
        }
      }
    }
    if (!total.valid()) return out.constant_int(sum.constant);
    return sum.constant == 0 ? total : out.binary(Op::Add, total, out.constant_int(sum.constant));
  }

  bool fits_when_built(const Linear& sum) const {
    Wide lo = 0, hi = 0;
    for (const bool positive : {true, false}) {
      for (const auto& [value, coefficient] : sum.terms) {
        if ((coefficient > 0) != positive) continue;
        const Interval range = ranges_[value.id].interval;
        const Wide a = Wide{coefficient} * range.lo;
        const Wide b = Wide{coefficient} * range.hi;
        const Wide least = std::min(a, b), greatest = std::max(a, b);
        // The product is built with the coefficient's magnitude.
        if (!fits(least) || !fits(greatest) || !fits(-least) || !fits(-greatest)) return false;
        lo += least;
        hi += greatest;
        if (!fits(lo) || !fits(hi)) return false;
      }
    }
    return fits(lo + sum.constant) && fits(hi + sum.constant);
  }

  Value separated(const Visit& visit) const {
    const ir::Node& node = visit.node;
    if (!depends_on_key(visit.value)) return {};
    Linear sides[2], sum;
    int steps = 0;
    for (size_t i = 0; i < 2; ++i) {
      if (!collect(node.operands[i], 1, steps, sides[i])) return {};
      if (!collect(node.operands[i], i == 0 ? 1 : -1, steps, sum)) return {};
    }
    // a - b = key + rest; a < b is key < -rest.
    Linear key, rest;
    split(sum, key, rest);
    const bool flip = should_flip(key);
    const bool pure = (is_pure(sides[0], true) && is_pure(sides[1], false)) ||
                      (is_pure(sides[0], false) && is_pure(sides[1], true));
    // As written, does the key have a negative sign?
    const bool reversed = pure && should_flip(is_pure(sides[0], true) ? sides[0] : sides[1]);
    if (!negate(flip ? key : rest)) return {};
    const bool absorb = !rest.terms.empty() && absorbs_one(node.op, flip, rest.constant);
    if (pure && !reversed && !absorb) return {};
    Op op = node.op;
    if (absorb) {
      op = op == Op::Lt ? Op::Le : Op::Lt;
      rest.constant = 0;
    }
    if (!fits_when_built(key) || !fits_when_built(rest)) return {};
    const Value key_value = build(key, visit);
    const Value rest_value = build(rest, visit);
    return flip ? visit.out.binary(op, rest_value, key_value)
                : visit.out.binary(op, key_value, rest_value);
  }

  const ir::Function& in_;
  std::vector<analysis::ValueRange> ranges_;
};

ir::Function sweep(const ir::Function& function) {
  Separation separation(function);
  return rewrite(function, [&](const Visit& visit) { return separation.visit(visit); });
}

}  // namespace

ir::Function separate(const ir::Function& function) { return to_fixed_point(function, sweep); }

}  // namespace maskjit::passes
