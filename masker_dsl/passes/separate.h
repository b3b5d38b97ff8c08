#pragma once
// Gathers in each comparison of Ints everything that depends on the key on one side and everything
// else on the other, so that the other side becomes a subexpression which a kernel computes once a
// row and not once an entry.
//
//   %4 = sub %q, %k : int            %4 = sub %q, %n : int
//   %5 = lt %4, %n : bool      ->    %5 = lt %4, %k : bool      (q - k < n  is  q - n < k)
//
// Sums, differences and products with constants are taken apart, everything else is left whole. It
// needs value ranges to prove that no step wraps, neither in the given comparison nor in the new
// one; otherwise the comparison stays as it is. Tile functions are treated in the same way, with
// the tile's bounds of keys for the key. It runs after narrow, on what ranges do not decide.
#include "masker_dsl/ir/function.h"

namespace maskjit::passes {

ir::Function separate(const ir::Function& function);

}  // namespace maskjit::passes
