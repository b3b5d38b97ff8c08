#pragma once
// A value of MaskIR as a formula of the language, for people: names as in scope (and q_lo, q_hi,
// k_lo, k_hi for the bounds of a tile), as few parentheses as the grammar allows. TensorMin and
// TensorMax print as min(doc[batch, q_lo..q_hi]), TensorAny
// and TensorAll as any(m[q_lo..q_hi, k_lo..k_hi]). A formula with more than `max_ops` operations
// prints as "..." where it gets too long.
#include <string>

#include "masker_dsl/ir/function.h"

namespace maskjit::analysis {

std::string to_infix(const ir::Function& function, ir::Value value, int max_ops = 40);

}  // namespace maskjit::analysis
