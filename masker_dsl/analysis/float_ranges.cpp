// What a Float node can be on a tile. Kernels compute in f32 and the interpreter in f64, so an
// interval holds give or take kMargin * magnitude, where the magnitude is the node with every
// operand replaced by its absolute value: the usual bound on accumulated rounding errors.
//
// Ends are never NaN (an end that would be is infinite), but elements may be. NaN makes Lt, Le and
// Eq false and Ne true: what proves a comparison false need not exclude NaN, what proves Lt or Le
// true must.
#include <cmath>
#include <limits>

#include "masker_dsl/analysis/abstract_tile.h"

namespace maskjit::analysis {
namespace {

using ir::Op;
using ir::Value;

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kMargin = 1e-4;
// Covers results that are flushed to zero.
constexpr double kTiny = 1e-30;
// Rounding steps of f32 (6e-8 each) that the margin covers, with room to spare.
constexpr double kMaxRoundings = 500;
// Magnitudes that neither f32 nor f64 overflows on.
constexpr double kSafe = 1e30;

}  // namespace

Value AbstractTile::real(double value) { return builder_.function().constant_float(value); }

// `value`, or `otherwise` if it is NaN.
Value AbstractTile::unless_nan(Value value, double otherwise) {
  const ir::Node& n = builder_.function()[value];
  if (n.op == Op::Const) return std::isnan(n.constant.real) ? real(otherwise) : value;
  const Value ordered = builder_.function().binary(Op::Eq, value, value);
  return builder_.function().select(ordered, value, real(otherwise));
}

AbstractTile::FloatEnds AbstractTile::any_float() {
  return {real(-kInfinity), real(kInfinity), real(kInfinity), {}};
}

AbstractTile::FloatEnds AbstractTile::float_ends(Value value) {
  auto found = float_ends_.find(value);
  if (found != float_ends_.end()) return found->second;
  FloatEnds result = compute_float_ends(value);
  FloatFacts& facts = result.facts;
  if (facts.roundings > kMaxRoundings) result = any_float();
  // A finite limit keeps infinities away, and with them the only new source of NaN.
  if (!(facts.limit <= kSafe)) {
    facts.limit = kInfinity;
    result.lo = unless_nan(result.lo, -kInfinity);
    result.hi = unless_nan(result.hi, kInfinity);
    result.magnitude = unless_nan(result.magnitude, kInfinity);
  }
  float_ends_[value] = result;
  return result;
}

AbstractTile::FloatEnds AbstractTile::compute_float_ends(Value value) {
  const ir::Node n = source_.node(value);
  auto operand = [&](size_t i) { return float_ends(n.operands[i]); };
  auto op = [&](Op o, Value x, Value y) {
    return x == y && o != Op::Add && o != Op::Sub && o != Op::Mul && o != Op::Div
               ? x
               : builder_.binary(o, x, y);
  };
  auto call = [&](Op o, Value x) { return builder_.unary(o, x); };
  FloatEnds r = any_float();
  if (source_.varies(value) && is_over_budget()) return r;
  switch (n.op) {
    case Op::Const:
      r.facts = {std::fabs(n.constant.real), 1, std::isnan(n.constant.real), n.constant.real >= 0};
      break;
    case Op::ToFloat: {
      const Interval known = source_.range(n.operands[0]).interval;
      r.facts = {std::max(std::fabs(static_cast<double>(known.lo)),
                          std::fabs(static_cast<double>(known.hi))),
                 1, false, known.lo >= 0};
      const Ends e = ends(n.operands[0]);
      r.lo = call(Op::ToFloat, e.lo);
      r.hi = call(Op::ToFloat, e.hi);
      r.magnitude = op(Op::Max, call(Op::Abs, r.lo), call(Op::Abs, r.hi));
      break;
    }
    case Op::TensorLoad:
      r.facts.roundings = 1;
      if (auto e = extremes_of_load(value)) {
        r.lo = e->lo;
        r.hi = e->hi;
        r.magnitude = op(Op::Max, call(Op::Abs, e->lo), call(Op::Abs, e->hi));
      }
      break;
    case Op::Add:
    case Op::Sub: {
      const FloatEnds a = operand(0), b = operand(1);
      const bool is_add = n.op == Op::Add;
      r = {op(n.op, a.lo, is_add ? b.lo : b.hi),
           op(n.op, a.hi, is_add ? b.hi : b.lo),
           op(Op::Add, a.magnitude, b.magnitude),
           {a.facts.limit + b.facts.limit, std::max(a.facts.roundings, b.facts.roundings) + 1,
            a.facts.maybe_nan || b.facts.maybe_nan,
            is_add && a.facts.non_negative && b.facts.non_negative}};
      r.facts.maybe_nan |= !(r.facts.limit <= kSafe);
      break;
    }
    case Op::Mul: {
      const FloatEnds a = operand(0), b = operand(1);
      const FloatFacts facts = {
          a.facts.limit * b.facts.limit, a.facts.roundings + b.facts.roundings + 1,
          a.facts.maybe_nan || b.facts.maybe_nan,
          (a.facts.non_negative && b.facts.non_negative) || n.operands[0] == n.operands[1]};
      r = product_of(a, b, facts);
      break;
    }
    case Op::Div: {
      const FloatEnds a = operand(0);
      const ir::Node divisor = source_.node(n.operands[1]);
      const double c = divisor.constant.real;
      if (divisor.op != Op::Const || !std::isfinite(c) || c == 0) {
        r.facts.roundings = kInfinity;
        break;
      }
      const Value x = op(Op::Div, a.lo, real(c)), y = op(Op::Div, a.hi, real(c));
      r = {c > 0 ? x : y,
           c > 0 ? y : x,
           op(Op::Div, a.magnitude, real(std::fabs(c))),
           {a.facts.limit / std::fabs(c), a.facts.roundings + 2, a.facts.maybe_nan,
            a.facts.non_negative && c > 0}};
      r.facts.maybe_nan |= !(r.facts.limit <= kSafe);
      break;
    }
    case Op::Neg: {
      const FloatEnds a = operand(0);
      r = {call(Op::Neg, a.hi), call(Op::Neg, a.lo), a.magnitude, a.facts};
      r.facts.non_negative = false;
      break;
    }
    case Op::Abs: {
      const FloatEnds a = operand(0);
      r = {op(Op::Max, op(Op::Max, a.lo, call(Op::Neg, a.hi)), real(0)),
           op(Op::Max, call(Op::Neg, a.lo), a.hi), a.magnitude, a.facts};
      r.facts.non_negative = true;
      break;
    }
    case Op::Min:
    case Op::Max:
      r = extreme_of(n.op, operand(0), operand(1));
      break;
    case Op::Exp: {
      const FloatEnds a = operand(0);
      // |exp(x + e) - exp(x)| <= 2 |e| exp(x) for |e| <= 1.
      const Value top = call(Op::Exp, a.hi);
      const Value grown = op(Op::Mul, top, op(Op::Add, real(1), op(Op::Mul, real(2), a.magnitude)));
      const Value small = op(Op::Le, a.magnitude, real(1 / kMargin));
      r = {call(Op::Exp, a.lo),
           top,
           builder_.select(small, grown, real(kInfinity)),
           {std::exp(a.facts.limit) * (1 + 2 * a.facts.limit), a.facts.roundings + 4,
            a.facts.maybe_nan, true}};
      break;
    }
    case Op::Tanh: {
      const FloatEnds a = operand(0);
      r = {call(Op::Tanh, a.lo),
           call(Op::Tanh, a.hi),
           op(Op::Add, a.magnitude, real(1)),
           {a.facts.limit + 1, a.facts.roundings + 4, a.facts.maybe_nan, a.facts.non_negative}};
      break;
    }
    case Op::Sqrt: {
      const FloatEnds a = operand(0);
      // |sqrt(x + e) - sqrt(x)| <= sqrt(|e|), and with |e| <= kMargin * magnitude that is
      // kMargin * sqrt(magnitude / kMargin).
      const Value bottom = call(Op::Sqrt, op(Op::Max, a.lo, real(0)));
      const Value top = call(Op::Sqrt, op(Op::Max, a.hi, real(0)));
      const Value spread = op(Op::Mul, real(2 / std::sqrt(kMargin)), call(Op::Sqrt, a.magnitude));
      r = {bottom,
           top,
           op(Op::Add, top, spread),
           {std::sqrt(a.facts.limit) * (1 + 2 / std::sqrt(kMargin)), a.facts.roundings + 2,
            a.facts.maybe_nan || !a.facts.non_negative, true}};
      break;
    }
    case Op::Log:
      // Its error has no bound near zero.
      r.facts.roundings = kInfinity;
      break;
    case Op::Select: {
      const FloatEnds a = operand(1), b = operand(2);
      const Value first = may(formulas_.of(n.operands[0], true));
      const Value second = may(formulas_.of(n.operands[0], false));
      auto pick = [&](Value x, Value y, Value both) {
        return builder_.select(first, builder_.select(second, both, x), y);
      };
      r = {pick(a.lo, b.lo, op(Op::Min, a.lo, b.lo)),
           pick(a.hi, b.hi, op(Op::Max, a.hi, b.hi)),
           op(Op::Max, a.magnitude, b.magnitude),
           {std::max(a.facts.limit, b.facts.limit), std::max(a.facts.roundings, b.facts.roundings),
            a.facts.maybe_nan || b.facts.maybe_nan, a.facts.non_negative && b.facts.non_negative}};
      break;
    }
    default:
      break;
  }
  if (source_.varies(value)) return r;
  // The same in the whole tile: exact, whatever the op is.
  const Value exact = copy(value);
  r.lo = r.hi = exact;
  r.magnitude = call(Op::Abs, exact);
  r.facts.roundings = 1;
  return r;
}

AbstractTile::FloatEnds AbstractTile::product_of(const FloatEnds& a, const FloatEnds& b,
                                                 FloatFacts facts) {
  facts.maybe_nan |= !(facts.limit <= kSafe);
  FloatEnds r{{}, {}, builder_.binary(Op::Mul, a.magnitude, b.magnitude), facts};
  for (Value x : {a.lo, a.hi}) {
    for (Value y : {b.lo, b.hi}) {
      const Value p = builder_.binary(Op::Mul, x, y);
      // 0 * inf in a corner.
      const bool clean = facts.limit <= kSafe;
      const Value low = clean ? p : unless_nan(p, -kInfinity);
      const Value high = clean ? p : unless_nan(p, kInfinity);
      r.lo = !r.lo.valid() || r.lo == low ? low : builder_.binary(Op::Min, r.lo, low);
      r.hi = !r.hi.valid() || r.hi == high ? high : builder_.binary(Op::Max, r.hi, high);
    }
  }
  return r;
}

// Min and Max ignore a NaN operand: the result may be the other one alone.
AbstractTile::FloatEnds AbstractTile::extreme_of(Op op, const FloatEnds& a, const FloatEnds& b) {
  auto least = [&](Value x, Value y) { return x == y ? x : builder_.binary(Op::Min, x, y); };
  auto most = [&](Value x, Value y) { return x == y ? x : builder_.binary(Op::Max, x, y); };
  const bool is_min = op == Op::Min;
  const bool a_alone = b.facts.maybe_nan, b_alone = a.facts.maybe_nan;
  // The end on the other side than op's is that of the operand that is certainly there.
  auto far_end = [&](Value of_a, Value of_b) {
    if (a_alone && b_alone) return is_min ? most(of_a, of_b) : least(of_a, of_b);
    if (a_alone) return of_a;
    if (b_alone) return of_b;
    return is_min ? least(of_a, of_b) : most(of_a, of_b);
  };
  FloatEnds r;
  r.lo = is_min ? least(a.lo, b.lo) : far_end(a.lo, b.lo);
  r.hi = is_min ? far_end(a.hi, b.hi) : most(a.hi, b.hi);
  r.magnitude = most(a.magnitude, b.magnitude);
  r.facts = {std::max(a.facts.limit, b.facts.limit), std::max(a.facts.roundings, b.facts.roundings),
             a.facts.maybe_nan && b.facts.maybe_nan, a.facts.non_negative && b.facts.non_negative};
  return r;
}

Value AbstractTile::margin(Value magnitude) {
  return builder_.binary(Op::Add, builder_.binary(Op::Mul, magnitude, real(kMargin)), real(kTiny));
}

Ends AbstractTile::floor_of(const ir::Node& n) {
  const FloatEnds a = float_ends(n.operands[0]);
  const Value m = margin(a.magnitude);
  auto down = [&](Value x, double otherwise) {
    const Value clean = a.facts.limit <= kSafe ? x : unless_nan(x, otherwise);
    return builder_.unary(Op::Floor, clean);
  };
  Ends r{down(builder_.binary(Op::Sub, a.lo, m), -kInfinity),
         down(builder_.binary(Op::Add, a.hi, m), kInfinity)};
  if (a.facts.maybe_nan) {  // floor(NaN) is 0
    r.lo = builder_.min(r.lo, builder_.integer(0));
    r.hi = builder_.max(r.hi, builder_.integer(0));
  }
  return r;
}

Value AbstractTile::may_float_compare(const ir::Node& n, bool positive) {
  const FloatEnds a = float_ends(n.operands[0]), b = float_ends(n.operands[1]);
  const Value m = margin(builder_.binary(Op::Add, a.magnitude, b.magnitude));
  // NaN on either side of a proof makes it fail.
  auto below = [&](const FloatEnds& x, const FloatEnds& y) {
    return builder_.binary(Op::Lt, builder_.binary(Op::Add, x.hi, m), y.lo);
  };
  const bool ordered = n.op == Op::Lt || n.op == Op::Le;
  if (ordered && positive) return builder_.negate(below(b, a));
  if (ordered) {
    if (a.facts.maybe_nan || b.facts.maybe_nan) return builder_.boolean(true);
    return builder_.negate(below(a, b));
  }
  if ((n.op == Op::Eq) != positive) return builder_.boolean(true);
  return builder_.both(builder_.negate(below(a, b)), builder_.negate(below(b, a)));
}

}  // namespace maskjit::analysis
