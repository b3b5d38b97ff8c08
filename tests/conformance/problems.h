#pragma once
// The problems that every executor runs.
#include <vector>

#include "tests/conformance/problem.h"

namespace maskjit::conformance {

std::vector<ProblemDescription> conformance_problems();

}  // namespace maskjit::conformance
