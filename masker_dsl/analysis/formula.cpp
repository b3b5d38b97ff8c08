#include "masker_dsl/analysis/formula.h"

#include <algorithm>
#include <numeric>

#include "masker_dsl/ir/evaluate.h"

namespace maskjit::analysis {

using ir::Op;
using ir::Type;
using ir::Value;

Formulas::Ref Formulas::intern(Node node) {
  auto [it, inserted] = interned_.emplace(std::move(node), static_cast<Ref>(nodes_.size()));
  if (inserted) nodes_.push_back(it->first);
  return it->second;
}

Formulas::Ref Formulas::truth(bool value) {
  return intern({value ? Kind::True : Kind::False, 0, {}});
}

Formulas::Ref Formulas::connect(Kind kind, std::vector<Ref> children) {
  const Kind neutral = kind == Kind::And ? Kind::True : Kind::False;
  const Kind absorbing = kind == Kind::And ? Kind::False : Kind::True;
  std::vector<Ref> flat;
  for (Ref child : children) {
    const Node& n = nodes_[child];
    if (n.kind == absorbing) return child;
    if (n.kind == neutral) continue;
    if (n.kind == kind) {
      flat.insert(flat.end(), n.children.begin(), n.children.end());
    } else {
      flat.push_back(child);
    }
  }
  std::sort(flat.begin(), flat.end());
  flat.erase(std::unique(flat.begin(), flat.end()), flat.end());
  if (flat.empty()) return truth(kind == Kind::And);
  if (flat.size() == 1) return flat[0];
  return intern({kind, 0, std::move(flat)});
}

Formulas::Ref Formulas::add_literal(Literal literal) {
  auto [it, inserted] =
      literal_ids_.emplace(std::move(literal), static_cast<LiteralId>(literals_.size()));
  if (inserted) literals_.push_back(it->first);
  return intern({Kind::Literal, it->second, {}});
}

Formulas::Ref Formulas::opaque(Value value, bool positive) {
  if (auto c = source_.constant_of(value)) return truth((*c != 0) == positive);
  return add_literal({value, positive, {}});
}

Formulas::Ref Formulas::of(Value value, bool positive) {
  auto found = memo_.find({value, positive});
  if (found != memo_.end()) return found->second;
  const Ref ref = compute(value, positive);
  memo_[{value, positive}] = ref;
  return ref;
}

Formulas::Ref Formulas::compute(Value value, bool positive) {
  const ir::Node n = source_.node(value);
  // What is the same in the whole tile is evaluated as it stands.
  if (!source_.varies(value)) return opaque(value, positive);
  auto operand = [&](size_t i, bool sign) { return of(n.operands[i], sign); };
  auto equal = [&](bool sign) {
    return connect(Kind::Or, {connect(Kind::And, {operand(0, true), operand(1, sign)}),
                              connect(Kind::And, {operand(0, false), operand(1, !sign)})});
  };
  switch (n.op) {
    case Op::Not:
      return operand(0, !positive);
    case Op::And:
    case Op::Or: {
      const bool is_and = (n.op == Op::And) == positive;
      return connect(is_and ? Kind::And : Kind::Or, {operand(0, positive), operand(1, positive)});
    }
    case Op::Xor:
      return equal(!positive);
    case Op::Select:
      return connect(Kind::Or, {connect(Kind::And, {operand(0, true), operand(1, positive)}),
                                connect(Kind::And, {operand(0, false), operand(2, positive)})});
    case Op::Eq:
    case Op::Ne:
    case Op::Lt:
    case Op::Le:
      if (source_.function().type(n.operands[0]) == Type::Bool) {
        return equal((n.op == Op::Eq) == positive);
      }
      if (source_.function().type(n.operands[0]) == Type::Float) return opaque(value, positive);
      return compare(n, value, positive);
    default:
      return opaque(value, positive);
  }
}

Formulas::Ref Formulas::compare(const ir::Node& n, Value value, bool positive) {
  const bool ordered = n.op == Op::Lt || n.op == Op::Le;
  // a < b is a - b + 1 <= 0, and its negation b - a <= 0.
  const Value a = n.operands[ordered && !positive ? 1 : 0];
  const Value b = n.operands[ordered && !positive ? 0 : 1];
  auto form = source_.difference(a, b);
  if (!form) return opaque(value, positive);
  if (ordered) {
    const bool strict = (n.op == Op::Lt) == positive;
    if (strict) form = add(*form, {{}, 1}, 1);
    return form ? at_most_zero(*form) : opaque(value, positive);
  }
  if ((n.op == Op::Eq) == positive) return equals_zero(*form);
  auto below = add(*form, {{}, 1}, 1);
  auto above = add({{}, 1}, *form, -1);
  if (!below || !above) return opaque(value, positive);
  return connect(Kind::Or, {at_most_zero(*below), at_most_zero(*above)});
}

Formulas::Ref Formulas::equals_zero(const Linear& form) {
  // A common divisor of the coefficients must divide the constant.
  int64_t divisor = 0;
  for (const auto& [term, coefficient] : form.terms) {
    if (coefficient == INT64_MIN) divisor = 1;
    if (divisor != 1) divisor = std::gcd(divisor, coefficient);
  }
  if (divisor > 1 && form.constant % divisor != 0) return truth(false);
  // A select is split once, not once for each inequality.
  for (const auto& [term, coefficient] : form.terms) {
    const ir::Node n = source_.node(term);
    if (n.op != Op::Select || !source_.has_key(term) || splits_left_ <= 0) continue;
    const Linear rest = without(form, term);
    auto first = add(rest, source_.linear(n.operands[1]), coefficient);
    auto second = add(rest, source_.linear(n.operands[2]), coefficient);
    if (!first || !second) continue;
    --splits_left_;
    return connect(Kind::Or,
                   {connect(Kind::And, {of(n.operands[0], true), equals_zero(*first)}),
                    connect(Kind::And, {of(n.operands[0], false), equals_zero(*second)})});
  }
  auto opposite = add({}, form, -1);
  if (!opposite) return truth(true);
  return connect(Kind::And, {at_most_zero(form), at_most_zero(*opposite)});
}

Formulas::Ref Formulas::at_most_zero(Linear form) {
  int64_t divisor = 0;
  for (const auto& [term, coefficient] : form.terms) {
    if (coefficient == INT64_MIN) divisor = 1;
    if (divisor != 1) divisor = std::gcd(divisor, coefficient);
  }
  if (divisor > 1 && form.constant != INT64_MIN) {
    for (auto& [term, coefficient] : form.terms) coefficient /= divisor;
    form.constant = -ir::floor_div(-form.constant, divisor);
  }
  const Interval known = source_.static_range(form);
  if (known.hi <= 0) return truth(true);
  if (known.lo > 0) return truth(false);
  if (auto parts = take_apart(form)) return *parts;
  return add_literal({Value{}, true, std::move(form)});
}

std::optional<Formulas::Ref> Formulas::take_apart(const Linear& form) {
  for (const auto& [term, coefficient] : form.terms) {
    if (!source_.has_key(term) || splits_left_ <= 0) continue;
    const ir::Node n = source_.node(term);
    const Linear rest = without(form, term);
    std::optional<Linear> first, second;
    if (n.op == Op::Abs && !source_.range(term).may_wrap && coefficient != INT64_MIN) {
      first = add(rest, source_.linear(n.operands[0]), coefficient);
      second = add(rest, source_.linear(n.operands[0]), -coefficient);
    } else if (n.op == Op::Min || n.op == Op::Max) {
      first = add(rest, source_.linear(n.operands[0]), coefficient);
      second = add(rest, source_.linear(n.operands[1]), coefficient);
    } else if (n.op == Op::Select) {
      first = add(rest, source_.linear(n.operands[1]), coefficient);
      second = add(rest, source_.linear(n.operands[2]), coefficient);
    }
    if (!first || !second) continue;
    --splits_left_;
    if (n.op == Op::Select) {
      return connect(Kind::Or,
                     {connect(Kind::And, {of(n.operands[0], true), at_most_zero(*first)}),
                      connect(Kind::And, {of(n.operands[0], false), at_most_zero(*second)})});
    }
    // A maximum is at most a bound if both are; a minimum if one is. |x| is max(x, -x).
    const bool is_maximum = (n.op != Op::Min) == (coefficient > 0);
    return connect(is_maximum ? Kind::And : Kind::Or,
                   {at_most_zero(*first), at_most_zero(*second)});
  }
  return std::nullopt;
}

std::optional<Conjunction> Formulas::conjoin(const Conjunction& a, const Conjunction& b) {
  Conjunction result = a;
  for (LiteralId added : b) {
    const Literal& x = literals_[added];
    bool implied = false;
    for (size_t i = 0; i < result.size() && !implied; ++i) {
      const Literal& y = literals_[result[i]];
      if (x.is_inequality() != y.is_inequality()) continue;
      if (!x.is_inequality()) {
        if (x.atom != y.atom) continue;
        if (x.positive != y.positive) return std::nullopt;
        implied = true;
        continue;
      }
      if (x.form.terms == y.form.terms) {
        // terms + constant <= 0: the larger constant implies the smaller.
        implied = y.form.constant >= x.form.constant;
        if (!implied) result.erase(result.begin() + static_cast<std::ptrdiff_t>(i--));
      } else if (auto sum = add(x.form, y.form, 1); sum && sum->terms.empty()) {
        if (sum->constant > 0) return std::nullopt;
      }
    }
    if (!implied) result.push_back(added);
  }
  std::sort(result.begin(), result.end());
  return result;
}

namespace {

// Drops every conjunction that contains all literals of another one.
void absorb(std::vector<Conjunction>& disjuncts) {
  std::sort(disjuncts.begin(), disjuncts.end(), [](const Conjunction& a, const Conjunction& b) {
    return a.size() != b.size() ? a.size() < b.size() : a < b;
  });
  std::vector<Conjunction> kept;
  for (Conjunction& candidate : disjuncts) {
    const bool covered = std::any_of(kept.begin(), kept.end(), [&](const Conjunction& small) {
      return std::includes(candidate.begin(), candidate.end(), small.begin(), small.end());
    });
    if (!covered) kept.push_back(std::move(candidate));
  }
  disjuncts = std::move(kept);
}

}  // namespace

std::optional<std::vector<Conjunction>> Formulas::product(const std::vector<Conjunction>& a,
                                                          const std::vector<Conjunction>& b,
                                                          size_t limit) {
  if (a.size() * b.size() > limit * 8) return std::nullopt;
  std::vector<Conjunction> result;
  for (const Conjunction& x : a) {
    for (const Conjunction& y : b) {
      if (auto joined = conjoin(x, y)) result.push_back(std::move(*joined));
    }
  }
  absorb(result);
  if (result.size() > limit) return std::nullopt;
  return result;
}

std::optional<std::vector<Conjunction>> Formulas::disjuncts(Ref ref, size_t limit) {
  auto found = disjuncts_.find({ref, limit});
  if (found != disjuncts_.end()) return found->second;
  auto result = compute_disjuncts(ref, limit);
  disjuncts_[{ref, limit}] = result;
  return result;
}

std::optional<std::vector<Conjunction>> Formulas::compute_disjuncts(Ref ref, size_t limit) {
  const Node n = nodes_[ref];
  switch (n.kind) {
    case Kind::False:
      return std::vector<Conjunction>{};
    case Kind::True:
      return std::vector<Conjunction>{{}};
    case Kind::Literal:
      return std::vector<Conjunction>{{n.literal}};
    case Kind::Or: {
      std::vector<Conjunction> result;
      for (Ref child : n.children) {
        auto part = disjuncts(child, limit);
        if (!part) return std::nullopt;
        result.insert(result.end(), part->begin(), part->end());
        absorb(result);
        if (result.size() > limit) return std::nullopt;
      }
      return result;
    }
    case Kind::And: {
      std::vector<Conjunction> result{{}};
      for (Ref child : n.children) {
        auto part = disjuncts(child, limit);
        if (part) part = product(result, *part, limit);
        if (!part) return std::nullopt;
        result = std::move(*part);
      }
      return result;
    }
  }
  return std::nullopt;
}

}  // namespace maskjit::analysis
