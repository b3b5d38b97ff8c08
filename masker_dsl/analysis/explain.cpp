#include "masker_dsl/analysis/explain.h"

#include <set>

#include "masker_dsl/analysis/infix.h"
#include "masker_dsl/analysis/tile_analysis.h"
#include "masker_dsl/analysis/workspace.h"

namespace maskjit::analysis {
namespace {

using ir::Op;
using ir::Type;
using ir::Value;

// The comparisons and Boolean loads that Boolean operators join, each with its polarities.
void collect_atoms(const ir::Function& function, Value value, std::set<Value>& seen,
                   std::vector<Value>& atoms) {
  if (!seen.insert(value).second) return;
  const ir::Node& n = function[value];
  const bool joins = n.op == Op::And || n.op == Op::Or || n.op == Op::Xor || n.op == Op::Not ||
                     n.op == Op::Select ||
                     (n.op == Op::Eq && function.type(n.operands[0]) == Type::Bool) ||
                     (n.op == Op::Ne && function.type(n.operands[0]) == Type::Bool);
  if (!joins) {
    atoms.push_back(value);
    return;
  }
  for (Value operand : n.operands) collect_atoms(function, operand, seen, atoms);
}

bool bounds_key(Workspace& w, KeyRanges& ranges, Formulas::Ref formula) {
  const Formulas::Node n = w.formulas.node(formula);
  switch (n.kind) {
    case Formulas::Kind::False:
    case Formulas::Kind::True:
      return true;
    case Formulas::Kind::Literal:
      return ranges.bounds_key(n.literal);
    case Formulas::Kind::And:
    case Formulas::Kind::Or:
      for (Formulas::Ref child : n.children) {
        if (bounds_key(w, ranges, child)) return true;
      }
      return false;
  }
  return false;
}

std::string range_in_words(Workspace& w, const KeyRange& range) {
  std::string lo = to_infix(w.target, range.lo);
  if (w.builder.range(range.lo).interval.lo < 0) lo = "max(0, " + lo + ")";
  std::string text = "keys from " + lo + " to " + to_infix(w.target, range.hi);
  if (!w.builder.is_true(range.guard)) text += " if " + to_infix(w.target, range.guard);
  return text;
}

}  // namespace

std::string explain_ranges(const ir::Function& function) {
  if (!is_analysable(function)) return "every key is visited: the mask is too deep to analyse\n";
  const Effort effort = kEfforts[0];
  Workspace w(function, effort, "ranges");
  KeyRanges key_ranges(w.source, w.formulas, w.builder, effort);
  const std::vector<KeyRange> found = key_ranges.of(w.formulas.of(w.source.mask(), true));
  if (found.empty()) return "no key is ever active\n";
  std::string text;
  if (key_ranges.is_everything(found[0])) {
    text = "every key is visited: the mask does not bound k\n";
  } else {
    text = "for queries q_lo to q_hi, visit\n";
    for (const KeyRange& range : found) text += "  " + range_in_words(w, range) + "\n";
  }
  std::set<Value> seen;
  std::vector<Value> atoms;
  collect_atoms(function, function.result("mask"), seen, atoms);
  for (Value atom : atoms) {
    const Value copy = w.source.copy_of(atom);
    if (!w.source.has_key(copy)) continue;
    if (bounds_key(w, key_ranges, w.formulas.of(copy, true))) continue;
    if (bounds_key(w, key_ranges, w.formulas.of(copy, false))) continue;
    text += "`" + to_infix(function, atom, 16) + "` does not bound k\n";
  }
  return text;
}

}  // namespace maskjit::analysis
