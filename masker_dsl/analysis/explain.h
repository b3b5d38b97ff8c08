#pragma once
// The key ranges of a mask in words, and why a part of it gives none:
//
//   for queries q_lo to q_hi, visit
//     keys from max(0, q_lo - 1023) to q_hi
//     keys from 0 to 3
//   `(q - k) % 4 == 0` does not bound k
#include <string>

#include "masker_dsl/ir/function.h"

namespace maskjit::analysis {

std::string explain_ranges(const ir::Function& function);

}  // namespace maskjit::analysis
