#pragma once
// The PTX emulator as a device: a GPU of some target whose kernels run on the CPU, checked and
// counted (docs/emulator.md). Memory counts as uninitialised until it is written. Calls from
// several threads take turns.
#include <mutex>

#include "runtime/device/device.h"
#include "runtime/device/emulator/launch.h"

namespace maskjit::emulated {

struct Options {
  codegen::Target target;     // of a GPU
  int multiprocessors = 108;  // what kernels split their work for
  emulator::LaunchOptions launch = {};
};

// What one launch did.
struct LaunchReport {
  std::string entry;
  device::KernelLaunch launch;  // its entry points to the name above
  emulator::Counts counts;
};

class EmulatedDevice final : public device::Device {
 public:
  explicit EmulatedDevice(Options options);

  // From now on launches are remembered; take_reports() gives them and forgets them.
  void keep_reports();
  std::vector<LaunchReport> take_reports();
  // Allocations that are not freed.
  size_t allocations() const;

  const device::Limits& limits() const override { return limits_; }
  bool takes_cubins() const override { return false; }
  Result<device::Buffer> allocate(uint64_t bytes, device::Stream stream,
                                  std::string_view name) override;
  Status copy_in(device::Address to, std::span<const std::byte> from, device::Stream) override;
  Status copy_out(std::span<std::byte> to, device::Address from, device::Stream) override;
  Status fill_bytes(device::Address to, uint8_t value, uint64_t bytes, device::Stream) override;
  Status fill_words(device::Address to, uint32_t value, uint64_t words, device::Stream) override;
  Result<std::unique_ptr<device::CompiledKernel>> load(
      const codegen::CodeArtifact& artifact) override;
  Status launch(const device::CompiledKernel& kernel, const device::KernelLaunch& launch,
                std::span<const std::byte> parameters, device::Stream) override;
  Status synchronise(device::Stream) override { return Done{}; }
  Result<bool> is_capturing(device::Stream) override { return false; }
  Result<device::OwnedStream> create_stream() override;
  Result<std::unique_ptr<device::Event>> create_event() override;
  Status record(device::Event& event, device::Stream) override;
  Status wait(device::Stream, const device::Event&) override { return Done{}; }
  Result<double> milliseconds(const device::Event& from, const device::Event& to) override;

 private:
  void free(device::Address address, device::Stream) noexcept override;
  void destroy(device::Stream) noexcept override {}
  Error no_memory(std::string_view what, device::Address address, uint64_t bytes) const;

  const Options options_;
  device::Limits limits_;
  mutable std::mutex mutex_;  // of the rest
  emulator::Memory memory_;
  bool keep_reports_ = false;
  std::vector<LaunchReport> reports_;
};

}  // namespace maskjit::emulated
