#include "masker_dsl/check/check.h"

#include <fmt/format.h>

#include "masker_dsl/check/attention.h"
#include "masker_dsl/check/call_graph.h"
#include "masker_dsl/diag/text.h"

namespace maskjit::check {

using diag::Kind;

namespace {

// The attention called `entry`, or a masker in scope.
const Callable* named_entry(const Module& module, const std::string& entry,
                            diag::DiagnosticEmitter& diagnostics) {
  for (const auto& attention : module.attentions) {
    if (attention->name() == entry) return attention.get();
  }
  const Callable* callable = module.find(entry);
  if (callable != nullptr && !callable->is_score()) return callable;
  if (callable != nullptr) {
    diagnostics
        .error(Kind::UnknownEntry, {},
               fmt::format("{} is a score and cannot be compiled alone", diag::quoted(entry)))
        .with_hint("write an attention that uses it");
    return nullptr;
  }
  std::vector<std::string> candidates;
  for (const auto& attention : module.attentions) candidates.emplace_back(attention->name());
  for (const auto& masker : module.callables) candidates.emplace_back(masker->name());
  for (const auto& [name, masker] : standard_library().scope) candidates.emplace_back(name);
  const std::string closest = diag::closest_name(entry, candidates);
  diagnostics
      .error(Kind::UnknownEntry, {},
             fmt::format("{} has no attention or masker called {}",
                         diag::printable(module.file->name()), diag::quoted(entry)))
      .with_hint(closest.empty() ? "" : fmt::format("did you mean '{}'?", closest));
  return nullptr;
}

// The only attention, or the only masker.
const Callable* only_entry(const Module& module, diag::DiagnosticEmitter& diagnostics) {
  std::vector<const Callable*> candidates;
  for (const auto& attention : module.attentions) candidates.push_back(attention.get());
  const bool attentions = !candidates.empty();
  for (const auto& callable : module.callables) {
    if (!attentions && !callable->is_score()) candidates.push_back(callable.get());
  }
  if (candidates.size() == 1) return candidates.front();
  if (candidates.empty()) {
    diagnostics
        .error(Kind::NoEntry, {module.file, 0, 0}, "the file declares no attention and no masker")
        .with_hint(
            "write attention main { mask causal() }, or choose a standard masker as the entry");
    return nullptr;
  }
  auto& error =
      diagnostics.error(Kind::AmbiguousEntry, candidates[0]->declaration->name,
                        fmt::format("the file has {} {} and none is chosen", candidates.size(),
                                    attentions ? "attentions" : "maskers but no attention"));
  for (size_t i = 1; i < candidates.size() && i < 4; ++i)
    error.note(candidates[i]->declaration->name, "this is another");
  error.with_hint("choose one by name as the entry");
  return nullptr;
}

}  // namespace

Checked check(std::string name, std::string text, const std::string& entry,
              const FileReader& reader, diag::DiagnosticEmitter& diagnostics) {
  Checked result;
  ModuleSet modules(reader, diagnostics);
  const Module& main = modules.load(std::move(name), std::move(text));
  for (Module* module : modules.in_dependency_order()) {
    for (Callable* callable : callees_first(*module, diagnostics))
      check_callable(*callable, diagnostics);
    for (const auto& attention : module->attentions) {
      lower_attention(*attention, Lowering::Mode::Check, diagnostics);
    }
  }
  if (!entry.empty() || !diagnostics.has_errors()) {
    const Callable* chosen =
        entry.empty() ? only_entry(main, diagnostics) : named_entry(main, entry, diagnostics);
    if (chosen != nullptr && !diagnostics.has_errors()) {
      result.program = lower_attention(*chosen, Lowering::Mode::Inline, diagnostics);
    }
  }
  result.files = modules.take_files();
  return result;
}

}  // namespace maskjit::check
