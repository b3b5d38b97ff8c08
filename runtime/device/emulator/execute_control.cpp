// One split of a warp: the loop over its instructions, divergence, calls.
#include <fmt/format.h>

#include <algorithm>
#include <bit>

#include "runtime/device/emulator/executor.h"

namespace maskjit::emulator {

void Executor::join_clock(VectorClock& to, const VectorClock& from) {
  for (size_t i = 0; i < to.size(); ++i) to[i] = std::max(to[i], from[i]);
}

// The index of a split is stable while others are added; removal moves the last one.
void Executor::remove_split(Warp& warp, uint32_t split) {
  warp.splits[split] = warp.splits.back();
  warp.splits.pop_back();
}

uint32_t Executor::add_join(Warp& warp, uint32_t pc, uint32_t frame, uint32_t parent,
                            uint32_t mask) {
  // A jump within a loop meets where the loop's earlier iterations meet: one join serves them all.
  if (parent != kNone && warp.joins[parent].pc == pc && warp.joins[parent].frame == frame)
    return parent;
  const Join join = {pc, frame, parent, mask, 0, true};
  for (uint32_t i = 0; i < warp.joins.size(); ++i) {
    if (!warp.joins[i].used) {
      warp.joins[i] = join;
      return i;
    }
  }
  warp.joins.push_back(join);
  return static_cast<uint32_t>(warp.joins.size() - 1);
}

// All lanes that are still expected are there: they go on as one split.
void Executor::release_join(Warp& warp, uint32_t index) {
  const Join join = warp.joins[index];
  warp.joins[index].used = false;
  if (join.arrived != 0)
    warp.splits.push_back({join.pc, join.arrived, join.parent, join.frame, SplitState::Ready, 0});
}

// The split stands at its join. True if it is gone.
bool Executor::arrive_at_join(Warp& warp, uint32_t split) {
  const uint32_t index = warp.splits[split].join;
  Join& join = warp.joins[index];
  join.arrived |= warp.splits[split].mask;
  remove_split(warp, split);
  if (join.arrived == join.expected) release_join(warp, index);
  return true;
}

// Of the lanes of `split`, those of `taken` jump to `target`, the others go on.
void Executor::diverge(Warp& warp, uint32_t split, uint32_t taken, uint32_t target,
                       const Instruction& in) {
  ++report_.counts.divergent_jumps;
  Split& first = warp.splits[split];
  uint32_t join = first.join;
  if (in.join != kNone) join = add_join(warp, in.join, first.frame, first.join, first.mask);
  Split second = first;
  first.mask &= ~taken;
  first.join = join;
  ++first.pc;
  second.mask = taken;
  second.join = join;
  second.pc = target;
  warp.splits.push_back(second);
}

Executor::Step Executor::jump_table(Warp& warp, uint32_t split, uint32_t mask,
                                    const Instruction& in) {
  const auto& targets =
      program_.functions[layout_.functions[part_].function].jump_tables[in.detail];
  std::byte* registers = warp.registers + layout_.functions[part_].registers;
  const uint32_t whole = warp.splits[split].mask;
  std::vector<std::pair<uint32_t, uint32_t>> groups;  // target, lanes
  uint32_t outside = 0;
  each_lane(mask, [&](uint32_t lane) {
    const uint32_t index = lane_of<uint32_t>(registers, in.operands[0], lane);
    if (index >= targets.size()) {
      outside |= 1u << lane;
      return;
    }
    for (auto& [target, lanes] : groups) {
      if (target == targets[index]) {
        lanes |= 1u << lane;
        return;
      }
    }
    groups.emplace_back(targets[index], 1u << lane);
  });
  if (outside != 0) {
    const auto lane = static_cast<uint32_t>(std::countr_zero(outside));
    fault(FaultKind::InvalidOperand,
          fmt::format("index {} of a table of {} targets",
                      lane_of<uint32_t>(registers, in.operands[0], lane), targets.size()),
          lane);
    return Step::Leave;
  }
  if (mask != whole) groups.emplace_back(pc_ + 1, whole & ~mask);
  if (groups.size() == 1) {
    warp.splits[split].pc = groups[0].first;
    return Step::Yield;
  }
  ++report_.counts.divergent_jumps;
  Split base = warp.splits[split];
  if (in.join != kNone) base.join = add_join(warp, in.join, base.frame, base.join, base.mask);
  for (size_t i = 0; i < groups.size(); ++i) {
    base.pc = groups[i].first;
    base.mask = groups[i].second;
    if (i == 0)
      warp.splits[split] = base;
    else
      warp.splits.push_back(base);
  }
  return Step::Yield;
}

// Calls -------------------------------------------------------------------------------------------

Executor::Step Executor::call(Warp& warp, uint32_t split, uint32_t mask, const Instruction& in) {
  const uint32_t caller_part = part_;
  const Function& caller = program_.functions[layout_.functions[caller_part].function];
  const Function::CallSite& site = caller.calls[in.detail];
  const uint32_t callee_part = layout_.part_of.at(site.callee);
  const Function& callee = program_.functions[site.callee];
  // Arguments are each thread's own bytes.
  const uint64_t from_frame = layout_.functions[caller_part].frame;
  const uint64_t to_frame = layout_.functions[callee_part].frame;
  each_lane(mask, [&](uint32_t lane) {
    const uint64_t base = (uint64_t{warp.index} * kLanes + lane) * frame_bytes_;
    for (size_t i = 0; i < site.arguments.size(); ++i) {
      const Variable& from = caller.variables[site.arguments[i]];
      const Variable& to = callee.variables[callee.params[i]];
      const uint64_t source = base + from_frame + from.offset, target = base + to_frame + to.offset;
      std::copy_n(local_.begin() + static_cast<int64_t>(source), from.bytes,
                  local_.begin() + static_cast<int64_t>(target));
      std::copy_n(local_written_.begin() + static_cast<int64_t>(source), from.bytes,
                  local_written_.begin() + static_cast<int64_t>(target));
    }
  });
  const Split at = warp.splits[split];
  Frame frame = {callee_part, at.frame, at.pc + 1, in.detail, mask};
  const auto index = static_cast<uint32_t>(warp.frames.size());
  warp.frames.push_back(frame);
  // Lanes meet behind the call, whatever they do within it.
  const uint32_t join = add_join(warp, at.pc + 1, at.frame, at.join, at.mask);
  Split inside = at;
  inside.join = join;
  inside.frame = index;
  inside.pc = 0;
  inside.mask = mask;
  if (mask != at.mask) {
    Split rest = at;
    rest.mask = at.mask & ~mask;
    rest.join = join;
    ++rest.pc;
    warp.splits.push_back(rest);
  }
  warp.splits[split] = inside;
  return Step::Yield;
}

void Executor::pass_results(Warp& warp, const Frame& frame, uint32_t lanes) {
  const auto& callee_part = layout_.functions[frame.part];
  const Function& callee = program_.functions[callee_part.function];
  const auto& caller_part = layout_.functions[warp.frames[frame.parent].part];
  const Function& caller = program_.functions[caller_part.function];
  const Function::CallSite& site = caller.calls[frame.site];
  each_lane(lanes, [&](uint32_t lane) {
    const uint64_t base = (uint64_t{warp.index} * kLanes + lane) * frame_bytes_;
    for (size_t i = 0; i < site.results.size(); ++i) {
      const Variable& from = callee.variables[callee.results[i]];
      const Variable& to = caller.variables[site.results[i]];
      const uint64_t source = base + callee_part.frame + from.offset;
      const uint64_t target = base + caller_part.frame + to.offset;
      std::copy_n(local_.begin() + static_cast<int64_t>(source), from.bytes,
                  local_.begin() + static_cast<int64_t>(target));
      std::copy_n(local_written_.begin() + static_cast<int64_t>(source), from.bytes,
                  local_written_.begin() + static_cast<int64_t>(target));
    }
    // What the callee's frame holds is gone for its next call.
    const uint64_t begin = base + callee_part.frame;
    std::fill_n(local_written_.begin() + static_cast<int64_t>(begin), callee.frame_bytes, 0);
  });
}

// ret and exit of the lanes of `mask`.
Executor::Step Executor::leave(Warp& warp, uint32_t split, uint32_t mask, bool exits) {
  Split& at = warp.splits[split];
  const uint32_t frame = at.frame;
  const bool ends_thread = exits || warp.frames[frame].parent == kNone;
  Split leaving = at;
  leaving.mask = mask;
  const bool all = mask == at.mask;
  if (!all) {
    at.mask &= ~mask;
    ++at.pc;
  }
  if (ends_thread) {
    warp.live &= ~mask;
    threads_exited_ = true;
    for (uint32_t f = frame; f != kNone; f = warp.frames[f].parent) warp.frames[f].lanes &= ~mask;
    // Nobody waits for them any more, at any level.
    uint32_t join = leaving.join;
    if (all) remove_split(warp, split);
    while (join != kNone) {
      Join& waiting = warp.joins[join];
      const uint32_t parent = waiting.parent;
      waiting.expected &= ~mask;
      if (waiting.expected == waiting.arrived) release_join(warp, join);
      join = parent;
    }
    return all ? Step::Leave : Step::Next;
  }
  const Frame from = warp.frames[frame];
  pass_results(warp, from, mask);
  warp.frames[frame].lanes &= ~mask;
  leaving.pc = from.return_pc;
  leaving.frame = from.parent;
  if (all) {
    warp.splits[split] = leaving;
  } else {
    warp.splits.push_back(leaving);
  }
  while (warp.frames.size() > 1 && warp.frames.back().lanes == 0) warp.frames.pop_back();
  return Step::Yield;
}

// Unwritten registers -----------------------------------------------------------------------------

bool Executor::check_registers(std::byte* registers, uint32_t pc, uint32_t whole, uint32_t mask) {
  const Function& function = program_.functions[layout_.functions[part_].function];
  const auto found = function.register_checks.find(pc);
  if (found == function.register_checks.end()) return true;
  const Function::RegisterChecks& checks = found->second;
  const auto written = [&](uint32_t value) -> uint32_t& {
    return *reinterpret_cast<uint32_t*>(registers + function.values[value].written_slot);
  };
  const auto check = [&](uint32_t value, uint32_t lanes) {
    const uint32_t missing = lanes & ~written(value);
    return missing == 0 || !options_.check_registers ||
           fault(FaultKind::UninitialisedRegister,
                 fmt::format("nothing wrote {} in lanes {:#010x}", function.values[value].name,
                             missing),
                 static_cast<uint32_t>(std::countr_zero(missing)));
  };
  if (checks.guard != kNone && !check(checks.guard, whole)) return false;
  uint32_t copied = mask, any = 0;
  for (const uint32_t value : checks.reads) {
    any |= written(value);
    if (checks.packs != 0) continue;
    if (checks.copies) {
      copied &= written(value);
    } else if (!check(value, mask)) {
      return false;
    }
  }
  if (checks.packs != 0 && static_cast<size_t>(checks.packs) == checks.reads.size()) copied &= any;
  if (checks.selection) {
    const auto& selection = *checks.selection;
    const uint32_t chosen =
        *reinterpret_cast<const uint32_t*>(registers + function.values[selection.predicate].slot);
    if (selection.if_true != kNone) copied &= written(selection.if_true) | ~chosen;
    if (selection.if_false != kNone) copied &= written(selection.if_false) | chosen;
  }
  for (const uint32_t value : checks.writes) written(value) = (written(value) & ~mask) | copied;
  return true;
}

// The loop ----------------------------------------------------------------------------------------

void Executor::run_warp(Warp& warp, uint32_t quantum) {
  warp_ = &warp;
  // A ready split, another one each time, so that all of them make progress.
  const auto begin = static_cast<uint32_t>(random_() % warp.splits.size());
  uint32_t current = kNone;
  for (uint32_t i = 0; i < warp.splits.size() && current == kNone; ++i) {
    const auto candidate = static_cast<uint32_t>((begin + i) % warp.splits.size());
    if (warp.splits[candidate].state == SplitState::Ready) current = candidate;
  }
  if (current == kNone) return;

  while (quantum > 0) {
    const Split& entered = warp.splits[current];
    const uint32_t frame = entered.frame;
    part_ = warp.frames[frame].part;
    const auto& part = layout_.functions[part_];
    const Function& function = program_.functions[part.function];
    const Instruction* code = function.code.data();
    std::byte* registers = warp.registers + part.registers;
    uint64_t* executions = executions_.data() + part.counters;
    uint32_t pc = entered.pc;
    const uint32_t whole = entered.mask;
    const uint32_t join_pc = entered.join != kNone && warp.joins[entered.join].frame == frame
                                 ? warp.joins[entered.join].pc
                                 : kNone;
    Step step = Step::Next;
    // Until the split's mask, frame or join changes.
    while (true) {
      if (pc == join_pc) {
        warp.splits[current].pc = pc;
        arrive_at_join(warp, current);
        return;
      }
      if (quantum-- == 0) {
        warp.splits[current].pc = pc;
        return;
      }
      const Instruction& in = code[pc];
      ++executions[pc];
      if (++steps_ > options_.step_limit) {
        pc_ = pc;
        warp.splits[current].pc = pc;
        fault(FaultKind::StepLimit,
              fmt::format("{} instructions without an end", options_.step_limit),
              static_cast<uint32_t>(std::countr_zero(whole)));
        note_positions();
        return;
      }
      uint32_t mask = whole;
      if (in.guard != kNone) {
        const uint32_t guard = *reinterpret_cast<const uint32_t*>(registers + in.guard);
        mask &= in.guard_negated ? ~guard : guard;
      }
      if (mask != kAllLanes)
        missing_lanes_[part.counters + pc] += static_cast<uint64_t>(kLanes - std::popcount(mask));
      if (in.kind == Kind::Alu && !in.checked) {
        if (mask != 0) in.alu(registers, mask, in);
        ++pc;
        continue;
      }
      pc_ = pc;
      counter_ = static_cast<uint32_t>(part.counters) + pc;
      ++serial_;
      if (in.checked && !check_registers(registers, pc, whole, mask)) return;
      if (in.kind == Kind::Jump) {
        if (mask == 0) {
          ++pc;
        } else if (mask == whole) {
          pc = in.target;
        } else {
          warp.splits[current].pc = pc;
          diverge(warp, current, mask, in.target, in);
          break;
        }
        continue;
      }
      if (mask == 0) {
        ++pc;
        continue;
      }
      warp.splits[current].pc = pc;
      bool ok = true;
      step = Step::Next;
      switch (in.kind) {
        case Kind::Alu:
          in.alu(registers, mask, in);
          break;
        case Kind::Load:
        case Kind::Store:
          ok = load_store(warp, registers, mask, in);
          break;
        case Kind::Atomic:
        case Kind::Reduce:
          ok = atomic(warp, registers, mask, in);
          break;
        case Kind::LoadMatrix:
        case Kind::StoreMatrix:
          ok = matrix_memory(warp, registers, mask, in);
          break;
        case Kind::CopyAsync:
          ok = copy_async(warp, registers, mask, in);
          break;
        case Kind::CopyCommit:
          each_lane(mask, [&](uint32_t lane) { ++warp.groups[lane]; });
          break;
        case Kind::CopyWait:
          land_copies(warp, mask, in.immediate, in.immediate == kNone);
          break;
        case Kind::MultiplyMatrix:
          if ((ok = whole_warp(warp, mask))) multiply_matrix(registers, in);
          break;
        case Kind::MoveMatrix:
          if ((ok = whole_warp(warp, mask))) move_matrix(registers, in);
          break;
        case Kind::ActiveMask:
          each_lane(mask, [&](uint32_t lane) {
            if (in.operands[0] != kNone) lane_of<uint32_t>(registers, in.operands[0], lane) = mask;
          });
          break;
        case Kind::Clock:
          clock(registers, mask, in);
          break;
        case Kind::Fence:
        case Kind::Prefetch:
        case Kind::Nothing:
          break;
        case Kind::Trap:
          ok = fault(FaultKind::Trap, "the kernel stopped itself",
                     static_cast<uint32_t>(std::countr_zero(mask)));
          break;
        case Kind::Sleep:
          ++warp.splits[current].pc;
          return;
        case Kind::Jump:
          break;  // above
        case Kind::JumpTable:
          step = jump_table(warp, current, mask, in);
          break;
        case Kind::Call:
          step = call(warp, current, mask, in);
          break;
        case Kind::Return:
          step = leave(warp, current, mask, false);
          break;
        case Kind::Exit:
          step = leave(warp, current, mask, true);
          break;
        case Kind::Barrier:
          step = cta_barrier(warp, current, mask, in);
          break;
        case Kind::WarpBarrier:
        case Kind::Shuffle:
        case Kind::Vote:
        case Kind::Match:
        case Kind::WarpReduce:
        case Kind::Elect:
          step = synchronise(warp, current, mask, in);
          break;
        case Kind::CopyArrive:
        case Kind::BarrierInit:
        case Kind::BarrierInvalidate:
        case Kind::BarrierArrive:
        case Kind::BarrierExpect:
        case Kind::BarrierTest:
        case Kind::BarrierPending:
          step = barrier_object(warp, registers, mask, in);
          break;
      }
      if (!ok || faulted()) return;
      if (step == Step::Leave) return;
      if (step == Step::Yield) {
        // Barriers wait; failed tests let others run; calls and returns go on in another frame.
        if (in.kind == Kind::Call || in.kind == Kind::Return || in.kind == Kind::JumpTable) break;
        if (in.kind == Kind::BarrierTest) ++warp.splits[current].pc;
        return;
      }
      // Control and synchronising instructions moved the split themselves.
      if (warp.splits[current].pc != pc || warp.splits[current].mask != whole) break;
      ++pc;
    }
  }
}

}  // namespace maskjit::emulator
