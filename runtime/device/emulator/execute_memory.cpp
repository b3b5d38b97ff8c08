// Loads and stores, and the checks and counts of all accesses.
#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstring>

#include "runtime/device/emulator/executor.h"
#include "runtime/device/emulator/generic_address.h"

namespace maskjit::emulator {
namespace {

void load_element(std::byte* to, const std::byte* from, const MemoryAccess& access) {
  uint64_t value = 0;
  switch (access.element_bytes) {
    case 1: {
      uint8_t x;
      std::memcpy(&x, from, 1);
      value = access.sign_extend
                  ? static_cast<uint64_t>(static_cast<int64_t>(static_cast<int8_t>(x)))
                  : x;
      break;
    }
    case 2: {
      uint16_t x;
      std::memcpy(&x, from, 2);
      value = access.sign_extend
                  ? static_cast<uint64_t>(static_cast<int64_t>(static_cast<int16_t>(x)))
                  : x;
      break;
    }
    case 4: {
      uint32_t x;
      std::memcpy(&x, from, 4);
      value = access.sign_extend
                  ? static_cast<uint64_t>(static_cast<int64_t>(static_cast<int32_t>(x)))
                  : x;
      break;
    }
    default:
      std::memcpy(&value, from, 8);
      break;
  }
  switch (access.register_bytes) {
    case 2:
      std::memcpy(to, &value, 2);
      break;
    case 4:
      std::memcpy(to, &value, 4);
      break;
    default:
      std::memcpy(to, &value, 8);
      break;
  }
}

void copy_bytes(std::byte* to, const std::byte* from, uint32_t bytes) {
  switch (bytes) {
    case 1:
      std::memcpy(to, from, 1);
      break;
    case 2:
      std::memcpy(to, from, 2);
      break;
    case 4:
      std::memcpy(to, from, 4);
      break;
    case 8:
      std::memcpy(to, from, 8);
      break;
    case 16:
      std::memcpy(to, from, 16);
      break;
    default:
      std::memcpy(to, from, bytes);
      break;
  }
}

// Distinct values of `of` under `mask`.
uint32_t count_distinct(const std::array<uint64_t, kLanes>& of, uint32_t mask, uint32_t shift) {
  std::array<uint64_t, kLanes> values;
  uint32_t count = 0;
  bool ascending = true;
  each_lane(mask, [&](uint32_t lane) {
    const uint64_t value = of[lane] >> shift;
    if (count > 0 && values[count - 1] == value) return;
    if (count > 0 && value < values[count - 1]) ascending = false;
    values[count++] = value;
  });
  if (ascending) return count;
  std::sort(values.begin(), values.begin() + count);
  return static_cast<uint32_t>(std::unique(values.begin(), values.begin() + count) -
                               values.begin());
}

}  // namespace

// Counts ------------------------------------------------------------------------------------------

void Executor::count_global(GlobalTraffic& traffic, const Addresses& at, uint32_t mask,
                            uint32_t bytes) {
  ++traffic.requests;
  traffic.lane_bytes += uint64_t{bytes} * static_cast<uint32_t>(std::popcount(mask));
  // Aligned accesses of at most 32 bytes lie in one sector, and either coincide or are disjoint.
  traffic.sectors += count_distinct(at.of, mask, 5);
  traffic.useful_bytes +=
      uint64_t{bytes} * count_distinct(at.of, mask, static_cast<uint32_t>(std::countr_zero(bytes)));
}

// Up to 4 bytes a lane: one pass over all lanes; 8 bytes: two passes of 16; 16: four passes of 8.
// In a pass every bank gives one 4-byte word a wavefront, to all lanes that want it.
void Executor::count_shared(SharedTraffic& traffic, const Addresses& at, uint32_t mask,
                            uint32_t bytes) {
  ++traffic.requests;
  const uint32_t words = std::max(1u, bytes / 4);
  const uint32_t lanes = kLanes / words;
  for (uint32_t begin = 0; begin < kLanes; begin += lanes) {
    const uint32_t active = mask >> begin & (lanes == kLanes ? kAllLanes : (1u << lanes) - 1);
    if (active == 0) continue;
    std::array<uint8_t, 32> count{};
    uint64_t seen[32][32];
    uint32_t most = 0;
    each_lane(active, [&](uint32_t i) {
      const uint64_t first = at.of[begin + i] / 4;
      for (uint32_t w = 0; w < words; ++w) {
        const uint64_t word = first + w;
        const auto bank = static_cast<uint32_t>(word % 32);
        bool known = false;
        for (uint32_t s = 0; s < count[bank] && !known; ++s) known = seen[bank][s] == word;
        if (known) continue;
        seen[bank][count[bank]++] = word;
        most = std::max<uint32_t>(most, count[bank]);
      }
    });
    traffic.wavefronts += most;
    traffic.conflicts += most - 1;
  }
}

// Checks ------------------------------------------------------------------------------------------

Executor::Addresses Executor::addresses(std::byte* registers, uint32_t slot,
                                        const MemoryAccess& access) const {
  Addresses at;
  const auto offset = static_cast<uint64_t>(access.offset);
  if (access.address_is_64) {
    const auto* from = reinterpret_cast<const uint64_t*>(registers + slot);
    for (size_t i = 0; i < kLanes; ++i) at.of[i] = from[i] + offset;
  } else {
    const auto* from = reinterpret_cast<const uint32_t*>(registers + slot);
    for (size_t i = 0; i < kLanes; ++i)
      at.of[i] = static_cast<uint32_t>(from[i] + static_cast<uint32_t>(offset));
  }
  return at;
}

bool Executor::aligned(const Addresses& at, uint32_t mask, uint32_t bytes) {
  uint32_t wrong = 0;
  each_lane(mask, [&](uint32_t lane) {
    if ((at.of[lane] & (bytes - 1)) != 0) wrong |= 1u << lane;
  });
  if (wrong == 0) return true;
  const auto lane = static_cast<uint32_t>(std::countr_zero(wrong));
  return fault(FaultKind::Misaligned,
               fmt::format("the address is not a multiple of {}, the bytes of the access", bytes),
               lane, at.of[lane]);
}

std::byte* Executor::global_bytes(uint64_t address, uint32_t bytes, uint32_t lane, bool writes) {
  Memory::Allocation*& recent = recent_[counter_];
  if (recent == nullptr || !recent->contains(address, bytes)) {
    Memory::Allocation* found = memory_.find(address, bytes);
    if (found == nullptr) {
      std::string where = memory_.describe(address);
      if (address < (uint64_t{1} << 32))
        where += address < shared_bytes_ ? "; is it an offset in shared memory?" : "";
      fault(FaultKind::OutOfBounds,
            fmt::format("{} of {} bytes of global memory outside of every allocation: {}",
                        writes ? "a write" : "a read", bytes, where),
            lane, address);
      return nullptr;
    }
    recent = found;
  }
  if (writes && recent->read_only) {
    fault(FaultKind::ReadOnlyMemory, fmt::format("{} is read-only", recent->name), lane, address);
    return nullptr;
  }
  return recent->data + (address - recent->begin);
}

bool Executor::check_global_reads(uint64_t address, uint32_t bytes, uint32_t lane) {
  const Memory::Allocation& from = *recent_[counter_];
  if (from.initialised.empty()) return true;
  const uint64_t begin = address - from.begin;
  for (uint64_t i = 0; i < bytes; ++i) {
    if (from.initialised[begin + i] == 0)
      return fault(FaultKind::UninitialisedMemory,
                   fmt::format("nothing wrote byte {} of {}", begin + i, from.name), lane,
                   address + i);
  }
  return true;
}

void Executor::note_global_write(uint64_t address, uint32_t bytes) {
  Memory::Allocation& to = *recent_[counter_];
  if (!to.initialised.empty())
    std::fill_n(to.initialised.begin() + static_cast<int64_t>(address - to.begin), bytes, 1);
}

bool Executor::shared_bounds(uint64_t address, uint32_t bytes, uint32_t lane) {
  if (shared_.contains(address, bytes)) return true;
  return fault(
      FaultKind::OutOfBounds,
      fmt::format("{} bytes at offset {:#x} of shared memory, which has {} bytes ({} static, {} "
                  "dynamic){}",
                  bytes, address, shared_bytes_, layout_.static_shared_bytes,
                  config_.dynamic_shared_bytes,
                  address >= kSharedWindow ? "; a generic address in a .shared access?" : ""),
      lane, address);
}

bool Executor::shared_fault(const SharedProblem& problem, uint32_t lane, uint64_t address) {
  fault(problem.kind,
        fmt::format("{} (shared memory, offset {:#x})", problem.what, problem.address), lane,
        address);
  if (problem.has_other) {
    const uint32_t thread = problem.other_warp * kLanes + problem.other_lane;
    note(problem.other_lane < kLanes
             ? fmt::format("the other access: {}, thread ({}, {}, {}), warp {}, lane {}",
                           place_of(problem.other_counter), thread % config_.block[0],
                           thread / config_.block[0] % config_.block[1],
                           thread / config_.block[0] / config_.block[1], problem.other_warp,
                           problem.other_lane)
             : fmt::format("the other access: {}, warp {}", place_of(problem.other_counter),
                           problem.other_warp));
  }
  return false;
}

// Strong accesses hand on what the warp knows: a release, a flag that is polled, a counter.
void Executor::synchronising_access(Warp& warp, const MemoryAccess& access, uint64_t address) {
  VectorClock& released = released_[address];
  join_clock(warp.clock, released);
  released = warp.clock;
}

// Loads and stores --------------------------------------------------------------------------------

bool Executor::access_global(Warp& warp, std::byte* registers, uint32_t mask, const Instruction& in,
                             const MemoryAccess& access, const Addresses& at) {
  const Function& function = program_.functions[layout_.functions[part_].function];
  const uint32_t* slots = function.lists.data() + in.list;
  const uint32_t element = access.element_bytes, bytes = element * access.count;
  const uint32_t register_bytes = access.register_bytes;
  if (!aligned(at, mask, bytes)) return false;
  const bool is_load = in.kind == Kind::Load;
  bool ok = true;
  for (uint32_t left = mask; left != 0 && ok; left &= left - 1) {
    const auto lane = static_cast<uint32_t>(std::countr_zero(left));
    std::byte* memory = global_bytes(at.of[lane], bytes, lane, !is_load);
    if (memory == nullptr) return false;
    if (is_load) {
      ok = check_global_reads(at.of[lane], bytes, lane);
      for (uint32_t e = 0; e < access.count; ++e) {
        if (slots[e] != kNone)
          load_element(registers + slots[e] + size_t{lane} * register_bytes,
                       memory + size_t{e} * element, access);
      }
    } else {
      for (uint32_t e = 0; e < access.count; ++e)
        copy_bytes(memory + size_t{e} * element,
                   registers + slots[e] + size_t{lane} * register_bytes, element);
      note_global_write(at.of[lane], bytes);
    }
  }
  count_global(traffic_[counter_].global, at, mask, bytes);
  return ok;
}

bool Executor::access_shared(Warp& warp, std::byte* registers, uint32_t mask, const Instruction& in,
                             const MemoryAccess& access, const Addresses& at) {
  const Function& function = program_.functions[layout_.functions[part_].function];
  const uint32_t* slots = function.lists.data() + in.list;
  const uint32_t element = access.element_bytes, bytes = element * access.count;
  const uint32_t register_bytes = access.register_bytes;
  const bool is_load = in.kind == Kind::Load;
  for (uint32_t left = mask; left != 0; left &= left - 1) {
    const auto lane = static_cast<uint32_t>(std::countr_zero(left));
    if (!shared_bounds(at.of[lane], bytes, lane)) return false;
  }
  if (!aligned(at, mask, bytes)) return false;
  if (access.strong) {
    each_lane(mask, [&](uint32_t lane) { synchronising_access(warp, access, at.of[lane]); });
  }
  for (uint32_t left = mask; left != 0; left &= left - 1) {
    const auto lane = static_cast<uint32_t>(std::countr_zero(left));
    const uint64_t address = at.of[lane];
    std::byte* memory = shared_.data(address);
    if (is_load) {
      if (const auto problem =
              shared_.read(address, bytes, accessor(warp, lane, access.strong), warp.clock))
        return shared_fault(*problem, lane, address);
      for (uint32_t e = 0; e < access.count; ++e) {
        if (slots[e] != kNone)
          load_element(registers + slots[e] + size_t{lane} * register_bytes,
                       memory + size_t{e} * element, access);
      }
    } else {
      std::byte value[16];
      for (uint32_t e = 0; e < access.count; ++e)
        copy_bytes(value + size_t{e} * element,
                   registers + slots[e] + size_t{lane} * register_bytes, element);
      if (const auto problem =
              shared_.write(address, bytes, accessor(warp, lane, access.strong), warp.clock, value))
        return shared_fault(*problem, lane, address);
      copy_bytes(memory, value, bytes);
    }
  }
  if (access.strong && !is_load) advance_clock(warp);
  count_shared(traffic_[counter_].shared, at, mask, bytes);
  return true;
}

// Local memory and parameters: each thread's own, or the launch's.
bool Executor::access_local(Warp& warp, std::byte* registers, uint32_t mask, const Instruction& in,
                            const MemoryAccess& access, const Addresses& at, Space space) {
  const Function& function = program_.functions[layout_.functions[part_].function];
  const uint32_t* slots = function.lists.data() + in.list;
  const uint32_t element = access.element_bytes, bytes = element * access.count;
  const uint32_t register_bytes = access.register_bytes;
  const bool is_load = in.kind == Kind::Load;
  if (!aligned(at, mask, bytes)) return false;
  for (uint32_t left = mask; left != 0; left &= left - 1) {
    const auto lane = static_cast<uint32_t>(std::countr_zero(left));
    uint64_t address = at.of[lane];
    const bool is_kernel_param = space == Space::Param && address < kThreadParams;
    if (space == Space::Param && !is_kernel_param) address -= kThreadParams;
    const uint64_t size = is_kernel_param ? config_.params.size() : frame_bytes_;
    if (address > size || bytes > size - address)
      return fault(
          FaultKind::OutOfBounds,
          fmt::format("{} bytes at offset {:#x} of {}, which has {} bytes", bytes, address,
                      is_kernel_param ? "the kernel's parameters" : "the thread's local memory",
                      size),
          lane, at.of[lane]);
    if (is_kernel_param) {
      if (!is_load)
        return fault(FaultKind::ReadOnlyMemory, "a kernel's parameters cannot be written", lane,
                     at.of[lane]);
      for (uint32_t e = 0; e < access.count; ++e) {
        if (slots[e] != kNone)
          load_element(registers + slots[e] + size_t{lane} * register_bytes,
                       config_.params.data() + address + size_t{e} * element, access);
      }
      continue;
    }
    const uint64_t begin = (uint64_t{warp.index} * kLanes + lane) * frame_bytes_ + address;
    std::byte* memory = local_.data() + begin;
    uint8_t* written = local_written_.data() + begin;
    if (is_load) {
      for (uint32_t i = 0; i < bytes; ++i) {
        if (written[i] == 0)
          return fault(FaultKind::UninitialisedMemory,
                       fmt::format("nothing wrote these bytes ({} memory, offset {:#x})",
                                   space == Space::Param ? "parameter" : "local", address + i),
                       lane, at.of[lane]);
      }
      for (uint32_t e = 0; e < access.count; ++e) {
        if (slots[e] != kNone)
          load_element(registers + slots[e] + size_t{lane} * register_bytes,
                       memory + size_t{e} * element, access);
      }
    } else {
      for (uint32_t e = 0; e < access.count; ++e)
        copy_bytes(memory + size_t{e} * element,
                   registers + slots[e] + size_t{lane} * register_bytes, element);
      std::fill_n(written, bytes, uint8_t{1});
    }
  }
  return true;
}

bool Executor::load_store(Warp& warp, std::byte* registers, uint32_t mask, const Instruction& in) {
  const MemoryAccess& access =
      program_.functions[layout_.functions[part_].function].accesses[in.detail];
  Addresses at = addresses(registers, in.operands[0], access);
  switch (access.space) {
    case Space::Global:
    case Space::Const:
      return access_global(warp, registers, mask, in, access, at);
    case Space::Shared:
      return access_shared(warp, registers, mask, in, access, at);
    case Space::Local:
    case Space::Param:
      return access_local(warp, registers, mask, in, access, at, access.space);
    case Space::Generic:
      break;
  }
  // Lanes may point into different spaces.
  for (const Space space : {Space::Global, Space::Shared, Space::Local, Space::Param}) {
    uint32_t lanes = 0;
    Addresses within = at;
    each_lane(mask, [&](uint32_t lane) {
      if (space_of(at.of[lane]) != space) return;
      lanes |= 1u << lane;
      if (space != Space::Global) within.of[lane] &= (uint64_t{1} << 56) - 1;
    });
    if (lanes == 0) continue;
    const bool ok =
        space == Space::Global   ? access_global(warp, registers, lanes, in, access, within)
        : space == Space::Shared ? access_shared(warp, registers, lanes, in, access, within)
                                 : access_local(warp, registers, lanes, in, access, within, space);
    if (!ok) return false;
  }
  return true;
}

}  // namespace maskjit::emulator
