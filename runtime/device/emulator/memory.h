#pragma once
// The global memory of an emulated device: a map of allocations, each with a name for reports.
//
// Device addresses are made up; allocations are at least kGuardBytes apart, so that an access that
// misses its allocation by less hits nothing. Not synchronised: one thread at a time.
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace maskjit::emulator {

using DeviceAddress = uint64_t;

struct AllocationOptions {
  std::string name;  // in reports; empty: "allocation N"
  // Report reads of bytes that neither the host nor a kernel has written.
  bool check_initialised = false;
  bool read_only = false;  // report writes by kernels
};

class Memory {
 public:
  static constexpr uint64_t kGuardBytes = uint64_t{1} << 20;
  static constexpr uint64_t kAlignment = 256;

  struct Allocation {
    DeviceAddress begin = 0;
    uint64_t bytes = 0;
    std::byte* data = nullptr;
    std::string name;
    bool read_only = false;
    std::vector<uint8_t> initialised;  // one per byte; empty: unchecked
    std::vector<std::byte> owned;

    bool contains(DeviceAddress address, uint64_t size) const {
      return address >= begin && size <= bytes && address - begin <= bytes - size;
    }
  };

  Memory() = default;
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;
  Memory(Memory&&) = default;
  Memory& operator=(Memory&&) = default;

  // The memory's contents are 0xCD bytes until written. 0 bytes are one address without memory.
  DeviceAddress allocate(uint64_t bytes, AllocationOptions options = {});
  // Memory of the host's, which stays the caller's and must outlive the allocation; it counts as
  // initialised.
  DeviceAddress map(std::span<std::byte> bytes, AllocationOptions options = {});
  // False if no allocation begins there.
  bool free(DeviceAddress address);

  // False if the range is not within one allocation. Copies in are initialisations.
  bool copy_in(DeviceAddress to, std::span<const std::byte> bytes);
  bool copy_out(std::span<std::byte> to, DeviceAddress from) const;
  bool fill(DeviceAddress to, std::byte value, uint64_t bytes);
  // The bytes themselves; null if the range is not within one allocation.
  std::byte* data(DeviceAddress address, uint64_t bytes);

  Allocation* find(DeviceAddress address, uint64_t bytes);
  // "4 bytes after keys (4096 bytes at 0x...)", for an address that is in no allocation.
  std::string describe(DeviceAddress address) const;
  size_t size() const { return allocations_.size(); }

  // Variables of modules, allocated by their first launch. The key is the module, kept alive.
  using ModuleKey = std::shared_ptr<const void>;
  std::map<ModuleKey, std::vector<DeviceAddress>>& module_variables() { return modules_; }

 private:
  DeviceAddress place(uint64_t bytes);
  Allocation& add(uint64_t bytes, AllocationOptions options);

  std::map<DeviceAddress, Allocation> allocations_;
  std::map<ModuleKey, std::vector<DeviceAddress>> modules_;
  DeviceAddress next_ = uint64_t{0x10} << 32;
  uint64_t count_ = 0;
};

}  // namespace maskjit::emulator
