#include "masker_dsl/analysis/key_ranges.h"

#include <algorithm>

#include "masker_dsl/analysis/tile_analysis.h"

namespace maskjit::analysis {
namespace {

using ir::Op;
using ir::Value;

// Ranges this close are one: far less than a tile lies between them.
constexpr int64_t kSmallGap = 16;

Box all_keys(FoldingBuilder& b) {
  return {b.variable(ir::Var::QueryLo), b.variable(ir::Var::QueryHi), b.integer(0),
          b.add(b.variable(ir::Var::KvLen), b.integer(-1))};
}

}  // namespace

KeyRanges::KeyRanges(Source& source, Formulas& formulas, FoldingBuilder& builder, Effort effort)
    : source_(source),
      formulas_(formulas),
      builder_(builder),
      effort_(effort),
      block_(source, formulas, builder, all_keys(builder), effort) {}

KeyRange KeyRanges::everything() {
  const Box box = all_keys(builder_);
  return {box.key_lo, box.key_hi, builder_.boolean(true)};
}

bool KeyRanges::is_everything(const KeyRange& range) {
  return builder_.is_true(range.guard) &&
         builder_.provably_at_most(range.lo, builder_.integer(0)) &&
         builder_.provably_at_most(everything().hi, range.hi);
}

std::vector<KeyRange> KeyRanges::of(Formulas::Ref formula) {
  auto found = ranges_.find(formula);
  if (found != ranges_.end()) return found->second;
  std::vector<KeyRange> result = compute(formula);
  ranges_[formula] = result;
  return result;
}

std::vector<KeyRange> KeyRanges::compute(Formulas::Ref formula) {
  if (builder_.function().size() > effort_.max_nodes) return {everything()};
  if (auto disjuncts = formulas_.disjuncts(formula, effort_.disjuncts)) {
    return of_conjunctions(*disjuncts);
  }
  const Formulas::Node n = formulas_.node(formula);
  const bool is_and = n.kind == Formulas::Kind::And;
  std::vector<KeyRange> result;
  if (is_and) result.push_back(everything());
  for (Formulas::Ref child : n.children) {
    const std::vector<KeyRange> part = of(child);
    if (is_and) {
      result = intersect(result, part);
    } else {
      result.insert(result.end(), part.begin(), part.end());
      result = simplify(std::move(result), kMaxRanges);
    }
  }
  return result;
}

std::vector<KeyRange> KeyRanges::of_conjunctions(const std::vector<Conjunction>& disjuncts) {
  std::vector<KeyRange> ranges;
  for (const Conjunction& literals : disjuncts) ranges.push_back(of_conjunction(literals));
  return simplify(std::move(ranges), kMaxRanges);
}

KeyRange KeyRanges::of_conjunction(const Conjunction& literals) {
  if (builder_.function().size() > effort_.max_nodes) return everything();
  const Narrowed narrowed = block_.narrow(literals, false);
  KeyRange range = everything();
  Bounds bounds;
  Conjunction rest;
  for (LiteralId id : literals) {
    const Literal literal = formulas_.literal(id);
    const bool is_key_free =
        literal.is_inequality() ? !source_.has_key(literal.form) : !source_.has_key(literal.atom);
    if (is_key_free) {
      rest.push_back(id);
      continue;
    }
    if (literal.is_inequality() && solve_at_most(literal.form, {}, narrowed, bounds)) {
      continue;
    }
    // No bound, but it may hold for no key at all.
    if (builder_.is_false(block_.may_all({id}))) range.guard = builder_.boolean(false);
  }
  std::vector<Value> conditions = block_.checks_of(rest, narrowed);
  for (Value condition : block_.consistent(literals)) conditions.push_back(condition);
  for (Value condition : conditions) range.guard = builder_.both(range.guard, condition);
  for (size_t i = 0; i < bounds.lower.size(); ++i) {
    range.lo = i == 0 ? bounds.lower[i] : builder_.max(range.lo, bounds.lower[i]);
  }
  for (size_t i = 0; i < bounds.upper.size(); ++i) {
    range.hi = i == 0 ? bounds.upper[i] : builder_.min(range.hi, bounds.upper[i]);
  }
  return range;
}

bool KeyRanges::bounds_key(LiteralId id) {
  const Literal literal = formulas_.literal(id);
  Bounds bounds;
  return literal.is_inequality() && source_.has_key(literal.form) &&
         solve_at_most(literal.form, {}, {}, bounds);
}

// Every bound of the key that form <= bound implies: each term with the key is solved for, the
// others are replaced by the end of their interval.
bool KeyRanges::solve_at_most(const Linear& form, const Sum& bound, const Narrowed& narrowed,
                              Bounds& found) {
  bool any = false;
  for (const auto& [term, coefficient] : form.terms) {
    if (!source_.has_key(term) || coefficient == INT64_MIN) continue;
    // coefficient * term <= room: an upper bound room // c, or a lower one, -room / c rounded up.
    const bool is_upper = coefficient > 0;
    const int64_t divisor = is_upper ? coefficient : -coefficient;
    const Sum rest = block_.end_of(without(form, term), AbstractTile::Side::Lower, narrowed);
    Sum end;
    end.add(bound, is_upper ? 1 : -1);
    end.add(rest, is_upper ? -1 : 1);
    if (divisor > 1) {
      if (!is_upper) end.add_constant(divisor - 1);
      auto room = builder_.value_of(end);
      if (!room) continue;
      end = {};
      end.add(builder_.binary(Op::FloorDiv, *room, builder_.integer(divisor)), 1);
    }
    any |= is_upper ? bound_above(term, end, narrowed, found)
                    : bound_below(term, end, narrowed, found);
  }
  return any;
}

// x <= end (or >= end) where the launch value `d` is positive; else x may be anything.
bool KeyRanges::bound_operand(Value x, Value d, const Sum& end, bool is_upper,
                              const Narrowed& narrowed, Bounds& found) {
  for (const auto& [value, c] : end.pieces) {
    if (builder_.range(value).may_wrap) return false;
  }
  auto solved = builder_.value_of(end);
  if (!solved) return false;
  const Interval any = source_.range(x).interval;
  const Value bound = builder_.select(builder_.le(builder_.integer(1), d), *solved,
                                      builder_.integer(is_upper ? any.hi : any.lo));
  Sum sum;
  sum.add(bound, is_upper ? 1 : -1);
  if (is_upper) return solve_at_most(source_.linear(x), sum, narrowed, found);
  auto opposite = add({}, source_.linear(x), -1);
  return opposite && solve_at_most(*opposite, sum, narrowed, found);
}

// The factors of a product, one of them a launch value: key-dependent factor first.
std::optional<std::pair<Value, Value>> KeyRanges::launch_factor(const ir::Node& n) {
  for (size_t i = 0; i < 2; ++i) {
    if (!source_.varies(n.operands[i])) return std::pair{n.operands[1 - i], n.operands[i]};
  }
  return std::nullopt;
}

bool KeyRanges::bound_above(Value term, const Sum& bound, const Narrowed& narrowed, Bounds& found) {
  const ir::Node n = source_.node(term);
  switch (n.op) {
    case Op::Variable: {
      auto value = builder_.value_of(bound);
      if (value) found.upper.push_back(*value);
      return value.has_value();
    }
    case Op::FloorDiv: {
      // x // d <= b is x <= b * d + d - 1.
      auto divisor = source_.constant_of(n.operands[1]);
      if (!divisor && !source_.varies(n.operands[1])) {
        const Value d = block_.copy(n.operands[1]);
        auto b = builder_.value_of(bound);
        if (!b) return false;
        Sum end;
        end.add(builder_.mul(*b, d), 1);
        end.add(d, 1);
        end.add_constant(-1);
        return bound_operand(n.operands[0], d, end, true, narrowed, found);
      }
      if (!divisor || *divisor <= 0) return false;
      Sum end;
      end.add(bound, *divisor);
      end.add_constant(*divisor - 1);
      return solve_at_most(source_.linear(n.operands[0]), end, narrowed, found);
    }
    case Op::Mul: {
      // x * d <= b is x <= b // d.
      auto factors = launch_factor(n);
      auto b = builder_.value_of(bound);
      if (!factors || !b || source_.range(term).may_wrap) return false;
      const Value d = block_.copy(factors->second);
      Sum end;
      end.add(builder_.binary(Op::FloorDiv, *b, d), 1);
      return bound_operand(factors->first, d, end, true, narrowed, found);
    }
    case Op::Max: {
      const bool first = solve_at_most(source_.linear(n.operands[0]), bound, narrowed, found);
      return solve_at_most(source_.linear(n.operands[1]), bound, narrowed, found) || first;
    }
    case Op::Abs: {
      if (source_.range(term).may_wrap) return false;
      const Linear x = source_.linear(n.operands[0]);
      const bool first = solve_at_most(x, bound, narrowed, found);
      auto opposite = add({}, x, -1);
      return (opposite && solve_at_most(*opposite, bound, narrowed, found)) || first;
    }
    default:
      return false;
  }
}

bool KeyRanges::bound_below(Value term, const Sum& bound, const Narrowed& narrowed, Bounds& found) {
  const ir::Node n = source_.node(term);
  // x >= scale * bound is -x <= -scale * bound.
  auto at_least = [&](Value operand, int64_t scale) {
    auto opposite = add({}, source_.linear(operand), -1);
    Sum end;
    end.add(bound, -scale);
    return opposite && solve_at_most(*opposite, end, narrowed, found);
  };
  switch (n.op) {
    case Op::Variable: {
      auto value = builder_.value_of(bound);
      if (value) found.lower.push_back(*value);
      return value.has_value();
    }
    case Op::FloorDiv: {
      auto divisor = source_.constant_of(n.operands[1]);
      if (!divisor && !source_.varies(n.operands[1])) {
        const Value d = block_.copy(n.operands[1]);
        auto b = builder_.value_of(bound);
        if (!b) return false;
        Sum end;
        end.add(builder_.mul(*b, d), 1);
        return bound_operand(n.operands[0], d, end, false, narrowed, found);
      }
      return divisor && *divisor > 0 && at_least(n.operands[0], *divisor);
    }
    case Op::Mul: {
      // x * d >= b is x >= -(-b // d).
      auto factors = launch_factor(n);
      Sum opposite;
      opposite.add(bound, -1);
      auto b = builder_.value_of(opposite);
      if (!factors || !b || source_.range(term).may_wrap) return false;
      const Value d = block_.copy(factors->second);
      const Value quotient = builder_.binary(Op::FloorDiv, *b, d);
      if (builder_.range(quotient).may_wrap) return false;
      Sum end;
      end.add(quotient, -1);
      return bound_operand(factors->first, d, end, false, narrowed, found);
    }
    case Op::Min: {
      const bool first = at_least(n.operands[0], 1);
      return at_least(n.operands[1], 1) || first;
    }
    default:
      return false;
  }
}

std::vector<KeyRange> KeyRanges::intersect(const std::vector<KeyRange>& a,
                                           const std::vector<KeyRange>& b) {
  const KeyRange all = everything();
  std::vector<KeyRange> result;
  for (const KeyRange& x : a) {
    for (const KeyRange& y : b) {
      KeyRange both = x;
      // 0 and kv_len - 1 are where nothing else bounds.
      both.lo = x.lo == all.lo ? y.lo : y.lo == all.lo ? x.lo : builder_.max(x.lo, y.lo);
      both.hi = x.hi == all.hi ? y.hi : y.hi == all.hi ? x.hi : builder_.min(x.hi, y.hi);
      both.guard = builder_.both(x.guard, y.guard);
      result.push_back(both);
    }
  }
  return simplify(std::move(result), kMaxRanges);
}

bool KeyRanges::is_empty(const KeyRange& range) {
  return builder_.is_false(range.guard) ||
         builder_.provably_at_most(range.hi, builder_.integer(-1)) ||
         builder_.is_true(builder_.lt(range.hi, range.lo));
}

// Makes `a` the union with `b`, if that is one range.
bool KeyRanges::absorb(KeyRange& a, const KeyRange& b) {
  const bool same_guard = a.guard == b.guard;
  if (!same_guard && !builder_.is_true(a.guard)) return false;
  // No key is below 0, so that every end there is as good as 0.
  const bool from_first = builder_.provably_at_most(a.lo, builder_.integer(0));
  const bool starts_before = from_first || builder_.provably_at_most(a.lo, b.lo);
  const bool to_last = builder_.provably_at_most(everything().hi, a.hi);
  if (starts_before && (to_last || builder_.provably_at_most(b.hi, a.hi))) return true;
  if (!same_guard) return false;
  // b begins before a does, and a begins where b ends or a few keys later.
  const bool b_first = builder_.provably_at_most(b.lo, builder_.integer(0));
  if ((b_first || builder_.provably_at_most(b.lo, a.lo)) &&
      builder_.provably_at_most(a.lo, builder_.add(b.hi, builder_.integer(kSmallGap)))) {
    a = {b.lo, builder_.max(a.hi, b.hi), a.guard};
    return true;
  }
  if (a.lo == b.lo) {
    a.hi = builder_.max(a.hi, b.hi);
    return true;
  }
  if (a.hi == b.hi) {
    a.lo = from_first ? a.lo : b_first ? b.lo : builder_.min(a.lo, b.lo);
    return true;
  }
  return false;
}

std::vector<KeyRange> KeyRanges::simplify(std::vector<KeyRange> ranges, size_t limit) {
  std::erase_if(ranges, [&](const KeyRange& r) { return is_empty(r); });
  for (bool changed = true; changed;) {
    changed = false;
    for (size_t i = 0; i < ranges.size() && !changed; ++i) {
      for (size_t j = 0; j < ranges.size() && !changed; ++j) {
        if (i == j || !absorb(ranges[i], ranges[j])) continue;
        ranges.erase(ranges.begin() + static_cast<std::ptrdiff_t>(j));
        changed = true;
      }
    }
    if (changed || ranges.size() <= limit) continue;
    size_t first = 0, second = 1;
    for (size_t i = 0; i < ranges.size(); ++i) {
      for (size_t j = i + 1; j < ranges.size(); ++j) {
        if (distance(ranges[i], ranges[j]) < distance(ranges[first], ranges[second])) {
          first = i;
          second = j;
        }
      }
    }
    ranges[first] = hull(ranges[first], ranges[second]);
    ranges.erase(ranges.begin() + static_cast<std::ptrdiff_t>(second));
    changed = true;
  }
  return ranges;
}

// The least range that contains both; an empty one adds nothing.
KeyRange KeyRanges::hull(const KeyRange& a, const KeyRange& b) {
  auto some = [&](const KeyRange& r) {
    const Value ordered =
        builder_.both(builder_.le(r.lo, r.hi), builder_.le(builder_.integer(0), r.hi));
    return builder_.both(r.guard, ordered);
  };
  const Value some_a = some(a), some_b = some(b);
  auto pick = [&](Value x, Value y, Value both) {
    return builder_.select(some_a, builder_.select(some_b, both, x), y);
  };
  return {pick(a.lo, b.lo, builder_.min(a.lo, b.lo)), pick(a.hi, b.hi, builder_.max(a.hi, b.hi)),
          builder_.either(some_a, some_b)};
}

// How far apart the ends can be, to choose which ranges to join.
double KeyRanges::distance(const KeyRange& a, const KeyRange& b) {
  auto apart = [&](Value x, Value y) {
    const Interval d = builder_.range(builder_.sub(x, y)).interval;
    return std::max(std::abs(static_cast<double>(d.lo)), std::abs(static_cast<double>(d.hi)));
  };
  return apart(a.lo, b.lo) + apart(a.hi, b.hi) + (a.guard == b.guard ? 0.0 : 1.0);
}

}  // namespace maskjit::analysis
