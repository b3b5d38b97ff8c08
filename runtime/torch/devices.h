#pragma once
// Torch's devices as the engine's: an engine for each, and where a call's work goes.
//
// A CUDA tensor belongs to a torch that was built with CUDA; this library is not. Of torch it needs
// the current stream of a device and its CUstream, which c10's interface of device guards gives
// since torch 2.11; engines call the driver themselves, on the device's primary context, which is
// torch's. Torch's number of a device is the driver's.
#include <c10/core/Device.h>

#include "runtime/api/engine.h"

namespace maskjit::torch {

inline constexpr size_t kMaxCudaDevices = 128;  // c10::DeviceIndex has 8 bits

// Where the tensors of a call are, and the stream of its kernels.
struct CallPlace {
  MemorySpace memory = MemorySpace::Host;
  void* stream = nullptr;
};
CallPlace place_of(c10::Device device);

}  // namespace maskjit::torch
