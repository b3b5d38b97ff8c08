#pragma once
// What a decoded function still needs before it can run, all of it from its control-flow graph:
//
// - the join of each jump: the start of the block that immediately post-dominates it, where lanes
//   that went different ways meet again;
// - which registers may be read before they are written: their writes are tracked, and reads of
//   them checked, when it runs. The others cost nothing;
// - slots: registers that are never alive at once share memory, as far as a linear scan of their
//   live intervals tells, so that the register file of a warp stays in the cache.
//
// Operands become slots.
#include "runtime/device/emulator/program.h"

namespace maskjit::emulator {

void finish_function(Function& function);

}  // namespace maskjit::emulator
