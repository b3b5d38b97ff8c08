#pragma once
// Evaluates ops whose operands are all constants, with the interpreter's own evaluation
// (ir/evaluate.h).
//
//   %0 = const 3 : int
//   %1 = const 4 : int               ->    %0 = const 7 : int
//   %2 = add %0, %1 : int
//
// It runs first: the other passes recognise constants only as Const nodes.
#include "masker_dsl/ir/function.h"

namespace maskjit::passes {

ir::Function fold(const ir::Function& function);

// The constant that `like` on these operands is, or nullopt if an operand is not constant.
std::optional<ir::Scalar> folded(const ir::Function& function, const ir::Node& like,
                                 std::span<const ir::Value> operands);

}  // namespace maskjit::passes
