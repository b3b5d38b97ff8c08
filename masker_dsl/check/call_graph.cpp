#include "masker_dsl/check/call_graph.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "masker_dsl/check/names.h"
#include "masker_dsl/diag/text.h"

namespace maskjit::check {
namespace {

struct Call {
  Callable* callee;
  source::SourceRange range;
};

// The calls of this file's own maskers in `declaration`, first call of each.
std::vector<Call> calls_of(const parse::Declaration& declaration,
                           const std::map<const Callable*, Callable*>& own, const Module& module) {
  std::vector<Call> calls;
  std::set<const Callable*> seen;
  std::vector<const parse::Expr*> pending;
  if (declaration.result != nullptr) pending.push_back(declaration.result);
  for (const parse::Let& let : declaration.lets) pending.push_back(let.value);
  while (!pending.empty()) {
    const parse::Expr& expr = *pending.back();
    pending.pop_back();
    if (expr.kind == parse::Expr::Kind::Call && builtin_category(expr.name()).empty()) {
      const auto callee = own.find(module.find(expr.name()));
      if (callee != own.end() && seen.insert(callee->first).second)
        calls.push_back({callee->second, expr.head});
    }
    for (const parse::Expr* operand : expr.operands) pending.push_back(operand);
    for (const parse::Argument& argument : expr.arguments) pending.push_back(argument.value);
  }
  return calls;
}

}  // namespace

std::vector<Callable*> callees_first(const Module& module, diag::DiagnosticEmitter& diagnostics) {
  std::map<const Callable*, Callable*> own;
  for (const auto& callable : module.callables) own.emplace(callable.get(), callable.get());

  struct Visit {
    Callable* callable;
    std::vector<Call> calls;
    size_t next = 0;
  };
  std::vector<Callable*> order;
  std::set<const Callable*> started;
  std::vector<Visit> stack;
  const auto start = [&](Callable* callable) {
    if (started.insert(callable).second)
      stack.push_back({callable, calls_of(*callable->declaration, own, module)});
  };
  for (const auto& root : module.callables) {
    start(root.get());
    while (!stack.empty()) {
      Visit& visit = stack.back();
      if (visit.next == visit.calls.size()) {
        order.push_back(visit.callable);
        stack.pop_back();
        continue;
      }
      const Call call = visit.calls[visit.next++];
      const auto open = std::find_if(stack.begin(), stack.end(),
                                     [&](const Visit& v) { return v.callable == call.callee; });
      if (open == stack.end()) {
        start(call.callee);
        continue;
      }
      constexpr std::ptrdiff_t kShown = 8;
      std::string cycle;
      for (auto at = open; at != stack.end() && at - open < kShown; ++at) {
        cycle += diag::printable(at->callable->name().substr(0, 40)) + " -> ";
      }
      if (stack.end() - open > kShown) cycle += "... -> ";
      diagnostics
          .error(diag::Kind::Recursion, call.range,
                 fmt::format("maskers cannot call themselves: {}{}", cycle,
                             diag::printable(call.callee->name().substr(0, 40))))
          .with_hint("there is no recursion: write what the result is for one element");
    }
  }
  return order;
}

}  // namespace maskjit::check
