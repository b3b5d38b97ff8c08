#pragma once
// Uses the value ranges that hold for every launch (analysis/value_range.h): what is always the
// same becomes a constant, what never has an effect goes, and constants move to the constant side
// of a comparison where nothing can wrap.
//
//   %1 = const 0 : int
//   %2 = le %1, %k : bool            %2 = const true : bool     (a key's position is never
//   negative) %3 = const 64 : int %4 = floor_div %k, %3 : int  ->  %4 = const 640 : int %5 = const
//   10 : int              %5 = lt %k, %4 : bool      (k // 64 < 10) %6 = lt %4, %5 : bool
//
// It expects comparisons with constants as Lt, the way simplify leaves them.
#include "masker_dsl/ir/function.h"

namespace maskjit::passes {

ir::Function narrow(const ir::Function& function);

}  // namespace maskjit::passes
