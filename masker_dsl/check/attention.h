#pragma once
// One declaration at a time: checks a masker or score by itself, and turns an attention, or a
// masker that stands for one, into a Program.
#include <optional>

#include "masker_dsl/check/lowering.h"

namespace maskjit::check {

// Fills callable.result; parameters are symbolic and callees known by their signatures.
void check_callable(Callable& callable, diag::DiagnosticEmitter& diagnostics);

// Mode::Check reports what is wrong with the declaration itself; Mode::Inline is for a checked one
// and gives its Program unless the actual arguments show something else to be wrong.
std::optional<ir::Program> lower_attention(const Callable& entry, Lowering::Mode mode,
                                           diag::DiagnosticEmitter& diagnostics);

}  // namespace maskjit::check
