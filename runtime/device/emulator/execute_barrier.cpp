// Barriers of the CTA: bar and barrier.
#include <fmt/format.h>

#include <bit>

#include "runtime/device/emulator/executor.h"

namespace maskjit::emulator {

Executor::Step Executor::cta_barrier(Warp& warp, uint32_t split, uint32_t mask,
                                     const Instruction& in) {
  std::byte* registers = warp.registers + layout_.functions[part_].registers;
  const auto op = static_cast<BarrierOp>(in.immediate & 255);
  const bool is_aligned = (in.immediate & 256) != 0;
  const auto first = static_cast<uint32_t>(std::countr_zero(mask));
  if (is_aligned && mask != warp.live) {
    const uint32_t missing = warp.live & ~mask;
    fault(FaultKind::DivergentBarrier,
          fmt::format("lanes {:#010x} execute this barrier without lanes {:#010x} of their warp",
                      mask, missing),
          first);
    for (uint32_t i = 0; i < warp.splits.size(); ++i) {
      if (i == split || (warp.splits[i].mask & missing) == 0) continue;
      const uint64_t counter =
          layout_.functions[warp.frames[warp.splits[i].frame].part].counters + warp.splits[i].pc;
      note(fmt::format("lanes {:#010x}: {}", warp.splits[i].mask,
                       place_of(static_cast<uint32_t>(counter))));
    }
    return Step::Leave;
  }
  const uint32_t at = in.defs;  // the result comes first
  const uint32_t number = lane_of<uint32_t>(registers, in.operands[at], first);
  const bool counted = in.operands[at + 1] != kNone;
  const uint32_t count = counted ? lane_of<uint32_t>(registers, in.operands[at + 1], first) : 0;
  bool uniform = true;
  each_lane(mask, [&](uint32_t lane) {
    uniform &= lane_of<uint32_t>(registers, in.operands[at], lane) == number &&
               (!counted || lane_of<uint32_t>(registers, in.operands[at + 1], lane) == count);
  });
  if (!uniform || number >= barriers_.size() || (counted && (count == 0 || count % kLanes != 0))) {
    fault(FaultKind::InvalidOperand,
          !uniform ? "the lanes name different barriers or counts"
          : number >= barriers_.size()
              ? fmt::format("barrier {} of 16", number)
              : fmt::format("{} threads, which is not a multiple of 32", count),
          first);
    return Step::Leave;
  }
  CtaBarrier& barrier = barriers_[number];
  if (!barrier.active) {
    barrier = {};
    barrier.active = true;
    barrier.counted = counted;
    barrier.expected = count;
    barrier.counter = counter_;
  }
  if (barrier.counted != counted || barrier.expected != count) {
    fault(FaultKind::InvalidOperand,
          fmt::format("this barrier waits for {} threads here, but for {} where others wait", count,
                      barrier.expected),
          first);
    note(fmt::format("first arrival: {}", place_of(barrier.counter)));
    return Step::Leave;
  }
  if ((barrier.lanes[warp.index] & mask) != 0) {
    fault(FaultKind::InvalidOperand, "the warp arrives twice before the barrier completes", first);
    return Step::Leave;
  }
  barrier.lanes[warp.index] |= mask;
  // A whole warp counts as 32 threads, also where the block's last warp has fewer.
  const bool whole = mask == warp.live;
  barrier.arrived += counted && whole ? kLanes : static_cast<uint32_t>(std::popcount(mask));
  join_clock(barrier.clock, warp.clock);
  advance_clock(warp);
  if (op == BarrierOp::And || op == BarrierOp::Or || op == BarrierOp::Popc) {
    uint32_t predicate = *reinterpret_cast<uint32_t*>(registers + in.operands[at + 2]);
    if (in.modes.negate_combined) predicate = ~predicate;
    barrier.all &= (predicate & mask) == mask;
    barrier.any |= (predicate & mask) != 0;
    barrier.ones += static_cast<uint32_t>(std::popcount(predicate & mask));
  }
  if (op == BarrierOp::Arrive) {
    ++warp.splits[split].pc;
  } else {
    warp.splits[split].state = SplitState::BarrierWait;
    warp.splits[split].executing = number << 16;
  }
  complete_barrier(number);
  return op == BarrierOp::Arrive ? Step::Next : Step::Yield;
}

void Executor::complete_barriers() {
  for (uint32_t i = 0; i < barriers_.size() && !faulted(); ++i) complete_barrier(i);
}

void Executor::complete_barrier(uint32_t number) {
  CtaBarrier& barrier = barriers_[number];
  if (!barrier.active) return;
  uint32_t wanted = barrier.expected;
  if (!barrier.counted) {
    for (const Warp& warp : warps_) wanted += static_cast<uint32_t>(std::popcount(warp.live));
    // Threads that arrived without waiting and then exited still count.
    for (const Warp& warp : warps_)
      wanted += static_cast<uint32_t>(std::popcount(barrier.lanes[warp.index] & ~warp.live));
  }
  if (barrier.arrived < wanted) return;
  if (barrier.arrived > wanted) {
    fault(FaultKind::InvalidOperand,
          fmt::format("{} threads arrive at a barrier of {}", barrier.arrived, wanted), 0);
    return;
  }
  ++report_.counts.barriers;
  const CtaBarrier done = barrier;
  barrier.active = false;
  for (Warp& warp : warps_) {
    bool waited = false;
    for (Split& split : warp.splits) {
      if (split.state != SplitState::BarrierWait || split.executing >> 16 != number) continue;
      const auto& part = layout_.functions[warp.frames[split.frame].part];
      const Instruction& in = program_.functions[part.function].code[split.pc];
      if (in.defs == 1 && in.operands[0] != kNone) {
        std::byte* registers = warp.registers + part.registers;
        const auto op = static_cast<BarrierOp>(in.immediate & 255);
        const uint32_t lanes = split.mask & done.lanes[warp.index];
        if (op == BarrierOp::Popc) {
          each_lane(lanes, [&](uint32_t lane) {
            lane_of<uint32_t>(registers, in.operands[0], lane) = done.ones;
          });
        } else {
          auto* to = reinterpret_cast<uint32_t*>(registers + in.operands[0]);
          const bool value = op == BarrierOp::And ? done.all : done.any;
          *to = (*to & ~lanes) | (value ? lanes : 0);
        }
      }
      split.state = SplitState::Ready;
      split.executing = 0;
      ++split.pc;
      waited = true;
    }
    if (waited) join_clock(warp.clock, done.clock);
  }
}

}  // namespace maskjit::emulator
