#include "masker_dsl/analysis/folding_builder.h"

#include <algorithm>
#include <numeric>

#include "masker_dsl/ir/evaluate.h"

namespace maskjit::analysis {
namespace {

using ir::Op;
using ir::Type;
using ir::Value;

constexpr int64_t kMin = std::numeric_limits<int64_t>::min();
constexpr int64_t kMax = std::numeric_limits<int64_t>::max();
// Beyond this the static range of a sum is not computed; it does not fit 64 bits anyway.
constexpr Wide kHuge = Wide{1} << 100;

}  // namespace

void Sum::add(Value value, int64_t coefficient) {
  if (coefficient == 0) return;
  auto it = std::find_if(pieces.begin(), pieces.end(), [&](auto& p) { return p.first == value; });
  if (it == pieces.end()) {
    pieces.push_back({value, coefficient});
    return;
  }
  overflow |= __builtin_add_overflow(it->second, coefficient, &it->second);
  if (it->second == 0) pieces.erase(it);
}

void Sum::add_constant(int64_t value) {
  overflow |= __builtin_add_overflow(constant, value, &constant);
}

void Sum::add(const Sum& other, int64_t scale) {
  int64_t product = 0;
  overflow |= other.overflow || __builtin_mul_overflow(other.constant, scale, &product);
  add_constant(product);
  for (const auto& [value, coefficient] : other.pieces) {
    overflow |= __builtin_mul_overflow(coefficient, scale, &product);
    if (!overflow) add(value, product);
  }
}

const ValueRange& FoldingBuilder::range(Value value) {
  while (ranges_.size() <= value.id) {
    Value next{static_cast<uint32_t>(ranges_.size())};
    ranges_.push_back(range_of(target_, next, ranges_));
  }
  return ranges_[value.id];
}

std::optional<int64_t> FoldingBuilder::constant_of(Value value) const {
  const ir::Node& node = target_[value];
  if (node.op != Op::Const || node.type == Type::Float) return std::nullopt;
  return node.constant.integer;
}

FoldingBuilder::Offset FoldingBuilder::offset_of(Value value) {
  const ir::Node& node = target_[value];
  if (node.type != Type::Int) return {value, 0};
  if (node.op == Op::Add && !range(value).may_wrap) {
    for (int i = 0; i < 2; ++i) {
      if (auto c = constant_of(node.operands[static_cast<size_t>(i)])) {
        return {node.operands[static_cast<size_t>(1 - i)], *c};
      }
    }
  }
  return {value, 0};
}

Value FoldingBuilder::unary(Op op, Value a) {
  const ir::Node node = target_[a];
  if (node.op == Op::Const && op != Op::Share) {
    const ir::Scalar operands[] = {node.constant};
    return target_.constant(ir::evaluate(op, operands));
  }
  if ((op == Op::Not || op == Op::Neg) && node.op == op) return node.operands[0];
  if (op == Op::Neg && node.op == Op::Sub && node.type == Type::Int) {
    return sub(node.operands[1], node.operands[0]);
  }
  if (op == Op::Abs && node.type == Type::Int && range(a).interval.lo >= 0) return a;
  if (op == Op::Not && node.type == Type::Bool) return negate(a);
  return target_.unary(op, a);
}

Value FoldingBuilder::negate(Value a) {
  auto found = negations_.find(a.id);
  if (found != negations_.end()) return found->second;
  const Value result = compute_negation(a);
  negations_[a.id] = result;
  return result;
}

Value FoldingBuilder::compute_negation(Value a) {
  const ir::Node node = target_[a];
  if (node.op == Op::Const) return boolean(node.constant.integer == 0);
  if (node.op == Op::Not) return node.operands[0];
  if (node.op == Op::And || node.op == Op::Or) {
    const Value x = negate(node.operands[0]), y = negate(node.operands[1]);
    return node.op == Op::And ? either(x, y) : both(x, y);
  }
  if (node.op == Op::Eq) return binary(Op::Ne, node.operands[0], node.operands[1]);
  if (node.op == Op::Ne) return binary(Op::Eq, node.operands[0], node.operands[1]);
  // NaN makes both a < b and b <= a false.
  const bool ints = !node.operands.empty() && target_.type(node.operands[0]) == Type::Int;
  if (node.op == Op::Le && ints) return lt(node.operands[1], node.operands[0]);
  if (node.op == Op::Lt && ints) return le(node.operands[1], node.operands[0]);
  return target_.unary(Op::Not, a);
}

Value FoldingBuilder::binary(Op op, Value a, Value b) {
  if (target_[a].op == Op::Const && target_[b].op == Op::Const) {
    const ir::Scalar operands[] = {target_[a].constant, target_[b].constant};
    return target_.constant(ir::evaluate(op, operands));
  }
  Value result = combine(op, a, b);
  if (target_.type(result) == Type::Float) return result;
  const ValueRange& known = range(result);
  if (known.may_wrap || !known.interval.is_constant()) return result;
  return target_.type(result) == Type::Bool ? boolean(known.interval.lo != 0)
                                            : integer(known.interval.lo);
}

Value FoldingBuilder::combine(Op op, Value a, Value b) {
  Type type = target_.type(a);
  if (type == Type::Float) return target_.binary(op, a, b);
  if (op == Op::Eq || op == Op::Ne || op == Op::Lt || op == Op::Le) return compare(op, a, b);
  if (type == Type::Bool) return logical(op, a, b);
  auto ca = constant_of(a), cb = constant_of(b);
  switch (op) {
    case Op::Add: {
      if (ca) {
        std::swap(a, b);
        std::swap(ca, cb);
      }
      if (cb == 0) return a;
      if (cb && target_[a].op == Op::Add) {
        const ir::Node inner = target_[a];
        for (size_t i = 0; i < 2; ++i) {
          if (auto c = constant_of(inner.operands[i])) {
            return add(inner.operands[1 - i], integer(ir::wrapping_add(*c, *cb)));
          }
        }
      }
      break;
    }
    case Op::Sub: {
      if (a == b) return integer(0);
      if (cb) return add(a, integer(ir::wrapping_sub(0, *cb)));
      if (ca == 0) return unary(Op::Neg, b);
      const Offset x = offset_of(a), y = offset_of(b);
      if (x.base == y.base) return integer(ir::wrapping_sub(x.constant, y.constant));
      break;
    }
    case Op::Mul:
      if (ca) {
        std::swap(a, b);
        std::swap(ca, cb);
      }
      if (cb == 0) return b;
      if (cb == 1) return a;
      break;
    case Op::Min:
    case Op::Max:
      return extreme(op, a, b);
    case Op::FloorDiv:
      if (cb == 1) return a;
      break;
    case Op::Shl:
    case Op::Shr:
      if (cb == 0) return a;
      break;
    case Op::And:
      if (a == b || ca == 0 || cb == -1) return a;
      if (ca == -1 || cb == 0) return b;
      break;
    case Op::Or:
      if (a == b || ca == -1 || cb == 0) return a;
      if (ca == 0 || cb == -1) return b;
      break;
    case Op::Xor:
      if (a == b) return integer(0);
      if (cb == 0) return a;
      if (ca == 0) return b;
      break;
    default:
      break;
  }
  return target_.binary(op, a, b);
}

Value FoldingBuilder::extreme(Op op, Value a, Value b) {
  if (provably_at_most(a, b)) return op == Op::Min ? a : b;
  if (provably_at_most(b, a)) return op == Op::Min ? b : a;
  // min(min(x, 3), 5) keeps one constant.
  auto cb = constant_of(b);
  if (constant_of(a)) {
    std::swap(a, b);
    cb = constant_of(b);
  }
  if (cb && target_[a].op == op) {
    const ir::Node inner = target_[a];
    for (size_t i = 0; i < 2; ++i) {
      if (auto c = constant_of(inner.operands[i])) {
        int64_t folded = op == Op::Min ? std::min(*c, *cb) : std::max(*c, *cb);
        return extreme(op, inner.operands[1 - i], integer(folded));
      }
    }
  }
  return target_.binary(op, a, b);
}

Value FoldingBuilder::compare(Op op, Value a, Value b) {
  Type type = target_.type(a);
  if (a == b) return boolean(op == Op::Eq || op == Op::Le);
  if (type == Type::Bool) {
    if (auto c = constant_of(a)) return (*c != 0) == (op == Op::Eq) ? b : negate(b);
    if (auto c = constant_of(b)) return (*c != 0) == (op == Op::Eq) ? a : negate(a);
    return target_.binary(op, a, b);
  }
  if (op == Op::Le || op == Op::Lt) {
    if (op == Op::Le && provably_at_most(a, b)) return boolean(true);
    if (op == Op::Lt && provably_at_most(b, a)) return boolean(false);
  }
  // x + 3 <= y + 5 becomes x <= y + 2, and x + 3 <= 5 becomes x <= 2.
  const Offset x = offset_of(a), y = offset_of(b);
  auto ca = constant_of(a), cb = constant_of(b);
  int64_t moved = 0;
  if (x.constant != 0 && (cb || y.constant != 0)) {
    int64_t right = cb ? *cb : y.constant;
    if (!__builtin_sub_overflow(right, x.constant, &moved)) {
      Value other = cb ? integer(moved) : add(y.base, integer(moved));
      if (cb || !range(other).may_wrap) return binary(op, x.base, other);
    }
  } else if (ca && y.constant != 0 && !__builtin_sub_overflow(*ca, y.constant, &moved)) {
    return binary(op, integer(moved), y.base);
  }
  if (op == Op::Lt && cb && *cb != kMin) return le(a, integer(*cb - 1));
  if (op == Op::Lt && ca && *ca != kMax) return le(integer(*ca + 1), b);
  return target_.binary(op, a, b);
}

Value FoldingBuilder::logical(Op op, Value a, Value b) {
  if (op == Op::Xor) return compare(Op::Ne, a, b);
  const bool is_and = op == Op::And;
  if (a == b) return a;
  if (auto c = constant_of(a)) return (*c != 0) == is_and ? b : a;
  if (auto c = constant_of(b)) return (*c != 0) == is_and ? a : b;
  // Absorption: x & (x | y) = x, x & (x & y) = x & y; both ways round.
  for (int turn = 0; turn < 2; ++turn, std::swap(a, b)) {
    const ir::Node& node = target_[b];
    if (node.op != Op::And && node.op != Op::Or) continue;
    if (node.operands[0] == a || node.operands[1] == a) return node.op == op ? b : a;
  }
  return target_.binary(op, a, b);
}

Value FoldingBuilder::select(Value condition, Value a, Value b) {
  if (auto c = constant_of(condition)) return *c != 0 ? a : b;
  if (a == b) return a;
  if (target_.type(a) == Type::Bool && target_[condition].op != Op::Const) {
    if (is_true(a)) return either(condition, b);
    if (is_false(b)) return both(condition, a);
    if (is_false(a)) return both(negate(condition), b);
    if (is_true(b)) return either(negate(condition), a);
  }
  return target_.select(condition, a, b);
}

bool FoldingBuilder::provably_at_most(Value a, Value b, int depth) {
  if (a == b || range(a).interval.hi <= range(b).interval.lo) return true;
  const Offset x = offset_of(a), y = offset_of(b);
  if (x.constant <= y.constant) {
    if (x.base == y.base) return true;
    auto is = [&](Value v, ir::Var var) {
      return target_[v].op == Op::Variable && target_[v].var() == var;
    };
    if (is(x.base, ir::Var::QueryLo) && is(y.base, ir::Var::QueryHi)) return true;
    if (is(x.base, ir::Var::KeyLo) && is(y.base, ir::Var::KeyHi)) return true;
  }
  if (depth == 0) return false;
  const ir::Node p = target_[a], q = target_[b];
  auto at_most = [&](Value v, Value w) { return provably_at_most(v, w, depth - 1); };
  if (p.op == Op::Max) return at_most(p.operands[0], b) && at_most(p.operands[1], b);
  if (q.op == Op::Min) return at_most(a, q.operands[0]) && at_most(a, q.operands[1]);
  if (p.op == Op::Min && (at_most(p.operands[0], b) || at_most(p.operands[1], b))) return true;
  if (q.op == Op::Max && (at_most(a, q.operands[0]) || at_most(a, q.operands[1]))) return true;
  // Division by the same positive constant is monotone.
  if (p.op == Op::FloorDiv && q.op == Op::FloorDiv && p.operands[1] == q.operands[1] &&
      range(p.operands[1]).interval.lo > 0) {
    return at_most(p.operands[0], q.operands[0]);
  }
  return false;
}

// Equal values are merged and constants pulled out of the pieces.
void FoldingBuilder::canonicalise(Sum& sum) {
  Sum flat;
  flat.overflow = sum.overflow;
  flat.constant = sum.constant;
  for (auto [value, coefficient] : sum.pieces) {
    int64_t constant = 0;
    if (auto c = constant_of(value)) {
      flat.overflow |= __builtin_mul_overflow(*c, coefficient, &constant);
    } else {
      const Offset offset = offset_of(value);
      flat.overflow |= __builtin_mul_overflow(offset.constant, coefficient, &constant);
      flat.add(offset.base, coefficient);
    }
    flat.add_constant(constant);
  }
  sum = std::move(flat);
}

WideInterval FoldingBuilder::total(const Sum& sum) {
  WideInterval result{sum.constant, sum.constant};
  for (auto [value, coefficient] : sum.pieces) {
    const Interval known = range(value).interval;
    const auto [lo, hi] = std::minmax({Wide{known.lo} * coefficient, Wide{known.hi} * coefficient});
    if (lo < -kHuge || hi > kHuge) return {-kHuge, kHuge};
    result.lo += lo;
    result.hi += hi;
  }
  return result;
}

bool FoldingBuilder::fits(const Sum& sum) {
  const WideInterval range_of_sum = total(sum);
  return kMin <= range_of_sum.lo && range_of_sum.hi <= kMax;
}

// Partial sums may wrap; the exact result fits, so modular arithmetic gives it.
Value FoldingBuilder::emit(const Sum& sum) {
  Value result;
  for (auto [value, coefficient] : sum.pieces) {
    if (coefficient < 0) continue;
    Value part = mul(value, integer(coefficient));
    result = result.valid() ? add(result, part) : part;
  }
  const bool constant_first = !result.valid();
  if (constant_first) result = integer(sum.constant);
  for (auto [value, coefficient] : sum.pieces) {
    if (coefficient > 0) continue;
    result = sub(result, mul(value, integer(ir::wrapping_sub(0, coefficient))));
  }
  return constant_first ? result : add(result, integer(sum.constant));
}

std::optional<Value> FoldingBuilder::value_of(Sum sum) {
  canonicalise(sum);
  if (sum.overflow || !fits(sum)) return std::nullopt;
  return emit(sum);
}

// The sum without the part that the order of tile bounds decides: lo - hi is never positive.
Sum FoldingBuilder::without_tile_widths(Sum sum, int sign) {
  for (auto [lo, hi] :
       {std::pair{ir::Var::QueryLo, ir::Var::QueryHi}, std::pair{ir::Var::KeyLo, ir::Var::KeyHi}}) {
    int64_t of_lo = 0, of_hi = 0;
    for (auto [value, coefficient] : sum.pieces) {
      if (target_[value].op != Op::Variable || coefficient == kMin) continue;
      if (target_[value].var() == lo) of_lo = coefficient * sign;
      if (target_[value].var() == hi) of_hi = coefficient * sign;
    }
    if (of_lo <= 0 || of_hi >= 0) continue;
    int64_t common = std::min(of_lo, -of_hi) * sign;
    sum.add(target_.variable(lo), -common);
    sum.add(target_.variable(hi), common);
  }
  return sum;
}

std::optional<Value> FoldingBuilder::at_most_zero(Sum sum) {
  canonicalise(sum);
  if (sum.overflow) return std::nullopt;
  if (total(without_tile_widths(sum, 1)).hi <= 0) return boolean(true);
  if (total(without_tile_widths(sum, -1)).lo > 0) return boolean(false);
  int64_t divisor = 0;
  for (auto [value, coefficient] : sum.pieces) {
    if (coefficient == kMin) return std::nullopt;
    divisor = std::gcd(divisor, coefficient);
  }
  if (divisor > 1) {
    if (sum.constant == kMin) return std::nullopt;
    for (auto& [value, coefficient] : sum.pieces) coefficient /= divisor;
    sum.constant = -ir::floor_div(-sum.constant, divisor);
  }
  // What depends on the keys stands alone on its side: the other is computed once a block of
  // queries.
  constexpr uint32_t kKeys = ir::bit(ir::Var::KeyLo) | ir::bit(ir::Var::KeyHi);
  Sum keys, rest;
  int64_t key_sign = 0;
  for (auto [value, coefficient] : sum.pieces) {
    const bool is_key = (target_.variables_of(value) & kKeys) != 0;
    (is_key ? keys : rest).add(value, coefficient);
    if (is_key && key_sign == 0) key_sign = coefficient;
  }
  if (key_sign != 0) {
    Sum left = key_sign > 0 ? keys : rest, right = key_sign > 0 ? rest : keys;
    for (auto& [value, coefficient] : right.pieces) coefficient = -coefficient;
    if (auto result = at_most(left, right, sum.constant, key_sign < 0)) return result;
  }
  Sum left, right;
  for (auto [value, coefficient] : sum.pieces) {
    if (coefficient > 0) left.add(value, coefficient);
    if (coefficient < 0) right.add(value, -coefficient);
  }
  return at_most(left, right, sum.constant, right.pieces.empty() ? false : left.pieces.empty());
}

// left + constant <= right, the constant on the left or on the right.
std::optional<Value> FoldingBuilder::at_most(Sum left, Sum right, int64_t constant,
                                             bool constant_on_left) {
  if (constant == 1 && !left.pieces.empty() && !right.pieces.empty()) {
    if (fits(left) && fits(right)) return lt(emit(left), emit(right));
  }
  for (bool on_left : {constant_on_left, !constant_on_left}) {
    Sum a = left, b = right;
    if (on_left) {
      a.add_constant(constant);
    } else if (constant != kMin) {
      b.add_constant(-constant);
    } else {
      continue;
    }
    if (fits(a) && fits(b)) return le(emit(a), emit(b));
  }
  return std::nullopt;
}

}  // namespace maskjit::analysis
