#include "masker_dsl/analysis/abstract_tile.h"

#include <algorithm>
#include <map>

namespace maskjit::analysis {

using ir::Op;
using ir::Value;

Value AbstractTile::copy(Value value) {
  auto found = copies_.find(value);
  if (found != copies_.end()) return found->second;
  const ir::Node n = source_.node(value);
  std::vector<Value> operands;
  for (Value operand : n.operands) operands.push_back(copy(operand));
  const Value result = builder_.function().rebuild(n, operands);
  copies_[value] = result;
  return result;
}

Sum AbstractTile::end_of(const Linear& form, Side side, const Narrowed& narrowed) {
  Sum sum;
  sum.constant = form.constant;
  for (const auto& [term, coefficient] : form.terms) {
    auto found = narrowed.find(term);
    const Ends e = found != narrowed.end() ? found->second : ends(term);
    sum.add((coefficient > 0) == (side == Side::Upper) ? e.hi : e.lo, coefficient);
  }
  return sum;
}

AbstractTile::Directions AbstractTile::directions_of(const Conjunction& literals) {
  Directions directions;
  for (LiteralId id : literals) {
    const Literal& literal = formulas_.literal(id);
    if (!literal.is_inequality()) continue;
    Linear direction, rest{{}, literal.form.constant};
    for (const auto& entry : literal.form.terms) {
      (source_.varies(entry.first) ? direction : rest).terms.push_back(entry);
    }
    const bool negative = !direction.terms.empty() && direction.terms[0].second < 0;
    if (negative) {
      auto opposite = add({}, direction, -1);
      if (!opposite) continue;
      directions[opposite->terms].lower.push_back(rest);
    } else if (auto bound = add({}, rest, -1)) {
      directions[direction.terms].upper.push_back(*bound);
    }
  }
  return directions;
}

// divisor * term <= bound or >= bound, solved for the term.
std::optional<Value> AbstractTile::quotient(const Linear& bound, int64_t divisor, Side side) {
  Sum sum = end_of(bound, side);
  if (divisor != 1 && side == Side::Lower) sum.add_constant(divisor - 1);
  auto value = builder_.value_of(sum);
  if (!value || divisor == 1) return value;
  return builder_.binary(Op::FloorDiv, *value, builder_.integer(divisor));
}

Narrowed AbstractTile::narrow(const Conjunction& literals, bool keys_too) {
  Narrowed narrowed;
  for (const auto& [terms, bounds] : directions_of(literals)) {
    if (terms.size() != 1) continue;
    const auto [term, coefficient] = terms[0];
    if ((!keys_too && source_.has_key(term)) || is_over_budget()) continue;
    Ends e = ends(term);
    for (const Linear& bound : bounds.upper) {
      if (auto v = quotient(bound, coefficient, Side::Upper)) e.hi = builder_.min(e.hi, *v);
    }
    for (const Linear& bound : bounds.lower) {
      if (auto v = quotient(bound, coefficient, Side::Lower)) e.lo = builder_.max(e.lo, *v);
    }
    narrowed[term] = e;
  }
  return narrowed;
}

Value AbstractTile::may_at_most_zero(const Linear& form, const Narrowed& narrowed) {
  if (is_over_budget()) return builder_.boolean(true);
  auto condition = builder_.at_most_zero(end_of(form, Side::Lower, narrowed));
  return condition ? *condition : builder_.boolean(true);
}

std::vector<Value> AbstractTile::checks_of(const Conjunction& literals, const Narrowed& narrowed) {
  std::vector<Value> checks;
  auto check = [&](const std::optional<Linear>& form, const Narrowed& bounds) {
    if (form) checks.push_back(may_at_most_zero(*form, bounds));
  };
  for (LiteralId id : literals) {
    const Literal literal = formulas_.literal(id);
    if (!literal.is_inequality() && !is_over_budget()) checks.push_back(may_literal(literal));
  }
  // For difference bounds (on q, k and q - k) these conditions are exact: the box of narrowed terms
  // and each direction's interval must meet, and then some element meets all of them.
  for (const auto& [terms, bounds] : directions_of(literals)) {
    const Linear direction{terms, 0};
    const Narrowed& used = terms.size() == 1 ? Narrowed{} : narrowed;
    for (const Linear& upper : bounds.upper) check(add(direction, upper, -1), used);
    for (const Linear& lower : bounds.lower) check(add(lower, direction, -1), used);
  }
  for (Value condition : consistent(literals)) checks.push_back(condition);
  return checks;
}

std::vector<Value> AbstractTile::consistent(const Conjunction& literals) {
  std::vector<Value> checks;
  for (const auto& [terms, bounds] : directions_of(literals)) {
    for (const Linear& lower : bounds.lower) {
      for (const Linear& upper : bounds.upper) {
        if (auto gap = add(lower, upper, -1)) checks.push_back(may_at_most_zero(*gap, {}));
      }
    }
  }
  return checks;
}

Value AbstractTile::may_all(const Conjunction& literals) {
  return any_of({checks_of(literals, narrow(literals, true))});
}

// The Or of Ands of conditions, with common conditions factored out.
Value AbstractTile::any_of(std::vector<std::vector<Value>> conjunctions) {
  std::vector<std::vector<Value>> kept;
  for (auto& conditions : conjunctions) {
    std::sort(conditions.begin(), conditions.end());
    conditions.erase(std::unique(conditions.begin(), conditions.end()), conditions.end());
    std::erase_if(conditions, [&](Value v) { return builder_.is_true(v); });
    if (conditions.empty()) return builder_.boolean(true);
    const bool impossible = std::any_of(conditions.begin(), conditions.end(),
                                        [&](Value v) { return builder_.is_false(v); });
    if (!impossible) kept.push_back(std::move(conditions));
  }
  if (kept.empty()) return builder_.boolean(false);
  // Fewer conditions first: what contains all of them adds nothing.
  std::sort(kept.begin(), kept.end(), [](const auto& a, const auto& b) {
    return a.size() != b.size() ? a.size() < b.size() : a < b;
  });
  std::vector<std::vector<Value>> minimal;
  std::map<Value, size_t> uses;
  for (const auto& conditions : kept) {
    const bool covered = std::any_of(minimal.begin(), minimal.end(), [&](const auto& small) {
      return std::includes(conditions.begin(), conditions.end(), small.begin(), small.end());
    });
    if (covered) continue;
    for (Value v : conditions) ++uses[v];
    minimal.push_back(conditions);
  }
  Value factor;
  for (const auto& [value, count] : uses) {
    if (count > 1 && (!factor.valid() || count > uses[factor])) factor = value;
  }
  if (factor.valid()) {
    std::vector<std::vector<Value>> with, others;
    for (auto& conditions : minimal) {
      if (std::erase(conditions, factor) > 0) {
        with.push_back(conditions);
      } else {
        others.push_back(conditions);
      }
    }
    const Value common = builder_.both(factor, any_of(with));
    return others.empty() ? common : builder_.either(common, any_of(others));
  }
  Value result = builder_.boolean(false);
  for (const auto& conditions : minimal) {
    Value all = builder_.boolean(true);
    for (Value v : conditions) all = builder_.both(all, v);
    result = builder_.either(result, all);
  }
  return result;
}

Value AbstractTile::may(Formulas::Ref formula) {
  auto found = may_.find(formula);
  if (found != may_.end()) return found->second;
  Value result;
  const Formulas::Node n = formulas_.node(formula);
  if (auto disjuncts = formulas_.disjuncts(formula, effort_.disjuncts)) {
    std::vector<std::vector<Value>> conditions;
    for (const Conjunction& literals : *disjuncts) {
      conditions.push_back(checks_of(literals, narrow(literals, true)));
    }
    result = any_of(std::move(conditions));
  } else if (n.kind == Formulas::Kind::And) {
    result = may_parts(n.children);
  } else {
    result = builder_.boolean(false);
    for (Formulas::Ref child : n.children) result = builder_.either(result, may(child));
  }
  may_[formula] = result;
  return result;
}

// An And with too many disjuncts: as many children as possible together, the others alone.
Value AbstractTile::may_parts(const std::vector<Formulas::Ref>& children) {
  std::vector<Conjunction> together{{}};
  Value result = builder_.boolean(true);
  for (Formulas::Ref child : children) {
    auto part = formulas_.disjuncts(child, effort_.disjuncts);
    auto joined = part ? formulas_.product(together, *part, effort_.disjuncts) : std::nullopt;
    if (joined) {
      together = std::move(*joined);
    } else {
      result = builder_.both(result, may(child));
    }
  }
  std::vector<std::vector<Value>> conditions;
  for (const Conjunction& literals : together) {
    conditions.push_back(checks_of(literals, narrow(literals, true)));
  }
  return builder_.both(result, any_of(std::move(conditions)));
}

Value AbstractTile::may_literal(const Literal& literal) {
  const Value atom = literal.atom;
  if (!source_.varies(atom)) {
    const Value value = copy(atom);
    return literal.positive ? value : builder_.negate(value);
  }
  const ir::Node n = source_.node(atom);
  switch (n.op) {
    case Op::TensorLoad:
      if (source_.function().tensors()[n.index].element == ir::Element::Bit) {
        return may_bit(n, literal.positive);
      }
      if (auto e = extremes_of_load(atom)) {
        return literal.positive ? builder_.le(builder_.integer(1), e->hi)
                                : builder_.le(e->lo, builder_.integer(0));
      }
      break;
    case Op::Eq:
    case Op::Ne:
    case Op::Lt:
    case Op::Le: {
      const ir::Type type = source_.function().type(n.operands[0]);
      if (type == ir::Type::Int) return may_compare(n, literal.positive);
      if (type == ir::Type::Float) return may_float_compare(n, literal.positive);
      break;
    }
    default:
      break;
  }
  return builder_.boolean(true);
}

// A load of a bit whose last two subscripts may vary: the rectangle that they span is looked at.
Value AbstractTile::may_bit(const ir::Node& n, bool positive) {
  const Value unknown = builder_.boolean(true);
  const size_t rank = n.operands.size();
  if (rank < 2) return unknown;
  std::vector<Value> operands;
  for (size_t i = 0; i + 2 < rank; ++i) {
    if (source_.varies(n.operands[i])) return unknown;
    operands.push_back(copy(n.operands[i]));
  }
  const Interval full;
  for (size_t i = rank - 2; i < rank; ++i) {
    const Ends e = ends(n.operands[i]);
    if (builder_.constant_of(e.lo) == full.lo || builder_.constant_of(e.hi) == full.hi) {
      return unknown;
    }
    operands.push_back(e.lo);
    operands.push_back(e.hi);
  }
  if (positive) return builder_.function().tensor_op(Op::TensorAny, n.index, operands);
  return builder_.negate(builder_.function().tensor_op(Op::TensorAll, n.index, operands));
}

// A comparison of integers whose difference is no linear form.
Value AbstractTile::may_compare(const ir::Node& n, bool positive) {
  const Ends a = ends(n.operands[0]), b = ends(n.operands[1]);
  if (n.op == Op::Lt) return positive ? builder_.lt(a.lo, b.hi) : builder_.le(b.lo, a.hi);
  if (n.op == Op::Le) return positive ? builder_.le(a.lo, b.hi) : builder_.lt(b.lo, a.hi);
  if ((n.op == Op::Eq) == positive) {
    return builder_.both(builder_.le(a.lo, b.hi), builder_.le(b.lo, a.hi));
  }
  return builder_.either(builder_.lt(a.lo, b.hi), builder_.lt(b.lo, a.hi));
}

}  // namespace maskjit::analysis
