#pragma once
// The mask in negation normal form: a DAG of And and Or over literals. A literal is either a linear
// inequality (form <= 0, exact over the integers) or a Boolean node of the source with a polarity.
//
// Comparisons of integers become inequalities; Eq is two of them, Ne one of two. Abs, Min, Max and
// Select of the key inside an inequality are taken apart into And and Or, so that what remains is
// affine in the key, in divisions of it or in terms that only an interval describes.
//
// A formula holds wherever its value does; it may hold elsewhere too (an inequality whose numbers
// leave 64 bits becomes True). So "may" is read off the formula of the mask, and "must" off that of
// its negation.
#include <cstdint>
#include <map>
#include <optional>
#include <vector>

#include "masker_dsl/analysis/source.h"

namespace maskjit::analysis {

struct Literal {
  ir::Value atom;        // invalid: the literal is form <= 0
  bool positive = true;  // of the atom
  Linear form;
  auto operator<=>(const Literal&) const = default;
  bool operator==(const Literal&) const = default;

  bool is_inequality() const { return !atom.valid(); }
};

using LiteralId = uint32_t;
// Literals that must all hold; ascending, none implied by another of them, none contradicting.
using Conjunction = std::vector<LiteralId>;

class Formulas {
 public:
  using Ref = uint32_t;
  enum class Kind : uint8_t { False, True, Literal, And, Or };
  struct Node {
    Kind kind = Kind::False;
    LiteralId literal = 0;
    std::vector<Ref> children;
    auto operator<=>(const Node&) const = default;
  };

  // Taking a term apart may double a formula: `splits` limits how often that is done.
  Formulas(Source& source, int splits) : source_(source), splits_left_(splits) {}

  // `value`, or its negation.
  Ref of(ir::Value value, bool positive);
  const Node& node(Ref ref) const { return nodes_[ref]; }
  const Literal& literal(LiteralId id) const { return literals_[id]; }

  // The formula as an Or of conjunctions, none of which contains another; nullopt if there are more
  // than `limit`.
  std::optional<std::vector<Conjunction>> disjuncts(Ref ref, size_t limit);
  // a and b, nullopt if they contradict each other.
  std::optional<Conjunction> conjoin(const Conjunction& a, const Conjunction& b);
  std::optional<std::vector<Conjunction>> product(const std::vector<Conjunction>& a,
                                                  const std::vector<Conjunction>& b, size_t limit);

 private:
  Ref truth(bool value);
  Ref intern(Node node);
  Ref connect(Kind kind, std::vector<Ref> children);
  Ref add_literal(Literal literal);
  Ref opaque(ir::Value value, bool positive);
  Ref compute(ir::Value value, bool positive);
  Ref compare(const ir::Node& node, ir::Value value, bool positive);
  Ref equals_zero(const Linear& form);
  Ref at_most_zero(Linear form);
  std::optional<Ref> take_apart(const Linear& form);
  std::optional<std::vector<Conjunction>> compute_disjuncts(Ref ref, size_t limit);

  Source& source_;
  std::vector<Node> nodes_;
  std::map<Node, Ref> interned_;
  std::vector<Literal> literals_;
  std::map<Literal, LiteralId> literal_ids_;
  std::map<std::pair<ir::Value, bool>, Ref> memo_;
  std::map<std::pair<Ref, size_t>, std::optional<std::vector<Conjunction>>> disjuncts_;
  int splits_left_;
};

}  // namespace maskjit::analysis
