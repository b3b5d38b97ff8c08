#include "runtime/device/emulator/shared_memory.h"

#include <algorithm>
#include <bit>
#include <cstring>

namespace maskjit::emulator {

void SharedMemory::reset(uint64_t bytes, uint32_t granule, uint32_t warps, bool check_races,
                         bool check_warp_races) {
  bytes_.assign(bytes, std::byte{0xCD});
  shift_ = static_cast<uint32_t>(std::countr_zero(granule));
  warps_ = warps;
  check_races_ = check_races;
  check_warp_races_ = check_races && check_warp_races;
  const uint64_t count = (bytes + granule - 1) / granule;
  granules_.assign(count, {});
  read_steps_.assign(count * warps, 0);
  read_lanes_.assign(count * warps, 0);
  peak_ = 0;
}

SharedProblem SharedMemory::problem(FaultKind kind, const char* what, uint64_t g, uint32_t counter,
                                    uint32_t warp, uint32_t lane) const {
  return {kind, what, g << shift_, true, counter, warp, lane};
}

SharedProblem SharedMemory::problem_with_writer(const char* what, uint64_t g) const {
  const Granule& granule = granules_[g];
  return problem(FaultKind::Race, what, g, granule.write_counter, granule.write_warp,
                 granule.write_lane);
}

std::optional<SharedProblem> SharedMemory::read(uint64_t offset, uint32_t bytes,
                                                const Accessor& who, const VectorClock& clock) {
  peak_ = std::max(peak_, offset + bytes);
  const uint64_t end = (offset + bytes - 1) >> shift_;
  const uint32_t now = clock[who.warp];
  for (uint64_t g = offset >> shift_; g <= end; ++g) {
    Granule& granule = granules_[g];
    if (granule.pending)
      return problem(
          FaultKind::StaleRead,
          "these bytes are the destination of an asynchronous copy that no wait covers yet", g,
          granule.pending_counter, granule.pending_warp, granule.pending_lane);
    if (!granule.written)
      return SharedProblem{FaultKind::UninitialisedMemory, "nothing wrote these bytes",
                           g << shift_};
    if (!check_races_) continue;
    if (!(who.strong && granule.write_strong)) {
      if (granule.write_warp != who.warp) {
        if (granule.write_step > clock[granule.write_warp])
          return problem_with_writer(
              "another warp wrote these bytes, and nothing orders this read after it", g);
      } else if (check_warp_races_ && granule.write_step == now &&
                 (granule.write_lane != who.lane || who.whole_warp)) {
        return problem_with_writer(
            "another lane of this warp wrote these bytes without a bar.warp.sync since", g);
      }
    }
    if (who.strong) continue;
    granule.read_counter = who.counter;
    uint32_t& step = read_steps_[g * warps_ + who.warp];
    uint8_t& lane = read_lanes_[g * warps_ + who.warp];
    const auto reader = who.whole_warp ? kSeveralLanes : static_cast<uint8_t>(who.lane);
    lane = step == now && lane != reader ? kSeveralLanes : reader;
    step = now;
  }
  return std::nullopt;
}

std::optional<SharedProblem> SharedMemory::check_write(uint64_t g, const Accessor& who,
                                                       const VectorClock& clock,
                                                       const std::byte* value) {
  const Granule& granule = granules_[g];
  if (granule.pending)
    return problem(
        FaultKind::AsyncConflict,
        "these bytes are the destination of an asynchronous copy that no wait covers yet", g,
        granule.pending_counter, granule.pending_warp, granule.pending_lane);
  if (!check_races_) return std::nullopt;
  const uint32_t now = clock[who.warp];
  if (granule.written && !(who.strong && granule.write_strong)) {
    if (granule.write_warp != who.warp) {
      if (granule.write_step > clock[granule.write_warp])
        return problem_with_writer(
            "another warp wrote these bytes, and nothing orders this write after it", g);
    } else if (granule.write_step == now && granule.write_lane != who.lane && check_warp_races_) {
      // Lanes of one instruction may store the same value.
      const bool same_instruction = granule.write_serial == who.serial;
      if (!same_instruction)
        return problem_with_writer(
            "another lane of this warp wrote these bytes without a bar.warp.sync since", g);
      const size_t size = std::min<size_t>(size_t{1} << shift_, bytes_.size() - (g << shift_));
      if (value == nullptr || std::memcmp(value, bytes_.data() + (g << shift_), size) != 0)
        return problem_with_writer("another lane stores another value with the same instruction",
                                   g);
    }
  }
  const uint32_t* steps = &read_steps_[g * warps_];
  for (uint32_t warp = 0; warp < warps_; ++warp) {
    if (warp == who.warp ? !(check_warp_races_ && steps[warp] == now && steps[warp] != 0 &&
                             read_lanes_[g * warps_ + warp] != who.lane)
                         : steps[warp] <= clock[warp])
      continue;
    const uint8_t lane = read_lanes_[g * warps_ + warp];
    return problem(FaultKind::Race,
                   warp == who.warp
                       ? "another lane of this warp read these bytes without a bar.warp.sync since"
                       : "another warp read these bytes, and nothing orders this write after it",
                   g, granule.read_counter, warp, lane == kSeveralLanes ? 0 : lane);
  }
  return std::nullopt;
}

std::optional<SharedProblem> SharedMemory::write(uint64_t offset, uint32_t bytes,
                                                 const Accessor& who, const VectorClock& clock,
                                                 const std::byte* value) {
  peak_ = std::max(peak_, offset + bytes);
  const uint64_t end = (offset + bytes - 1) >> shift_;
  for (uint64_t g = offset >> shift_; g <= end; ++g) {
    const std::byte* part = value == nullptr ? nullptr : value + ((g << shift_) - offset);
    if (auto found = check_write(g, who, clock, part)) return found;
    Granule& granule = granules_[g];
    granule.written = true;
    granule.write_step = clock[who.warp];
    granule.write_warp = static_cast<uint8_t>(who.warp);
    granule.write_lane = static_cast<uint8_t>(who.lane);
    granule.write_strong = who.strong;
    granule.write_serial = who.serial;
    granule.write_counter = who.counter;
  }
  return std::nullopt;
}

std::optional<SharedProblem> SharedMemory::begin_copy(uint64_t offset, uint32_t bytes,
                                                      const Accessor& who,
                                                      const VectorClock& clock) {
  peak_ = std::max(peak_, offset + bytes);
  const uint64_t end = (offset + bytes - 1) >> shift_;
  for (uint64_t g = offset >> shift_; g <= end; ++g) {
    if (auto found = check_write(g, who, clock, nullptr)) return found;
    Granule& granule = granules_[g];
    granule.pending = true;
    granule.pending_counter = who.counter;
    granule.pending_warp = static_cast<uint8_t>(who.warp);
    granule.pending_lane = static_cast<uint8_t>(who.lane);
  }
  return std::nullopt;
}

void SharedMemory::land_copy(uint64_t offset, uint32_t bytes, const Accessor& who, uint32_t step) {
  const uint64_t end = (offset + bytes - 1) >> shift_;
  for (uint64_t g = offset >> shift_; g <= end; ++g) {
    Granule& granule = granules_[g];
    granule.pending = false;
    granule.written = true;
    granule.write_step = step;
    granule.write_warp = static_cast<uint8_t>(who.warp);
    granule.write_lane = static_cast<uint8_t>(who.lane);
    granule.write_strong = false;
    granule.write_serial = who.serial;
    granule.write_counter = who.counter;
  }
}

}  // namespace maskjit::emulator
