#pragma once
// A device kernel of a problem on the PTX emulator.
#include "codegen/compile.h"
#include "runtime/device/emulator/report.h"
#include "tests/conformance/problem.h"

namespace maskjit::conformance {

// Compiles, launches and reads back; `report` gets the fault, if there is one, and the counts.
Results run_on_emulator(const Problem& problem, const codegen::KernelSpec& spec,
                        const codegen::Target& target, emulator::Report& report);

}  // namespace maskjit::conformance
