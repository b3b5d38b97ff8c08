#pragma once
// A device that runs kernels on memory of its own: what the CUDA driver (device/cuda) and the PTX
// emulator (device/emulated) have in common. Work is ordered by streams.
//
// All members may be called from several threads at once. A device outlives its buffers, kernels,
// streams and events. Errors say what was called, on which device, and what it answered.
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "codegen/compile.h"
#include "runtime/api/result.h"

namespace maskjit::device {

using Address = uint64_t;  // of device memory

// A queue of work: a CUstream of the caller's, or one that the device made. Null is the default
// stream. The emulator has done its work when a call returns, whatever the stream.
struct Stream {
  void* handle = nullptr;
};

struct Limits {
  std::string name;        // "cuda:0 (NVIDIA H100 80GB HBM3)"
  codegen::Target target;  // the best that it executes
  int multiprocessors = 1;
  int max_threads = 1024;         // of a block
  int64_t max_shared_memory = 0;  // dynamic, of a block, bytes
  uint64_t memory_bytes = 0;      // of the device; 0: as much as the host gives
};

// One kernel of a module, over a one-dimensional grid.
struct KernelLaunch {
  std::string_view entry;
  uint32_t blocks = 0;
  uint32_t threads = 0;
  uint32_t shared_memory = 0;  // dynamic, bytes
};

// The code of one artifact on one device.
class CompiledKernel : public codegen::LoadedKernel {
 public:
  struct Entry {
    std::string name;
    codegen::ResourceUsage resources;
  };
  const std::vector<Entry>& entries() const { return entries_; }

 protected:
  std::vector<Entry> entries_;
};

class Device;

// Device memory, freed in the order of the stream that it was allocated on.
class Buffer {
 public:
  Buffer() = default;
  Buffer(Device& device, Address address, uint64_t bytes, Stream stream)
      : device_(&device), address_(address), bytes_(bytes), stream_(stream) {}
  Buffer(Buffer&& other) noexcept { swap(other); }
  Buffer& operator=(Buffer&& other) noexcept {
    swap(other);
    return *this;
  }
  ~Buffer();

  Address address() const { return address_; }
  uint64_t bytes() const { return bytes_; }

 private:
  void swap(Buffer& other) noexcept;

  Device* device_ = nullptr;
  Address address_ = 0;
  uint64_t bytes_ = 0;
  Stream stream_;
};

// A stream of the device's, destroyed with the object after its work.
class OwnedStream {
 public:
  OwnedStream(Device& device, Stream stream) : device_(&device), stream_(stream) {}
  OwnedStream(OwnedStream&& other) noexcept;
  OwnedStream& operator=(OwnedStream&&) = delete;
  ~OwnedStream();
  Stream get() const { return stream_; }

 private:
  Device* device_;
  Stream stream_;
};

// A point in a stream's work.
class Event {
 public:
  virtual ~Event() = default;
};

class Device {
 public:
  virtual ~Device() = default;
  virtual const Limits& limits() const = 0;
  // Can it execute code for `target`?
  virtual bool executes(const codegen::Target& target) const;
  // Does load() take the cubin of an artifact before its PTX?
  virtual bool takes_cubins() const = 0;

  // At least 256-byte aligned, contents undefined. `name` is for reports of the emulator.
  virtual Result<Buffer> allocate(uint64_t bytes, Stream stream, std::string_view name = {}) = 0;
  // The host's memory stays as it is until the stream has got there.
  virtual Status copy_in(Address to, std::span<const std::byte> from, Stream stream) = 0;
  // Done when it returns.
  virtual Status copy_out(std::span<std::byte> to, Address from, Stream stream) = 0;
  virtual Status fill_bytes(Address to, uint8_t value, uint64_t bytes, Stream stream) = 0;
  virtual Status fill_words(Address to, uint32_t value, uint64_t words, Stream stream) = 0;

  virtual Result<std::unique_ptr<CompiledKernel>> load(const codegen::CodeArtifact& artifact) = 0;
  // `parameters` is the kernel's only parameter, by value, copied before this returns. Neither
  // allocates nor synchronises. `kernel` is of this device and outlives the launch.
  virtual Status launch(const CompiledKernel& kernel, const KernelLaunch& launch,
                        std::span<const std::byte> parameters, Stream stream) = 0;
  // Waits for the stream's work; errors of it are said here.
  virtual Status synchronise(Stream stream) = 0;
  // The stream's work is not done but recorded for a graph: nothing may wait for it.
  virtual Result<bool> is_capturing(Stream stream) = 0;

  virtual Result<OwnedStream> create_stream() = 0;
  virtual Result<std::unique_ptr<Event>> create_event() = 0;
  virtual Status record(Event& event, Stream stream) = 0;
  // What follows in `stream` starts after `event`.
  virtual Status wait(Stream stream, const Event& event) = 0;
  // From one event to a later one, after waiting for it.
  virtual Result<double> milliseconds(const Event& from, const Event& to) = 0;

 private:
  friend class Buffer;
  friend class OwnedStream;
  virtual void free(Address address, Stream stream) noexcept = 0;
  virtual void destroy(Stream stream) noexcept = 0;
};

// Targets that code for `target` runs as well on, best first, itself among them: older GPUs'
// code runs on newer ones, but for code of one generation alone (sm_90a), and likewise for CPUs.
std::vector<codegen::Target> runnable_targets(const codegen::Target& target);

}  // namespace maskjit::device
