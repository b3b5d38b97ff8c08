#include "masker_dsl/diag/diagnostic.h"

namespace maskjit::diag {

Diagnostic& Diagnostic::note(source::SourceRange at, std::string text) {
  notes.push_back({at, std::move(text)});
  return *this;
}

Diagnostic& Diagnostic::with_hint(std::string text) {
  hint = std::move(text);
  return *this;
}

Diagnostic& DiagnosticEmitter::error(Kind kind, source::SourceRange range, std::string message) {
  ++errors_;
  Diagnostic diagnostic{kind, Severity::Error, range, std::move(message), {}, {}};
  if (errors_ > kMaxErrors) return dropped_ = std::move(diagnostic);
  return diagnostics_.emplace_back(std::move(diagnostic));
}

Diagnostic& DiagnosticEmitter::warning(Kind kind, source::SourceRange range, std::string message) {
  Diagnostic diagnostic{kind, Severity::Warning, range, std::move(message), {}, {}};
  if (diagnostics_.size() >= 2 * kMaxErrors) return dropped_ = std::move(diagnostic);
  return diagnostics_.emplace_back(std::move(diagnostic));
}

}  // namespace maskjit::diag
