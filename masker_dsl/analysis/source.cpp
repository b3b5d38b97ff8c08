#include "masker_dsl/analysis/source.h"

#include <algorithm>
#include <bit>

#include "masker_dsl/ir/internal_error.h"

namespace maskjit::analysis {
namespace {

using ir::Op;
using ir::Value;
__extension__ using Wide = __int128;

constexpr uint32_t kTileVariables =
    ir::bit(ir::Var::Query) | ir::bit(ir::Var::Key) | ir::bit(ir::Var::Score);

}  // namespace

int64_t Linear::coefficient(Value term) const {
  for (const auto& [t, c] : terms) {
    if (t == term) return c;
  }
  return 0;
}

std::optional<Linear> add(const Linear& a, const Linear& b, int64_t scale) {
  Linear sum = a;
  int64_t product = 0;
  if (__builtin_mul_overflow(b.constant, scale, &product) ||
      __builtin_add_overflow(sum.constant, product, &sum.constant)) {
    return std::nullopt;
  }
  for (const auto& [term, coefficient] : b.terms) {
    if (__builtin_mul_overflow(coefficient, scale, &product)) return std::nullopt;
    auto it = std::lower_bound(sum.terms.begin(), sum.terms.end(), term,
                               [](const auto& entry, Value t) { return entry.first < t; });
    if (it == sum.terms.end() || it->first != term) {
      sum.terms.insert(it, {term, product});
    } else if (__builtin_add_overflow(it->second, product, &it->second)) {
      return std::nullopt;
    }
  }
  std::erase_if(sum.terms, [](const auto& entry) { return entry.second == 0; });
  return sum;
}

Linear without(const Linear& a, Value term) {
  Linear rest = a;
  std::erase_if(rest.terms, [&](const auto& entry) { return entry.first == term; });
  return rest;
}

Source::Source(const ir::Function& function) : function_(function.name()) {
  for (const ir::Param& param : function.params()) function_.add_param(param);
  for (const ir::Tensor& tensor : function.tensors()) function_.add_tensor(tensor);
  const Value mask = function.result("mask");
  MASKJIT_CHECK(mask.valid(), "the function has no result called mask");
  MASKJIT_CHECK(function.type(mask) == ir::Type::Bool, "the mask is not Boolean");
  std::vector<bool> needed(function.size(), false);
  needed[mask.id] = true;
  for (uint32_t id = mask.id + 1; id-- > 0;) {
    if (!needed[id]) continue;
    for (Value operand : function[Value{id}].operands) needed[operand.id] = true;
  }
  copies_.resize(function.size());
  for (uint32_t id = 0; id <= mask.id; ++id) {
    if (!needed[id]) continue;
    const ir::Node& node = function[Value{id}];
    std::vector<Value> operands;
    for (Value operand : node.operands) operands.push_back(copies_[operand.id]);
    copies_[id] = canonical(node, operands);
  }
  mask_ = copies_[mask.id];
}

Value Source::canonical(const ir::Node& node, const std::vector<Value>& operands) {
  if (node.type == ir::Type::Int && operands.size() == 2) {
    const Value x = operands[0];
    auto c = constant_of(operands[1]);
    if (node.op == Op::Shr && c && (*c & 63) < 63) return divide(x, int64_t{1} << (*c & 63));
    if (node.op == Op::Shl && c && (*c & 63) < 63) {
      return function_.binary(Op::Mul, x, function_.constant_int(int64_t{1} << (*c & 63)));
    }
    if (node.op == Op::FloorDiv && c && *c > 0) return divide(x, *c);
    if (node.op == Op::And) {
      Value masked = x;
      if (!c) {
        c = constant_of(x);
        masked = operands[1];
      }
      // x & 0..01..1 is a remainder, x & 1..10..0 rounds down.
      if (c && *c > 0 && std::has_single_bit(static_cast<uint64_t>(*c) + 1) && *c < INT64_MAX) {
        return function_.binary(Op::FloorMod, masked, function_.constant_int(*c + 1));
      }
      if (c && *c < 0 && *c != INT64_MIN && std::has_single_bit(static_cast<uint64_t>(-*c))) {
        const Value step = function_.constant_int(-*c);
        return function_.binary(Op::Mul, divide(masked, -*c), step);
      }
    }
  }
  return function_.rebuild(node, operands);
}

// x // divisor, nested divisions merged.
Value Source::divide(Value x, int64_t divisor) {
  if (divisor == 1) return x;
  const ir::Node& inner = function_[x];
  if (inner.op == Op::FloorDiv) {
    auto c = constant_of(inner.operands[1]);
    int64_t product = 0;
    if (c && *c > 0 && !__builtin_mul_overflow(*c, divisor, &product)) {
      return divide(inner.operands[0], product);
    }
  }
  return function_.binary(Op::FloorDiv, x, function_.constant_int(divisor));
}

const ValueRange& Source::range(Value value) {
  while (ranges_.size() <= value.id) {
    Value next{static_cast<uint32_t>(ranges_.size())};
    ranges_.push_back(range_of(function_, next, ranges_));
  }
  return ranges_[value.id];
}

Interval Source::static_range(const Linear& linear) {
  Wide lo = linear.constant, hi = linear.constant;
  constexpr Wide kHuge = Wide{1} << 100;
  for (const auto& [term, coefficient] : linear.terms) {
    const Interval known = range(term).interval;
    const auto [low, high] =
        std::minmax({Wide{known.lo} * coefficient, Wide{known.hi} * coefficient});
    if (low < -kHuge || high > kHuge) return {};
    lo += low;
    hi += high;
  }
  const Interval full;
  if (lo > full.hi || hi < full.lo) return full;
  return {static_cast<int64_t>(std::max(lo, Wide{full.lo})),
          static_cast<int64_t>(std::min(hi, Wide{full.hi}))};
}

bool Source::varies(Value value) const {
  return (function_.variables_of(value) & kTileVariables) != 0;
}
bool Source::has_key(Value value) const {
  return (function_.variables_of(value) & ir::bit(ir::Var::Key)) != 0;
}
bool Source::has_query(Value value) const {
  return (function_.variables_of(value) & ir::bit(ir::Var::Query)) != 0;
}
bool Source::has_key(const Linear& linear) const {
  return std::any_of(linear.terms.begin(), linear.terms.end(),
                     [&](const auto& entry) { return has_key(entry.first); });
}

std::optional<int64_t> Source::constant_of(Value value) const {
  const ir::Node& node = function_[value];
  if (node.op != Op::Const || node.type == ir::Type::Float) return std::nullopt;
  return node.constant.integer;
}

Linear Source::linear(Value value) {
  if (linears_.size() <= value.id) linears_.resize(function_.size());
  if (linears_[value.id]) return *linears_[value.id];
  Linear result = compute_linear(value);
  if (linears_.size() <= value.id) linears_.resize(function_.size());
  linears_[value.id] = result;
  return result;
}

Linear Source::compute_linear(Value value) {
  const Linear itself{{{value, 1}}, 0};
  const ir::Node n = node(value);
  if (n.op == Op::Const) return {{}, n.constant.integer};
  if (range(value).may_wrap) return itself;
  std::optional<Linear> result;
  switch (n.op) {
    case Op::Add:
      result = add(linear(n.operands[0]), linear(n.operands[1]), 1);
      break;
    case Op::Sub:
      result = add(linear(n.operands[0]), linear(n.operands[1]), -1);
      break;
    case Op::Neg:
      result = add({}, linear(n.operands[0]), -1);
      break;
    case Op::Not:
      result = add({{}, -1}, linear(n.operands[0]), -1);
      break;
    case Op::Mul:
      if (auto c = constant_of(n.operands[1])) {
        result = add({}, linear(n.operands[0]), *c);
      } else if (auto d = constant_of(n.operands[0])) {
        result = add({}, linear(n.operands[1]), *d);
      }
      break;
    default:
      break;
  }
  return result ? cancel_remainders(*result) : itself;
}

std::optional<Linear> Source::difference(Value a, Value b) {
  auto result = add(linear(a), linear(b), -1);
  return result ? std::optional(cancel_remainders(*result)) : std::nullopt;
}

Linear Source::cancel_remainders(Linear linear_form) {
  for (size_t i = 0; i < linear_form.terms.size(); ++i) {
    const auto [term, coefficient] = linear_form.terms[i];
    const ir::Node n = node(term);
    if (n.op != Op::FloorMod || coefficient == INT64_MIN) continue;
    auto divisor = constant_of(n.operands[1]);
    if (!divisor || *divisor <= 0) continue;
    const Linear x = linear(n.operands[0]);
    const bool cancels =
        !x.terms.empty() && std::all_of(x.terms.begin(), x.terms.end(), [&](const auto& entry) {
          int64_t opposite = 0;
          return !__builtin_mul_overflow(entry.second, -coefficient, &opposite) &&
                 linear_form.coefficient(entry.first) == opposite;
        });
    int64_t step = 0;
    if (!cancels || __builtin_mul_overflow(-coefficient, *divisor, &step)) continue;
    // coefficient * (x % d) = coefficient * x - coefficient * d * (x // d)
    auto sum = add(without(linear_form, term), x, coefficient);
    if (sum) sum = add(*sum, {{{divide(n.operands[0], *divisor), 1}}, 0}, step);
    if (!sum) continue;
    linear_form = *sum;
    i = static_cast<size_t>(-1);
  }
  return linear_form;
}

}  // namespace maskjit::analysis
