#include "runtime/torch/devices.h"

#include <array>
#include <atomic>
#include <mutex>

#include <c10/core/Stream.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>

#include "runtime/torch/attention.h"
#include "runtime/torch/torch_pool.h"

namespace maskjit::torch {
namespace {

// Engines live as long as the process: kernels may still run while it exits, and graphs that were
// captured use them.
const Engine* new_engine(std::string device) {
  return new Engine(
      EngineOptions{.thread_pool = std::make_shared<TorchPool>(), .device = std::move(device)});
}

const Engine& cuda_engine(c10::DeviceIndex index) {
  static std::array<std::atomic<const Engine*>, kMaxCudaDevices> known = {};
  static std::mutex mutex;
  TORCH_CHECK(index >= 0, "a CUDA tensor's device has no number");
  std::atomic<const Engine*>& place = known[static_cast<size_t>(index)];
  if (const Engine* engine = place.load(std::memory_order_acquire)) return *engine;
  const std::lock_guard lock(mutex);
  if (place.load(std::memory_order_acquire) == nullptr) {
    place.store(new_engine("cuda:" + std::to_string(index)), std::memory_order_release);
  }
  return *place.load(std::memory_order_acquire);
}

}  // namespace

const Engine& engine(c10::Device device) {
  static const Engine& on_cpu = *new_engine("");
  if (device.is_cpu()) return on_cpu;
  TORCH_CHECK_NOT_IMPLEMENTED(device.is_cuda(), "maskjit has no kernels for ", device.type(),
                              ": cpu and cuda are possible");
  return cuda_engine(device.index());
}

CallPlace place_of(c10::Device device) {
  if (device.is_cpu()) return {};
  const auto* torch_device = c10::impl::getDeviceGuardImpl(device.type());
  return {MemorySpace::Device,
          torch_device->getStreamNativeHandle(torch_device->getStream(device))};
}

}  // namespace maskjit::torch
