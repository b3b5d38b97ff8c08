#pragma once
// Local identities: each node is rebuilt from its simplified operands by the first rule that
// matches.
//
//   %2 = sub %0, %1 : int            %2 = lt %1, %0 : bool      (not(a <= b) is b < a, for Ints
//   only: %3 = add %2, %1 : int      ->    result mask = %2            a Float may be NaN; (q - k)
//   + k is q) %4 = le %3, %1 : bool %5 = not %4 : bool
//
// Rules never add nodes on balance; they lead to these normal forms: constants of a chain of Int
// additions outermost and folded, x - c as x + (-c), Int comparisons with a constant as Lt, Ne of
// Bools as Xor, Select of Bools with a constant arm as And / Or, negations outwards where that
// saves one. Int rules hold modulo 2^64; Float rules only where the result has the same bits (x
// * 1.0, but not x + 0.0), NaN payloads apart.
#include "masker_dsl/ir/function.h"

namespace maskjit::passes {

ir::Function simplify(const ir::Function& function);

}  // namespace maskjit::passes
