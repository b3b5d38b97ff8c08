// cp.async and mbarrier.
//
// A copy lands as late as its waits allow: when the thread that issued it waits for its group, or
// when somebody tests an mbarrier on which it was to arrive. Its bytes are read when it lands;
// until then its destination is marked, and whoever reads or writes it there is at fault.
#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstring>

#include "runtime/device/emulator/executor.h"

namespace maskjit::emulator {

bool Executor::copy_async(Warp& warp, std::byte* registers, uint32_t mask, const Instruction& in) {
  const Function& function = program_.functions[layout_.functions[part_].function];
  const MemoryAccess& to = function.accesses[in.detail];
  const MemoryAccess& from = function.accesses[in.detail + 1];
  const uint32_t bytes = to.element_bytes;
  const Addresses targets = addresses(registers, in.operands[0], to);
  const Addresses sources = addresses(registers, in.operands[1], from);
  uint32_t ignored = 0;
  if (in.operands[3] != kNone) ignored = *reinterpret_cast<uint32_t*>(registers + in.operands[3]);
  PendingCopy copy;
  copy.counter = counter_;
  copy.serial = serial_;
  copy.mask = mask;
  copy.bytes = static_cast<uint8_t>(bytes);
  uint32_t reading = 0;
  for (uint32_t left = mask; left != 0; left &= left - 1) {
    const auto lane = static_cast<uint32_t>(std::countr_zero(left));
    uint32_t size = bytes;
    if (in.operands[2] != kNone) size = lane_of<uint32_t>(registers, in.operands[2], lane);
    if ((ignored >> lane & 1) != 0) size = 0;
    if (size > bytes)
      return fault(FaultKind::InvalidOperand,
                   fmt::format("{} source bytes for a copy of {}", size, bytes), lane);
    if (!shared_bounds(targets.of[lane], bytes, lane)) return false;
    copy.to[lane] = static_cast<uint32_t>(targets.of[lane]);
    copy.from[lane] = sources.of[lane];
    copy.size[lane] = static_cast<uint8_t>(size);
    copy.group[lane] = warp.groups[lane];
    if (size == 0) continue;
    reading |= 1u << lane;
  }
  if (!aligned(targets, mask, bytes) || !aligned(sources, mask, bytes)) return false;
  for (uint32_t left = mask; left != 0; left &= left - 1) {
    const auto lane = static_cast<uint32_t>(std::countr_zero(left));
    const uint32_t size = copy.size[lane];
    if (size > 0 && (global_bytes(copy.from[lane], size, lane, false) == nullptr ||
                     !check_global_reads(copy.from[lane], size, lane)))
      return false;
    if (const auto problem =
            shared_.begin_copy(copy.to[lane], bytes, accessor(warp, lane, false), warp.clock))
      return shared_fault(*problem, lane, copy.to[lane]);
  }
  if (reading != 0) {
    // Whole sectors are fetched; useful is what the source sizes say.
    GlobalTraffic& traffic = traffic_[counter_].global;
    const uint64_t lane_bytes = traffic.lane_bytes, useful = traffic.useful_bytes;
    count_global(traffic, sources, reading, bytes);
    uint64_t wanted = 0;
    each_lane(reading, [&](uint32_t lane) { wanted += copy.size[lane]; });
    traffic.lane_bytes = lane_bytes + wanted;
    traffic.useful_bytes = useful + std::min(wanted, traffic.useful_bytes - useful);
  }
  count_shared(traffic_[counter_].shared, targets, mask, bytes);
  warp.copies.push_back(copy);
  return true;
}

void Executor::land(Warp& warp, PendingCopy& copy, uint32_t mask, uint32_t step) {
  each_lane(mask, [&](uint32_t lane) {
    std::byte* target = shared_.data(copy.to[lane]);
    const uint32_t size = copy.size[lane];
    if (size > 0) {
      const std::byte* source = memory_.data(copy.from[lane], size);
      if (source != nullptr) std::memcpy(target, source, size);
    }
    std::memset(target + size, 0, copy.bytes - size);
    shared_.land_copy(copy.to[lane], copy.bytes,
                      {warp.index, lane, copy.counter, copy.serial, false, false}, step);
  });
  copy.mask &= ~mask;
}

void Executor::land_copies(Warp& warp, uint32_t mask, uint32_t groups_left, bool all) {
  for (PendingCopy& copy : warp.copies) {
    uint32_t lanes = 0;
    each_lane(copy.mask & mask, [&](uint32_t lane) {
      // wait_group n leaves the last n committed groups; what is not committed stays open.
      if (all || uint64_t{copy.group[lane]} + groups_left < warp.groups[lane]) lanes |= 1u << lane;
    });
    if (lanes != 0) land(warp, copy, lanes, warp.clock[warp.index]);
  }
  std::erase_if(warp.copies, [](const PendingCopy& copy) { return copy.mask == 0; });
}

// mbarrier ----------------------------------------------------------------------------------------

BarrierObject* Executor::object_at(uint64_t address, uint32_t lane) {
  const auto found = objects_.find(address);
  if (found != objects_.end()) return &found->second;
  fault(FaultKind::InvalidOperand, "no mbarrier was initialised at this address", lane, address);
  return nullptr;
}

void Executor::complete_phase(BarrierObject& object) {
  if (object.pending != 0 || object.transactions != 0) return;
  ++object.phase;
  object.pending = object.expected;
  object.completed = object.arriving;
}

bool Executor::arrive_on(BarrierObject& object, int64_t count, uint32_t lane, uint64_t address) {
  if (count <= 0 || count > object.pending)
    return fault(FaultKind::InvalidOperand,
                 fmt::format("{} arrivals, but the phase expects {} more", count, object.pending),
                 lane, address);
  object.pending -= count;
  complete_phase(object);
  return true;
}

// Somebody waits on the mbarrier: the copies before its asynchronous arrivals land now.
bool Executor::trigger_arrivals(uint64_t address, uint32_t lane) {
  for (size_t i = 0; i < arrives_.size();) {
    if (arrives_[i].barrier != address) {
      ++i;
      continue;
    }
    const PendingArrive arrive = arrives_[i];
    arrives_.erase(arrives_.begin() + static_cast<int64_t>(i));
    Warp& warp = warps_[arrive.warp];
    for (PendingCopy& copy : warp.copies) {
      if (copy.serial < arrive.copies_before && (copy.mask & arrive.mask) != 0)
        land(warp, copy, copy.mask & arrive.mask, arrive.clock[arrive.warp]);
    }
    std::erase_if(warp.copies, [](const PendingCopy& copy) { return copy.mask == 0; });
    BarrierObject* object = object_at(address, lane);
    if (object == nullptr) return false;
    join_clock(object->arriving, arrive.clock);
    const int64_t count = std::popcount(arrive.mask);
    if (arrive.increments) {
      object->pending += count;
    }
    if (!arrive_on(*object, count, lane, address)) return false;
  }
  return true;
}

Executor::Step Executor::barrier_object(Warp& warp, std::byte* registers, uint32_t mask,
                                        const Instruction& in) {
  if (in.kind == Kind::BarrierPending) {
    each_lane(mask, [&](uint32_t lane) {
      // A state holds the phase above and the arrivals that were missing below.
      const uint64_t state = lane_of<uint64_t>(registers, in.operands[1], lane);
      if (in.operands[0] != kNone)
        lane_of<uint32_t>(registers, in.operands[0], lane) = static_cast<uint32_t>(state & 0xFFFFF);
    });
    return Step::Next;
  }
  const MemoryAccess& access =
      program_.functions[layout_.functions[part_].function].accesses[in.detail];
  Addresses at = addresses(registers, in.operands[in.defs], access);
  bool waits = false;
  for (uint32_t left = mask; left != 0; left &= left - 1) {
    const auto lane = static_cast<uint32_t>(std::countr_zero(left));
    uint64_t address = at.of[lane];
    if (access.space == Space::Generic) address -= kSharedWindow;
    if (!shared_bounds(address, 8, lane)) return Step::Leave;
    if (address % 8 != 0) {
      fault(FaultKind::Misaligned, "an mbarrier is aligned to 8 bytes", lane, address);
      return Step::Leave;
    }
    if (in.kind == Kind::BarrierInit) {
      const uint32_t count = lane_of<uint32_t>(registers, in.operands[1], lane);
      if (count == 0 || count > 0xFFFFF) {
        fault(FaultKind::InvalidOperand, fmt::format("an mbarrier of {} arrivals", count), lane,
              address);
        return Step::Leave;
      }
      BarrierObject object;
      object.expected = count;
      object.pending = count;
      objects_[address] = object;
      // The object is written like any other bytes: others must not use it before they are ordered.
      if (const auto problem =
              shared_.write(address, 8, accessor(warp, lane, false), warp.clock, nullptr)) {
        shared_fault(*problem, lane, address);
        return Step::Leave;
      }
      std::memset(shared_.data(address), 0, 8);
      continue;
    }
    if (const auto problem = shared_.read(address, 8, accessor(warp, lane, true), warp.clock)) {
      shared_fault(*problem, lane, address);
      return Step::Leave;
    }
    BarrierObject* object = object_at(address, lane);
    if (object == nullptr) return Step::Leave;
    switch (in.kind) {
      case Kind::BarrierInvalidate:
        objects_.erase(address);
        break;
      case Kind::BarrierExpect:
        object->transactions += lane_of<uint32_t>(registers, in.operands[1], lane);
        break;
      case Kind::CopyArrive: {
        PendingArrive* same = nullptr;
        for (PendingArrive& arrive : arrives_) {
          if (arrive.barrier == address && arrive.warp == warp.index &&
              arrive.copies_before == serial_)
            same = &arrive;
        }
        if (same == nullptr) {
          arrives_.push_back({address, warp.index, 0, serial_, !access.no_increment, warp.clock});
          same = &arrives_.back();
        }
        same->mask |= 1u << lane;
        break;
      }
      case Kind::BarrierArrive: {
        const uint32_t operand = lane_of<uint32_t>(registers, in.operands[2], lane);
        const bool with_transaction = (in.immediate & 1) != 0;
        if (in.operands[0] != kNone)
          lane_of<uint64_t>(registers, in.operands[0], lane) =
              object->phase << 20 | static_cast<uint64_t>(object->pending);
        join_clock(object->arriving, warp.clock);
        if (with_transaction) object->transactions += operand;
        if ((in.immediate & 2) != 0) {
          if (object->expected <= operand) {
            fault(FaultKind::InvalidOperand, "arrive_drop leaves no arrivals", lane, address);
            return Step::Leave;
          }
          object->expected -= operand;
        }
        if (!arrive_on(*object, with_transaction ? 1 : operand, lane, address)) return Step::Leave;
        break;
      }
      default: {  // BarrierTest
        if (!trigger_arrivals(address, lane)) return Step::Leave;
        bool complete = false;
        if ((in.immediate & 1) != 0) {
          const uint32_t parity = lane_of<uint32_t>(registers, in.operands[2], lane);
          complete = (object->phase & 1) != (parity & 1);
        } else {
          complete = object->phase > lane_of<uint64_t>(registers, in.operands[2], lane) >> 20;
        }
        if (in.operands[0] != kNone) {
          auto* to = reinterpret_cast<uint32_t*>(registers + in.operands[0]);
          *to = (*to & ~(1u << lane)) | (complete ? 1u << lane : 0);
        }
        if (complete) join_clock(warp.clock, object->completed);
        waits |= !complete;
        break;
      }
    }
  }
  if (in.kind == Kind::BarrierArrive || in.kind == Kind::CopyArrive) advance_clock(warp);
  return waits ? Step::Yield : Step::Next;
}

}  // namespace maskjit::emulator
