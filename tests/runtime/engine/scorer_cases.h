#pragma once
// Sequences whose scorers rank keys by an index: what the tests of the host and of devices run.
#include <string>
#include <vector>

#include "tests/runtime/engine/problem.h"

namespace maskjit::testing {

struct SequenceCase {
  std::string name, attention;
};

// For heads of this dimension: the perceptrons of hash_bits are of that size.
std::vector<SequenceCase> scorer_cases(int64_t head_dim);

// A problem of such a case, with the tensors that its scorers read.
Problem scorer_problem(const SequenceCase& sequence, int64_t num_heads, int64_t num_kv_heads,
                       int64_t head_dim);

}  // namespace maskjit::testing
