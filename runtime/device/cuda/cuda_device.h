#pragma once
// An NVIDIA GPU by the CUDA Driver API. The device's primary context is retained as long as the
// object lives; the calling thread's current context is the same after every call as before.
// Launches neither allocate nor synchronise and can be captured in graphs; a graph uses its kernels
// as long as it lives, and they live as long as their engine.
#include "runtime/device/cuda/driver.h"
#include "runtime/device/device.h"

namespace maskjit::cuda {

class CudaDevice final : public device::Device {
 public:
  static Result<std::unique_ptr<CudaDevice>> open(std::shared_ptr<const Driver> driver,
                                                  int ordinal);
  ~CudaDevice() override;
  CudaDevice(const CudaDevice&) = delete;
  CudaDevice& operator=(const CudaDevice&) = delete;

  const Driver& driver() const { return *driver_; }
  CUcontext context() const { return context_; }

  const device::Limits& limits() const override { return limits_; }
  bool takes_cubins() const override { return true; }
  Result<device::Buffer> allocate(uint64_t bytes, device::Stream stream,
                                  std::string_view name) override;
  Status copy_in(device::Address to, std::span<const std::byte> from,
                 device::Stream stream) override;
  Status copy_out(std::span<std::byte> to, device::Address from, device::Stream stream) override;
  Status fill_bytes(device::Address to, uint8_t value, uint64_t bytes,
                    device::Stream stream) override;
  Status fill_words(device::Address to, uint32_t value, uint64_t words,
                    device::Stream stream) override;
  Result<std::unique_ptr<device::CompiledKernel>> load(
      const codegen::CodeArtifact& artifact) override;
  Status launch(const device::CompiledKernel& kernel, const device::KernelLaunch& launch,
                std::span<const std::byte> parameters, device::Stream stream) override;
  Status synchronise(device::Stream stream) override;
  Result<bool> is_capturing(device::Stream stream) override;
  Result<device::OwnedStream> create_stream() override;
  Result<std::unique_ptr<device::Event>> create_event() override;
  Status record(device::Event& event, device::Stream stream) override;
  Status wait(device::Stream stream, const device::Event& event) override;
  Result<double> milliseconds(const device::Event& from, const device::Event& to) override;

  // "cuda:0 (NVIDIA ...): cuMemcpy...: CUDA_ERROR_...".
  Error error(std::string_view call, CUresult result) const;

 private:
  CudaDevice(std::shared_ptr<const Driver> driver, CUdevice device)
      : driver_(std::move(driver)), device_(device) {}
  void free(device::Address address, device::Stream stream) noexcept override;
  void destroy(device::Stream stream) noexcept override;
  Status checked(std::string_view call, CUresult result) const;

  const std::shared_ptr<const Driver> driver_;
  const CUdevice device_;
  CUcontext context_ = nullptr;
  CUmemoryPool pool_ = nullptr;  // null: the device has no pools
  device::Limits limits_;
};

// The target for a GPU of this compute capability: the newest whose code it executes.
std::optional<codegen::Target> target_of(int major, int minor);

}  // namespace maskjit::cuda
