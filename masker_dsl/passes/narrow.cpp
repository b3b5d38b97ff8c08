#include "masker_dsl/passes/narrow.h"

#include <limits>

#include "masker_dsl/analysis/value_range.h"
#include "masker_dsl/ir/evaluate.h"
#include "masker_dsl/passes/rewrite.h"

namespace maskjit::passes {
namespace {

using analysis::Interval;
using ir::Op;
using ir::Type;
using ir::Value;

// Int to f64 and back is exact up to here.
constexpr int64_t kExactInFloat = int64_t{1} << 53;

class Narrowing {
 public:
  explicit Narrowing(const ir::Function& in) : in_(in), ranges_(analysis::value_ranges(in)) {}

  Value visit(const Visit& visit) {
    out_ = &visit.out;
    map_ = visit.map;
    const ir::Node& node = visit.node;
    const Interval range = ranges_[visit.value.id].interval;
    if (node.type != Type::Float && range.lo == range.hi) {
      return node.type == Type::Bool ? out_->constant_bool(range.lo != 0)
                                     : out_->constant_int(range.lo);
    }
    const Value replacement = rule(node, visit.operands);
    return replacement.valid() ? replacement : visit.unchanged();
  }

 private:
  using Mapped = std::span<const Value>;

  Interval range(Value v) const { return ranges_[v.id].interval; }
  std::optional<int64_t> constant(Value v) const {
    if (in_[v].op != Op::Const || in_[v].type != Type::Int) return std::nullopt;
    return in_[v].constant.integer;
  }
  // The op of a node of the old function whose result is exact, with its operands.
  bool exact(Value v, Op op) const { return in_[v].op == op && !ranges_[v.id].may_wrap; }

  // Operands of a node of the old function, as found in the new one: all precede their user.
  Value mapped(Value v) const { return map_[v.id]; }

  Value rule(const ir::Node& node, Mapped operands) {
    switch (node.op) {
      case Op::Min:
      case Op::Max:
        return node.type == Type::Int ? min_max(node, operands) : Value{};
      case Op::Abs:
        return node.type == Type::Int ? abs(node, operands) : Value{};
      case Op::FloorMod:
        return floor_mod(node, operands);
      case Op::FloorDiv:
        return floor_div(node);
      case Op::And:
        return node.type == Type::Int ? mask(node, operands) : Value{};
      case Op::Lt:
        return in_.type(node.operands[0]) == Type::Int ? less(node) : Value{};
      case Op::Le:
        return in_.type(node.operands[0]) == Type::Int ? less_or_equal(node) : Value{};
      case Op::Floor: {
        const ir::Node& inner = in_[node.operands[0]];
        if (inner.op != Op::ToFloat) return {};
        return range(inner.operands[0]).within({-kExactInFloat, kExactInFloat})
                   ? mapped(inner.operands[0])
                   : Value{};
      }
      case Op::Share:
        return node.constant.real == 1 &&
                       range(node.operands[0]).within({-kExactInFloat, kExactInFloat})
                   ? operands[0]
                   : Value{};
      default:
        return {};
    }
  }

  Value min_max(const ir::Node& node, Mapped operands) {
    const Interval a = range(node.operands[0]);
    const Interval b = range(node.operands[1]);
    if (a.hi <= b.lo) return operands[node.op == Op::Min ? 0 : 1];
    if (b.hi <= a.lo) return operands[node.op == Op::Min ? 1 : 0];
    return {};
  }

  Value abs(const ir::Node& node, Mapped operands) {
    const Interval a = range(node.operands[0]);
    if (a.lo >= 0) return operands[0];
    return a.hi <= 0 ? out_->unary(Op::Neg, operands[0]) : Value{};
  }

  // x & (2^n - 1) where x has no other bits.
  Value mask(const ir::Node& node, Mapped operands) {
    for (size_t i = 0; i < 2; ++i) {
      const auto bits = constant(node.operands[1 - i]);
      if (!bits || *bits < 0 || (*bits & ir::wrapping_add(*bits, 1)) != 0) continue;
      if (range(node.operands[i]).within({0, *bits})) return operands[i];
    }
    return {};
  }

  // a = multiple * c + rest without wrapping, c a constant; rest is invalid if there is none.
  bool split(Value a, int64_t c, Value& multiple, Value& rest) const {
    auto is_multiple = [&](Value v) {
      if (!exact(v, Op::Mul)) return false;
      for (size_t i = 0; i < 2; ++i) {
        if (constant(in_[v].operands[i]) == c) {
          multiple = in_[v].operands[1 - i];
          return true;
        }
      }
      return false;
    };
    rest = {};
    if (is_multiple(a)) return true;
    if (!exact(a, Op::Add)) return false;
    for (size_t i = 0; i < 2; ++i) {
      rest = in_[a].operands[1 - i];
      if (is_multiple(in_[a].operands[i])) return true;
    }
    return false;
  }

  Value floor_mod(const ir::Node& node, Mapped operands) {
    const Interval divisor = range(node.operands[1]);
    const Interval dividend = range(node.operands[0]);
    if (dividend.lo >= 0 && dividend.hi < divisor.lo) return operands[0];
    const auto c = constant(node.operands[1]);
    Value multiple, rest;
    if (!c || *c <= 0 || !split(node.operands[0], *c, multiple, rest)) return {};
    if (!rest.valid()) return out_->constant_int(0);
    return out_->binary(Op::FloorMod, mapped(rest), operands[1]);
  }

