#pragma once
// Diagnostics: what is wrong with the user's input, said once, with its place, what was found and a
// hint. A phase calls DiagnosticEmitter::emit; nothing below it prints. Kinds are stable names
// ("unknown-name") that tests and users may rely on; kinds.h lists them all, and a test fails when
// one has no example.
#include <string>
#include <string_view>
#include <vector>

#include "masker_dsl/diag/kinds.h"
#include "masker_dsl/source/source.h"

namespace maskjit::diag {

enum class Severity { Error, Warning };

struct Note {
  source::SourceRange range;
  std::string message;
};

struct Diagnostic {
  Kind kind;
  Severity severity = Severity::Error;
  source::SourceRange range;  // file null: about the command line or the API call
  std::string message;        // what was found, one sentence, no full stop
  std::vector<Note> notes;
  std::string hint;  // what to do, may be empty

  Diagnostic& note(source::SourceRange at, std::string text);
  Diagnostic& with_hint(std::string text);
};

class DiagnosticEmitter {
 public:
  // The returned reference is valid until the next call.
  Diagnostic& error(Kind kind, source::SourceRange range, std::string message);
  Diagnostic& warning(Kind kind, source::SourceRange range, std::string message);

  bool has_errors() const { return errors_ > 0; }
  int error_count() const { return errors_; }
  const std::vector<Diagnostic>& diagnostics() const { return diagnostics_; }
  // Errors beyond this many are counted but not kept.
  static constexpr int kMaxErrors = 50;

 private:
  std::vector<Diagnostic> diagnostics_;
  Diagnostic dropped_;
  int errors_ = 0;
};

struct RenderOptions {
  bool color = false;
};

// "file:line:column: error: message [kind]", the source line, a caret range, notes, "hint: ...".
std::string render(const Diagnostic& diagnostic, const RenderOptions& options = {});
std::string render_all(const DiagnosticEmitter& emitter, const RenderOptions& options = {});

// The candidate closest to `name` by edit distance, else one that `name` abbreviates, or empty if
// none is close: for "did you mean".
std::string closest_name(std::string_view name, const std::vector<std::string>& candidates);

}  // namespace maskjit::diag
