#pragma once
// The list of passes in the order in which they run; each is one file with a worked example in its
// header. A pass takes a well-formed function to a compacted one with the same results, equal for
// every launch, element and tile within the limits of ir::kMaxPosition and ir::kMaxRuntimeInt (NaN
// payloads apart). Each pass is idempotent, and so is the pipeline. Parameters and tensors keep
// their indices.
#include <optional>
#include <span>
#include <variant>
#include <vector>

#include "masker_dsl/ir/function.h"

namespace maskjit::passes {

struct PassInfo {
  const char* name;
  const char* purpose;
  ir::Function (*run)(const ir::Function&);
};

// See passes.cpp for the list and why it is in this order.
std::span<const PassInfo> pipeline();

// Runs the pipeline to a fixed point, at most `limit` passes in all (bisection); -1: no limit.
ir::Function run_pipeline(const ir::Function& function, int limit = -1);

// Replaces Const parameters by these values (by parameter index; nullopt or beyond the end: keep).
// A Share becomes floor(share * kv_len). The parameters stay in the signature, unused: ir::compact
// drops them.
using Binding = std::variant<ir::Scalar, ir::Share>;
ir::Function bind_constants(const ir::Function& function,
                            const std::vector<std::optional<Binding>>& values);

}  // namespace maskjit::passes
