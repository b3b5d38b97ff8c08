#pragma once
// A device kernel of a problem on the PTX emulator.
#include "codegen/compile.h"
#include "runtime/device/emulator/report.h"
#include "tests/conformance/problem.h"

namespace maskjit::conformance {

// Compiles, launches on a device of so many multiprocessors and reads back; `report` gets the
// fault, if there is one, and the counts of all kernels of the launch (traffic, matrix operations,
// instructions by class and opcode).
Results run_on_emulator(const Problem& problem, const codegen::KernelSpec& spec,
                        const codegen::Target& target, int multiprocessors,
                        emulator::Report& report);

}  // namespace maskjit::conformance
