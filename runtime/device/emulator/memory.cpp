#include "runtime/device/emulator/memory.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

namespace maskjit::emulator {

DeviceAddress Memory::place(uint64_t bytes) {
  const DeviceAddress at = next_;
  next_ += (std::max<uint64_t>(bytes, 1) + kGuardBytes + kAlignment - 1) / kAlignment * kAlignment;
  return at;
}

Memory::Allocation& Memory::add(uint64_t bytes, AllocationOptions options) {
  const DeviceAddress begin = place(bytes);
  Allocation& allocation = allocations_[begin];
  allocation.begin = begin;
  allocation.bytes = bytes;
  allocation.read_only = options.read_only;
  allocation.name =
      options.name.empty() ? fmt::format("allocation {}", count_) : std::move(options.name);
  ++count_;
  return allocation;
}

DeviceAddress Memory::allocate(uint64_t bytes, AllocationOptions options) {
  const bool checked = options.check_initialised;
  Allocation& allocation = add(bytes, std::move(options));
  allocation.owned.assign(bytes, std::byte{0xCD});
  allocation.data = allocation.owned.data();
  if (checked) allocation.initialised.assign(bytes, 0);
  return allocation.begin;
}

DeviceAddress Memory::map(std::span<std::byte> bytes, AllocationOptions options) {
  Allocation& allocation = add(bytes.size(), std::move(options));
  allocation.data = bytes.data();
  return allocation.begin;
}

bool Memory::free(DeviceAddress address) { return allocations_.erase(address) == 1; }

Memory::Allocation* Memory::find(DeviceAddress address, uint64_t bytes) {
  auto after = allocations_.upper_bound(address);
  if (after == allocations_.begin()) return nullptr;
  Allocation& allocation = std::prev(after)->second;
  return allocation.contains(address, bytes) ? &allocation : nullptr;
}

std::byte* Memory::data(DeviceAddress address, uint64_t bytes) {
  Allocation* allocation = find(address, bytes);
  return allocation == nullptr ? nullptr : allocation->data + (address - allocation->begin);
}

bool Memory::copy_in(DeviceAddress to, std::span<const std::byte> bytes) {
  Allocation* allocation = find(to, bytes.size());
  if (allocation == nullptr) return false;
  const uint64_t at = to - allocation->begin;
  if (!bytes.empty()) std::memcpy(allocation->data + at, bytes.data(), bytes.size());
  if (!allocation->initialised.empty())
    std::fill_n(allocation->initialised.begin() + static_cast<int64_t>(at), bytes.size(), 1);
  return true;
}

bool Memory::copy_out(std::span<std::byte> to, DeviceAddress from) const {
  const Allocation* allocation = const_cast<Memory*>(this)->find(from, to.size());
  if (allocation == nullptr) return false;
  if (!to.empty()) std::memcpy(to.data(), allocation->data + (from - allocation->begin), to.size());
  return true;
}

bool Memory::fill(DeviceAddress to, std::byte value, uint64_t bytes) {
  const std::vector<std::byte> values(bytes, value);
  return copy_in(to, values);
}

std::string Memory::describe(DeviceAddress address) const {
  const Allocation* nearest = nullptr;
  uint64_t distance = ~uint64_t{0};
  bool before = false;
  for (const auto& [begin, allocation] : allocations_) {
    const uint64_t end = begin + allocation.bytes;
    const uint64_t d = address < begin ? begin - address : address >= end ? address - end : 0;
    if (d >= distance) continue;
    distance = d;
    nearest = &allocation;
    before = address < begin;
  }
  if (nearest == nullptr) return "there are no allocations";
  const std::string what =
      fmt::format("{} ({} bytes at {:#x})", nearest->name, nearest->bytes, nearest->begin);
  if (distance > kGuardBytes)
    return fmt::format("far from every allocation; the nearest is {}", what);
  if (before) return fmt::format("{} bytes before {}", distance, what);
  if (address < nearest->begin + nearest->bytes)
    return fmt::format("{} bytes before the end of {}", nearest->begin + nearest->bytes - address,
                       what);
  return distance == 0 ? fmt::format("at the end of {}", what)
                       : fmt::format("{} bytes after the end of {}", distance, what);
}

}  // namespace maskjit::emulator
