#pragma once
// A device kernel of a problem on the PTX emulator.
#include "codegen/compile.h"
#include "runtime/device/emulator/report.h"
#include "tests/conformance/problem.h"

namespace maskjit::conformance {

// Compiles, launches on a device of so many multiprocessors and reads back; `report` gets the
// fault, if there is one, and the counts of all kernels of the launch (traffic, matrix operations,
// instructions by class and opcode). `set_bytes`: of codegen::queries_a_round.
Results run_on_emulator(const Problem& problem, const codegen::KernelSpec& spec,
                        const codegen::Target& target, int multiprocessors,
                        emulator::Report& report, int64_t set_bytes = int64_t{256} << 20);

}  // namespace maskjit::conformance
