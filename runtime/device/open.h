#pragma once
// Devices by name: "emulator", "cuda", "cuda:1".
#include <memory>
#include <string>

#include "runtime/device/device.h"

namespace maskjit::device {

struct OpenOptions {
  std::string name;
  std::string target;   // empty: the best that the device executes; sm_80 on the emulator
  std::string libcuda;  // empty: libcuda.so.1
};

struct Opened {
  std::shared_ptr<Device> device;
  codegen::Target target;  // what to compile for
};

Result<Opened> open(const OpenOptions& options);

// In one line, for people: "CUDA 12.4: cuda:0 (NVIDIA ...), sm_90a, 132 multiprocessors, ..." each,
// or why there is none.
struct CudaSummary {
  bool available = false;
  std::string reason;  // if not
  std::string driver_version;
  std::vector<std::string> devices;  // one line each
};
CudaSummary cuda_summary(const std::string& libcuda);

}  // namespace maskjit::device
