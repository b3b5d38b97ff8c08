// What an Int node can be on a tile: the rules of docs/analysis.md, op by op.
#include <algorithm>
#include <bit>
#include <cmath>

#include "masker_dsl/analysis/abstract_tile.h"

namespace maskjit::analysis {

using ir::Op;
using ir::Value;

Ends AbstractTile::ends(Value value) {
  auto found = ends_.find(value);
  if (found != ends_.end()) return found->second;
  const Ends result = compute_ends(value);
  ends_[value] = result;
  return result;
}

Ends AbstractTile::statically(Value value) {
  const Interval known = source_.range(value).interval;
  return {builder_.integer(known.lo), builder_.integer(known.hi)};
}

// The smallest and the largest of the values; nothing is known if one of them may have wrapped.
Ends AbstractTile::hull(std::vector<Value> values) {
  Ends result{values[0], values[0]};
  for (Value v : values) {
    if (may_wrap(v)) return {};
    result = {builder_.min(result.lo, v), builder_.max(result.hi, v)};
  }
  return result;
}

Ends AbstractTile::compute_ends(Value value) {
  if (!source_.varies(value)) return {copy(value), copy(value)};
  if (source_.range(value).may_wrap || is_over_budget()) return statically(value);
  const Linear form = source_.linear(value);
  if (form != Linear{{{value, 1}}, 0}) {
    auto lo = builder_.value_of(end_of(form, Side::Lower));
    auto hi = builder_.value_of(end_of(form, Side::Upper));
    const Ends known = statically(value);
    return {lo ? *lo : known.lo, hi ? *hi : known.hi};
  }
  const ir::Node n = source_.node(value);
  Ends result;
  switch (n.op) {
    case Op::Variable:
      if (n.var() == ir::Var::Query) return {box_.query_lo, box_.query_hi};
      if (n.var() == ir::Var::Key) return {box_.key_lo, box_.key_hi};
      break;
    case Op::Min:
    case Op::Max: {
      const Ends a = ends(n.operands[0]), b = ends(n.operands[1]);
      return {builder_.binary(n.op, a.lo, b.lo), builder_.binary(n.op, a.hi, b.hi)};
    }
    case Op::Abs: {
      const Ends a = ends(n.operands[0]);
      const Value below = builder_.unary(Op::Neg, a.lo), above = builder_.unary(Op::Neg, a.hi);
      if (may_wrap(below) || may_wrap(above)) break;
      result = {builder_.max(builder_.max(a.lo, above), builder_.integer(0)),
                builder_.max(below, a.hi)};
      break;
    }
    case Op::Mul:
      result = multiply(value, n);
      break;
    case Op::FloorDiv:
      result = divide(n);
      break;
    case Op::FloorMod:
      result = remainder(n);
      break;
    case Op::Shl:
    case Op::Shr:
      result = shift(n, value);
      break;
    case Op::And:
    case Op::Or:
    case Op::Xor:
    case Op::Not:
      result = ends_of_bits(bits(value));
      break;
    case Op::Select:
      result = select(n);
      break;
    case Op::Share: {
      const double share = n.constant.real;
      if (!std::isfinite(share)) break;
      const Ends a = ends(n.operands[0]);
      result = {builder_.function().share(share, share < 0 ? a.hi : a.lo),
                builder_.function().share(share, share < 0 ? a.lo : a.hi)};
      break;
    }
    case Op::Floor:
      result = floor_of(n);
      break;
    case Op::TensorLoad:
      if (auto extremes = extremes_of_load(value)) result = *extremes;
      break;
    default:
      break;
  }
  const Ends known = statically(value);
  return {result.lo.valid() ? result.lo : known.lo, result.hi.valid() ? result.hi : known.hi};
}

Ends AbstractTile::multiply(Value value, const ir::Node& n) {
  const Ends a = ends(n.operands[0]), b = ends(n.operands[1]);
  if (n.operands[0] == n.operands[1]) {
    const Value below = builder_.unary(Op::Neg, a.lo), above = builder_.unary(Op::Neg, a.hi);
    if (may_wrap(below) || may_wrap(above)) return {};
    const Value least = builder_.max(builder_.max(a.lo, above), builder_.integer(0));
    const Value most = builder_.max(below, a.hi);
    const Ends squares{builder_.mul(least, least), builder_.mul(most, most)};
    return may_wrap(squares.lo) || may_wrap(squares.hi) ? Ends{} : squares;
  }
  const Interval x = source_.range(n.operands[0]).interval;
  const Interval y = source_.range(n.operands[1]).interval;
  Ends result;
  if (x.lo >= 0 && y.lo >= 0) {
    result = {builder_.mul(a.lo, b.lo), builder_.mul(a.hi, b.hi)};
    return may_wrap(result.lo) || may_wrap(result.hi) ? Ends{} : result;
  }
  return hull({builder_.mul(a.lo, b.lo), builder_.mul(a.lo, b.hi), builder_.mul(a.hi, b.lo),
               builder_.mul(a.hi, b.hi)});
}

Ends AbstractTile::divide(const ir::Node& n) {
  const Ends a = ends(n.operands[0]), d = ends(n.operands[1]);
  auto div = [&](Value x, Value y) { return builder_.binary(Op::FloorDiv, x, y); };
  const Interval divisor = source_.range(n.operands[1]).interval;
  if (d.lo == d.hi && divisor.lo >= 0) return {div(a.lo, d.lo), div(a.hi, d.lo)};
  if (d.lo == d.hi && divisor.hi <= 0) {
    const Ends result{div(a.hi, d.lo), div(a.lo, d.lo)};
    return may_wrap(result.lo) || may_wrap(result.hi) ? Ends{} : result;
  }
  if (d.lo == d.hi) return hull({div(a.lo, d.lo), div(a.hi, d.lo)});
  const Ends quotients = hull({div(a.lo, d.lo), div(a.lo, d.hi), div(a.hi, d.lo), div(a.hi, d.hi)});
  const Value below = builder_.unary(Op::Neg, a.lo), above = builder_.unary(Op::Neg, a.hi);
  if (!quotients.lo.valid() || may_wrap(below) || may_wrap(above)) return {};
  // The quotients bound the rest only if no divisor is 0; x // 0 is 0, and |x // d| <= |x|.
  const Value zero = builder_.integer(0);
  const Value excludes_zero = builder_.either(builder_.lt(zero, d.lo), builder_.lt(d.hi, zero));
  const Value magnitude =
      builder_.max(builder_.max(a.hi, below), builder_.max(builder_.max(a.lo, above), zero));
  return {builder_.select(excludes_zero, quotients.lo, builder_.unary(Op::Neg, magnitude)),
          builder_.select(excludes_zero, quotients.hi, magnitude)};
}

// Within one multiple of the divisor the remainder is monotone; else all remainders are possible.
Ends AbstractTile::remainder(const ir::Node& n) {
  const Ends a = ends(n.operands[0]), d = ends(n.operands[1]);
  const Value zero = builder_.integer(0);
  const Value next = builder_.add(d.lo, builder_.integer(1));
  const Value previous = builder_.add(d.hi, builder_.integer(-1));
  if (may_wrap(next) || may_wrap(previous)) return {};
  const Value least = builder_.min(next, zero), most = builder_.max(previous, zero);
  if (d.lo != d.hi) return {least, most};
  const Value same = builder_.eq(builder_.binary(Op::FloorDiv, a.lo, d.lo),
                                 builder_.binary(Op::FloorDiv, a.hi, d.lo));
  return {builder_.select(same, builder_.binary(Op::FloorMod, a.lo, d.lo), least),
          builder_.select(same, builder_.binary(Op::FloorMod, a.hi, d.lo), most)};
}

Ends AbstractTile::shift(const ir::Node& n, Value value) {
  const Ends a = ends(n.operands[0]), s = ends(n.operands[1]);
  if (source_.range(n.operands[1]).interval.within({0, 63}) &&
      builder_.range(s.lo).interval.lo >= 0 && builder_.range(s.hi).interval.hi <= 63) {
    auto at = [&](Value x, Value y) { return builder_.binary(n.op, x, y); };
    return hull({at(a.lo, s.lo), at(a.lo, s.hi), at(a.hi, s.lo), at(a.hi, s.hi)});
  }
  if (n.op == Op::Shl) return {};
  return {builder_.min(a.lo, builder_.integer(0)), builder_.max(a.hi, builder_.integer(0))};
}

Ends AbstractTile::select(const ir::Node& n) {
  const Ends a = ends(n.operands[1]), b = ends(n.operands[2]);
  const Value first = may(formulas_.of(n.operands[0], true));
  const Value second = may(formulas_.of(n.operands[0], false));
  auto pick = [&](Value x, Value y, Value both) {
    return builder_.select(first, builder_.select(second, both, x), y);
  };
  return {pick(a.lo, b.lo, builder_.min(a.lo, b.lo)), pick(a.hi, b.hi, builder_.max(a.hi, b.hi))};
}

// The minimum and maximum of a load over the last subscript, if the leading ones do not vary.
std::optional<Ends> AbstractTile::extremes_of_load(Value value) {
  const ir::Node n = source_.node(value);
  if (source_.function().tensors()[n.index].element == ir::Element::Bit) return std::nullopt;
  std::vector<Value> operands;
  for (size_t i = 0; i + 1 < n.operands.size(); ++i) {
    if (source_.varies(n.operands[i])) return std::nullopt;
    operands.push_back(copy(n.operands[i]));
  }
  const Ends last = ends(n.operands.back());
  const Interval full;
  if (builder_.constant_of(last.lo) == full.lo || builder_.constant_of(last.hi) == full.hi) {
    return std::nullopt;
  }
  operands.push_back(last.lo);
  operands.push_back(last.hi);
  return Ends{builder_.function().tensor_op(Op::TensorMin, n.index, operands),
              builder_.function().tensor_op(Op::TensorMax, n.index, operands)};
}

AbstractTile::Bits AbstractTile::bits(Value value) {
  auto found = bits_.find(value);
  if (found != bits_.end()) return found->second;
  const Bits result = compute_bits(value);
  bits_[value] = result;
  return result;
}

AbstractTile::Bits AbstractTile::compute_bits(Value value) {
  if (!source_.varies(value)) return {copy(value), copy(value)};
  auto op = [&](Op o, Value x, Value y) { return builder_.binary(o, x, y); };
  auto flip = [&](Value x) { return builder_.unary(Op::Not, x); };
  const ir::Node n = source_.node(value);
  if (n.op == Op::And || n.op == Op::Or) {
    const Bits a = bits(n.operands[0]), b = bits(n.operands[1]);
    return {op(n.op, a.always, b.always), op(n.op, a.maybe, b.maybe)};
  }
  if (n.op == Op::Xor) {
    const Bits a = bits(n.operands[0]), b = bits(n.operands[1]);
    const Value unknown =
        op(Op::Or, op(Op::Xor, a.always, a.maybe), op(Op::Xor, b.always, b.maybe));
    const Value known = op(Op::And, op(Op::Xor, a.always, b.always), flip(unknown));
    return {known, op(Op::Or, known, unknown)};
  }
  if (n.op == Op::Not) {
    const Bits a = bits(n.operands[0]);
    return {flip(a.maybe), flip(a.always)};
  }
  // Division by, remainder of and multiplication with a power of two move or mask bits.
  if (n.op == Op::FloorDiv || n.op == Op::FloorMod || n.op == Op::Mul) {
    auto c = source_.constant_of(n.operands[1]);
    if (c && *c > 0 && std::has_single_bit(static_cast<uint64_t>(*c))) {
      const Bits a = bits(n.operands[0]);
      const Value amount = builder_.integer(std::countr_zero(static_cast<uint64_t>(*c)));
      const Value mask = builder_.integer(*c - 1);
      if (n.op == Op::FloorMod) return {op(Op::And, a.always, mask), op(Op::And, a.maybe, mask)};
      const Op shift_op = n.op == Op::Mul ? Op::Shl : Op::Shr;
      return {op(shift_op, a.always, amount), op(shift_op, a.maybe, amount)};
    }
  }
  // The ends of an interval share a prefix; below it every bit is open.
  const Ends e = ends(value);
  Value unknown = op(Op::Xor, e.lo, e.hi);
  const Interval known = builder_.range(unknown).interval;
  const uint64_t widest = static_cast<uint64_t>(known.hi) | static_cast<uint64_t>(~known.lo);
  const int width = std::bit_width(widest & static_cast<uint64_t>(INT64_MAX));
  for (int shift = 1; shift < width; shift *= 2) {
    unknown = op(Op::Or, unknown, op(Op::Shr, unknown, builder_.integer(shift)));
  }
  return {op(Op::And, e.lo, flip(unknown)), op(Op::Or, e.lo, unknown)};
}

Ends AbstractTile::ends_of_bits(Bits known) {
  const Interval always = builder_.range(known.always).interval;
  const Interval maybe = builder_.range(known.maybe).interval;
  if (maybe.lo >= 0 || always.hi < 0) return {known.always, known.maybe};
  // An open sign bit makes the least value negative and leaves the greatest without it.
  const Value sign = builder_.integer(INT64_MIN);
  const Value open =
      builder_.binary(Op::And, builder_.binary(Op::Xor, known.always, known.maybe), sign);
  return {builder_.binary(Op::Or, known.always, open),
          builder_.binary(Op::And, known.maybe, builder_.unary(Op::Not, open))};
}

}  // namespace maskjit::analysis
