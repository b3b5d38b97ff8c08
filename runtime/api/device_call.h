#pragma once
// Attention on the engine's device: a checked launch -> copies, summaries, kernels in a stream.
#include "runtime/api/state.h"

namespace maskjit::detail {

Status run_on_device(const AttentionState& attention, const AttentionInputs& inputs,
                     const AttentionOutputs& outputs);

// What the device would launch, for LaunchInfo: blocks of all kernels.
int64_t count_blocks(const EngineState& engine, const codegen::KernelSpec& spec,
                     const plan::Launch& launch);

}  // namespace maskjit::detail