  Value floor_div(const ir::Node& node) {
    const auto c = constant(node.operands[1]);
    Value multiple, rest;
    if (!c || *c <= 0 || !split(node.operands[0], *c, multiple, rest)) return {};
    if (!rest.valid() || range(rest).within({0, *c - 1})) return mapped(multiple);
    return {};
  }

  // a < b. With one constant side, what is added to or scales the other side moves over.
  Value less(const ir::Node& node) {
    const Value a = node.operands[0];
    const Value b = node.operands[1];
    if (const auto c = constant(b)) return less_than_constant(a, *c);
    if (const auto c = constant(a)) return constant_less_than(*c, b);
    return {};
  }

  Value less_than_constant(Value a, int64_t c) {
    if (c == 0 && exact(a, Op::Sub)) return compare(Op::Lt, in_[a].operands[0], in_[a].operands[1]);
    int64_t k = 0, moved = 0;
    Value x;
    if (negated(a, x, k)) {
      return __builtin_sub_overflow(k, c, &moved) ? Value{} : greater(x, moved);
    }
    if (scaled(a, Op::Add, x, k)) {
      return __builtin_sub_overflow(c, k, &moved) ? Value{} : lower(x, moved);
    }
    // x * k < c is x < ceil(c / k) = floor((c - 1) / k) + 1.
    if (scaled(a, Op::Mul, x, k) && k > 0 && c > std::numeric_limits<int64_t>::min()) {
      return __builtin_add_overflow(ir::floor_div(c - 1, k), 1, &moved) ? Value{} : lower(x, moved);
    }
    // x // k < c is x < c * k.
    if (scaled(a, Op::FloorDiv, x, k) && k > 0) {
      return __builtin_mul_overflow(c, k, &moved) ? Value{} : lower(x, moved);
    }
    return {};
  }

  Value constant_less_than(int64_t c, Value b) {
    if (c == 0 && exact(b, Op::Sub)) return compare(Op::Lt, in_[b].operands[1], in_[b].operands[0]);
    int64_t k = 0, moved = 0;
    Value x;
    if (negated(b, x, k)) {
      return __builtin_sub_overflow(k, c, &moved) ? Value{} : lower(x, moved);
    }
    if (scaled(b, Op::Add, x, k)) {
      return __builtin_sub_overflow(c, k, &moved) ? Value{} : greater(x, moved);
    }
    // c < x * k is floor(c / k) < x.
    if (scaled(b, Op::Mul, x, k) && k > 0) return greater(x, ir::floor_div(c, k));
    // c < x // k is (c + 1) * k - 1 < x.
    if (scaled(b, Op::FloorDiv, x, k) && k > 0) {
      if (__builtin_add_overflow(c, 1, &moved) || __builtin_mul_overflow(moved, k, &moved) ||
          __builtin_sub_overflow(moved, 1, &moved)) {
        return {};
      }
      return greater(x, moved);
    }
    return {};
  }

  // Only a difference against zero: other constants come as Lt.
  Value less_or_equal(const ir::Node& node) {
    const Value a = node.operands[0];
    const Value b = node.operands[1];
    if (constant(b) == 0 && exact(a, Op::Sub)) {
      return compare(Op::Le, in_[a].operands[0], in_[a].operands[1]);
    }
    if (constant(a) == 0 && exact(b, Op::Sub)) {
      return compare(Op::Le, in_[b].operands[1], in_[b].operands[0]);
    }
    return {};
  }

  // a is k - x or -x, exactly.
  bool negated(Value a, Value& x, int64_t& k) const {
    if (exact(a, Op::Neg)) {
      x = in_[a].operands[0];
      k = 0;
      return true;
    }
    if (!exact(a, Op::Sub)) return false;
    const auto c = constant(in_[a].operands[0]);
    x = in_[a].operands[1];
    k = c.value_or(0);
    return c.has_value();
  }

  // a is `op` of x and the constant k, exactly.
  bool scaled(Value a, Op op, Value& x, int64_t& k) const {
    if (!exact(a, op)) return false;
    const std::vector<Value>& operands = in_[a].operands;
    for (size_t i : {size_t{1}, size_t{0}}) {
      if (i == 0 && !ir::info(op).commutative) break;
      if (const auto c = constant(operands[i])) {
        x = operands[1 - i];
        k = *c;
        return true;
      }
    }
    return false;
  }

  Value lower(Value x, int64_t c) { return out_->binary(Op::Lt, mapped(x), out_->constant_int(c)); }
  Value greater(Value x, int64_t c) {
    return out_->binary(Op::Lt, out_->constant_int(c), mapped(x));
  }
  Value compare(Op op, Value a, Value b) { return out_->binary(op, mapped(a), mapped(b)); }

  const ir::Function& in_;
  std::vector<analysis::ValueRange> ranges_;
  ir::Function* out_ = nullptr;
  std::span<const Value> map_;
};

ir::Function sweep(const ir::Function& function) {
  Narrowing narrowing(function);
  return rewrite(function, [&](const Visit& visit) { return narrowing.visit(visit); });
}

}  // namespace

ir::Function narrow(const ir::Function& function) { return to_fixed_point(function, sweep); }

}  // namespace maskjit::passes
