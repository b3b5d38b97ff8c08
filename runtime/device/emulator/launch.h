#pragma once
// Runs a kernel of a module on the memory of an emulated device.
#include <cstddef>
#include <cstring>
#include <span>
#include <string_view>
#include <vector>

#include "runtime/device/emulator/memory.h"
#include "runtime/device/emulator/module.h"
#include "runtime/device/emulator/report.h"

namespace maskjit::emulator {

struct LaunchConfig {
  Dim3 grid{1, 1, 1};
  Dim3 block{1, 1, 1};
  uint64_t dynamic_shared_bytes = 0;
  // The parameters one after the other, each at its alignment: KernelInfo::parameter_bytes bytes.
  std::span<const std::byte> params;
};

struct LaunchOptions {
  uint64_t seed = 0;  // of the interleaving of warps
  // A warp runs for about so many instructions before another one may run.
  uint32_t quantum = 256;
  uint64_t step_limit = uint64_t{1} << 30;  // instructions of warps, in one launch
  uint64_t max_shared_bytes = 232448;       // of a CTA: what the largest devices have
  bool check_races = true;
  bool check_warp_races = true;  // between lanes of one warp without bar.warp.sync
  bool check_registers = true;   // reads of unwritten registers
  bool count_lines = true;       // fill Counts::lines
};

// Parameters of a kernel, packed as PTX lays them out.
class Parameters {
 public:
  template <typename T>
  Parameters& add(const T& value) {
    return add(&value, sizeof(T), alignof(T));
  }
  Parameters& add(const void* value, size_t bytes, size_t alignment) {
    bytes_.resize((bytes_.size() + alignment - 1) / alignment * alignment);
    const auto* begin = static_cast<const std::byte*>(value);
    bytes_.insert(bytes_.end(), begin, begin + bytes);
    return *this;
  }
  std::span<const std::byte> bytes() const { return bytes_; }

 private:
  std::vector<std::byte> bytes_;
};

// Runs the CTAs in order and stops at the first fault. Variables of the module are allocated by its
// first launch on a memory and keep their values. Deterministic: equal arguments, equal report.
Report launch(const Module& module, Memory& memory, std::string_view kernel,
              const LaunchConfig& config, const LaunchOptions& options = {});

// Device address of a .global or .const variable; nothing if there is none of this name.
std::optional<DeviceAddress> variable_address(const Module& module, Memory& memory,
                                              std::string_view name);

}  // namespace maskjit::emulator
