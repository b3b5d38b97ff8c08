#include "masker_dsl/analysis/value_range.h"

#include <algorithm>
#include <cmath>

namespace maskjit::analysis {
namespace {

using ir::Op;
using ir::Type;
__extension__ using Wide = __int128;

constexpr int64_t kMin = std::numeric_limits<int64_t>::min();
constexpr int64_t kMax = std::numeric_limits<int64_t>::max();
constexpr Interval kBit = {0, 1};

// An interval of exact results: wraps if it leaves 64 bits.
ValueRange exact(Wide lo, Wide hi) {
  if (lo < kMin || hi > kMax) return {Interval{}, true};
  return {{static_cast<int64_t>(lo), static_cast<int64_t>(hi)}, false};
}

ValueRange hull_of(std::initializer_list<Wide> values) {
  return exact(std::min(values), std::max(values));
}

Wide floor_div(Wide a, Wide b) {
  Wide quotient = a / b;
  return (a % b != 0 && (a < 0) != (b < 0)) ? quotient - 1 : quotient;
}

ValueRange multiply(Interval a, Interval b) {
  return hull_of({Wide{a.lo} * b.lo, Wide{a.lo} * b.hi, Wide{a.hi} * b.lo, Wide{a.hi} * b.hi});
}

ValueRange absolute(Interval a) {
  Wide magnitude = std::max(-Wide{a.lo}, Wide{a.hi});
  Wide low = a.lo > 0 ? Wide{a.lo} : a.hi < 0 ? -Wide{a.hi} : Wide{0};
  return exact(low, magnitude);
}

// x // 0 is 0; the positive and the negative divisors are taken apart, each is monotone in both
// operands.
ValueRange floor_divide(Interval a, Interval b) {
  Wide lo = kMax, hi = kMin;
  auto take = [&](Wide v) {
    lo = std::min(lo, v);
    hi = std::max(hi, v);
  };
  auto quotients = [&](Interval d) {
    for (int64_t x : {a.lo, a.hi}) {
      for (int64_t y : {d.lo, d.hi}) take(floor_div(x, y));
    }
  };
  if (b.contains(0)) take(0);
  if (b.hi > 0) quotients({std::max<int64_t>(b.lo, 1), b.hi});
  if (b.lo < 0) quotients({b.lo, std::min<int64_t>(b.hi, -1)});
  return exact(lo, hi);
}

// The result has the sign of the divisor and is smaller in magnitude; x % 0 is 0. It never wraps.
ValueRange floor_modulo(Interval a, Interval b) {
  if (b.is_constant() && b.lo != 0) {
    Wide first = floor_div(a.lo, b.lo), last = floor_div(a.hi, b.lo);
    if (first == last) return exact(a.lo - first * b.lo, a.hi - first * b.lo);
  }
  int64_t lo = b.lo < 0 ? b.lo + 1 : 0;
  int64_t hi = b.hi > 0 ? b.hi - 1 : 0;
  if (a.lo >= 0 && b.lo > 0) hi = std::min(hi, a.hi);
  return {{lo, hi}, false};
}

// Shift amounts are taken modulo 64: outside 0..63 any amount is possible.
Interval shift_amounts(Interval b) { return b.within({0, 63}) ? b : Interval{0, 63}; }

ValueRange shift_left(Interval a, Interval amounts) {
  Interval s = shift_amounts(amounts);
  Wide small = Wide{1} << s.lo, large = Wide{1} << s.hi;
  return hull_of({a.lo * small, a.lo * large, a.hi * small, a.hi * large});
}

ValueRange shift_right(Interval a, Interval amounts) {
  Interval s = shift_amounts(amounts);
  return hull_of({a.lo >> s.lo, a.lo >> s.hi, a.hi >> s.lo, a.hi >> s.hi});
}

// Bits that are 1 in every value of the interval, and bits that are 1 in some: the ends share a
// prefix, below it everything is possible.
struct Bits {
  uint64_t always = 0;
  uint64_t maybe = ~uint64_t{0};
};

Bits bits_of(Interval a) {
  uint64_t lo = static_cast<uint64_t>(a.lo), hi = static_cast<uint64_t>(a.hi);
  uint64_t unknown = lo ^ hi;
  for (int shift = 1; shift < 64; shift *= 2) unknown |= unknown >> shift;
  return {lo & ~unknown, lo | unknown};
}

Interval interval_of(Bits b) {
  constexpr uint64_t kSign = uint64_t{1} << 63;
  uint64_t open_sign = b.maybe & ~b.always & kSign;
  return {static_cast<int64_t>(b.always | open_sign), static_cast<int64_t>(b.maybe & ~open_sign)};
}

Interval bitwise(Op op, Interval a, Interval b) {
  Bits x = bits_of(a), y = bits_of(b);
  Bits r;
  if (op == Op::And) {
    r = {x.always & y.always, x.maybe & y.maybe};
  } else if (op == Op::Or) {
    r = {x.always | y.always, x.maybe | y.maybe};
  } else {
    uint64_t unknown = (x.always ^ x.maybe) | (y.always ^ y.maybe);
    uint64_t known = (x.always ^ y.always) & ~unknown;
    r = {known, known | unknown};
  }
  Interval result = interval_of(r);
  // and only clears bits of a non-negative operand, or only sets them.
  if (op == Op::And) {
    if (a.lo >= 0) result = {std::max<int64_t>(result.lo, 0), std::min(result.hi, a.hi)};
    if (b.lo >= 0) result = {std::max<int64_t>(result.lo, 0), std::min(result.hi, b.hi)};
  }
  if (op == Op::Or && a.lo >= 0 && b.lo >= 0) result.lo = std::max({result.lo, a.lo, b.lo});
  return result;
}

Interval decided(bool always, bool never) {
  return always ? Interval{1, 1} : never ? Interval{0, 0} : kBit;
}

Interval compare(Op op, Interval a, Interval b) {
  bool disjoint = a.hi < b.lo || b.hi < a.lo;
  bool equal = a.is_constant() && a == b;
  if (op == Op::Eq) return decided(equal, disjoint);
  if (op == Op::Ne) return decided(disjoint, equal);
  if (op == Op::Lt) return decided(a.hi < b.lo, a.lo >= b.hi);
  return decided(a.hi <= b.lo, a.lo > b.hi);
}

// floor(share * n) in f64, saturating, is monotone in n.
Interval share_of(double share, Interval n) {
  if (!std::isfinite(share)) return {};
  auto at = [&](int64_t x) {
    double v = std::floor(share * static_cast<double>(x));
    if (v >= 0x1p63) return kMax;
    return v < -0x1p63 ? kMin : static_cast<int64_t>(v);
  };
  auto [lo, hi] = std::minmax({at(n.lo), at(n.hi)});
  return {lo, hi};
}

Interval range_of_param(const ir::Param& param) {
  if (param.type == Type::Bool) return kBit;
  if (param.type == Type::Int && param.time == ir::BindingTime::Runtime) {
    return {-ir::kMaxRuntimeInt, ir::kMaxRuntimeInt};
  }
  return {};
}

}  // namespace

Interval range_of(ir::Var var) {
  switch (var) {
    case ir::Var::Query:
    case ir::Var::QueryLo:
    case ir::Var::QueryHi:
    case ir::Var::QOffset:
      return {-ir::kMaxPosition, ir::kMaxPosition};
    case ir::Var::Batch:
    case ir::Var::Head:
    case ir::Var::KvHead:
    case ir::Var::Key:
    case ir::Var::QLen:
    case ir::Var::KvLen:
    case ir::Var::BatchSize:
    case ir::Var::NumHeads:
    case ir::Var::NumKvHeads:
    case ir::Var::HeadDim:
    case ir::Var::KeyLo:
    case ir::Var::KeyHi:
      return {0, ir::kMaxPosition};
    case ir::Var::Score:
      return {};
  }
  return {};
}

Interval range_of(ir::Element element) {
  switch (element) {
    case ir::Element::Bool:
    case ir::Element::Bit:
      return kBit;
    case ir::Element::I8:
      return {INT8_MIN, INT8_MAX};
    case ir::Element::U8:
      return {0, UINT8_MAX};
    case ir::Element::I16:
      return {INT16_MIN, INT16_MAX};
    case ir::Element::I32:
      return {INT32_MIN, INT32_MAX};
    case ir::Element::I64:
    case ir::Element::F16:
    case ir::Element::BF16:
    case ir::Element::F32:
    case ir::Element::F64:
      return {};
  }
  return {};
}

ValueRange range_of(const ir::Function& function, ir::Value value,
                    std::span<const ValueRange> earlier) {
  const ir::Node& node = function[value];
  auto operand = [&](size_t i) { return earlier[node.operands[i].id].interval; };
  bool is_float = node.type == Type::Float;
  switch (node.op) {
    case Op::Const:
      if (is_float) return {};
      return {{node.constant.integer, node.constant.integer}, false};
    case Op::Variable:
      return {range_of(node.var()), false};
    case Op::Parameter:
      return {range_of_param(function.params()[node.index]), false};
    case Op::Share:
      return {share_of(node.constant.real, operand(0)), false};
    case Op::TensorLoad:
    case Op::TensorMin:
    case Op::TensorMax:
    case Op::TensorAny:
    case Op::TensorAll:
      return {range_of(function.tensors()[node.index].element), false};
    case Op::Eq:
    case Op::Ne:
    case Op::Lt:
    case Op::Le:
      if (function.type(node.operands[0]) == Type::Float) return {kBit, false};
      return {compare(node.op, operand(0), operand(1)), false};
    case Op::Select: {
      if (is_float) return {};
      Interval c = operand(0), a = operand(1), b = operand(2);
      if (c.lo == 1) return {a, false};
      if (c.hi == 0) return {b, false};
      return {{std::min(a.lo, b.lo), std::max(a.hi, b.hi)}, false};
    }
    case Op::Not: {
      Interval a = operand(0);
      if (node.type == Type::Bool) return {{1 - a.hi, 1 - a.lo}, false};
      return {{~a.hi, ~a.lo}, false};
    }
    case Op::And:
    case Op::Or:
    case Op::Xor:
      return {bitwise(node.op, operand(0), operand(1)), false};
    case Op::TensorWeight:
    case Op::Floor:
    case Op::Div:
    case Op::Exp:
    case Op::Log:
    case Op::Tanh:
    case Op::Sqrt:
    case Op::ToFloat:
      return {};
    default:
      break;
  }
  if (is_float) return {};
  Interval a = operand(0);
  Interval b = node.operands.size() > 1 ? operand(1) : Interval{};
  switch (node.op) {
    case Op::Add:
      return exact(Wide{a.lo} + b.lo, Wide{a.hi} + b.hi);
    case Op::Sub:
      return exact(Wide{a.lo} - b.hi, Wide{a.hi} - b.lo);
    case Op::Mul:
      return multiply(a, b);
    case Op::Min:
      return {{std::min(a.lo, b.lo), std::min(a.hi, b.hi)}, false};
    case Op::Max:
      return {{std::max(a.lo, b.lo), std::max(a.hi, b.hi)}, false};
    case Op::Neg:
      return exact(-Wide{a.hi}, -Wide{a.lo});
    case Op::Abs:
      return absolute(a);
    case Op::FloorDiv:
      return floor_divide(a, b);
    case Op::FloorMod:
      return floor_modulo(a, b);
    case Op::Shl:
      return shift_left(a, b);
    case Op::Shr:
      return shift_right(a, b);
    default:
      return {};
  }
}

std::vector<ValueRange> value_ranges(const ir::Function& function) {
  std::vector<ValueRange> ranges;
  ranges.reserve(function.size());
  for (uint32_t id = 0; id < function.size(); ++id) {
    ranges.push_back(range_of(function, ir::Value{id}, ranges));
  }
  return ranges;
}

}  // namespace maskjit::analysis
