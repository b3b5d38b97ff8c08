#pragma once
// The order in which the maskers and scores of a file can be checked: callees before callers.
// Cycles are reported; the language has no recursion.
#include <vector>

#include "masker_dsl/check/modules.h"

namespace maskjit::check {

std::vector<Callable*> callees_first(const Module& module, diag::DiagnosticEmitter& diagnostics);

}  // namespace maskjit::check
