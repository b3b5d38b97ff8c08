#pragma once
// The list of passes in the order in which they run; each is one file with a worked example in its header.
#include "masker_dsl/ir/function.h"

namespace maskjit::passes {

struct PassInfo {
  const char* name;
  const char* purpose;
  ir::Function (*run)(const ir::Function&);
};

// fold, simplify, separate, then simplify again: see passes.cpp for why in this order.
std::span<const PassInfo> pipeline();

// Runs the pipeline to a fixed point, at most `limit` passes in all (bisection); -1: no limit.
ir::Function run_pipeline(const ir::Function& function, int limit = -1);

// Replaces Const parameters by these values (by parameter index; nullopt: keep).
ir::Function bind_constants(const ir::Function& function,
                            const std::vector<std::optional<std::variant<ir::Scalar, ir::Share>>>& values);

}  // namespace maskjit::passes
