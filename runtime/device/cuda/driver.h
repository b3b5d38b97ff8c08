#pragma once
// libcuda.so.1, loaded when it is asked for, and the devices that it knows.
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/api/result.h"
#include "runtime/device/cuda/driver_api.h"

namespace maskjit::cuda {

struct DeviceInfo {
  std::string name;
  int major = 0, minor = 0;  // compute capability
  int multiprocessors = 0;
  int max_threads = 0;
  int max_shared_memory = 0;  // dynamic, of a block, bytes
  bool memory_pools = false;
  uint64_t memory_bytes = 0;
};

class Driver {
 public:
  // `library`: empty for libcuda.so.1 of the system. Errors are Unsupported, one line: no driver,
  // no device, a driver that is too old (a function is missing).
  static Result<std::shared_ptr<const Driver>> load(const std::string& library = {});
  ~Driver();
  Driver(const Driver&) = delete;
  Driver& operator=(const Driver&) = delete;

  const DriverApi& api() const { return api_; }
  // A function by name and the CUDA version of its ABI; null if the driver has none.
  void* find(const char* name, int version) const;
  int version() const { return version_; }  // 12040: CUDA 12.4
  std::string version_text() const;         // "12.4"
  int device_count() const { return device_count_; }
  Result<DeviceInfo> device_info(int ordinal) const;

  // "cuLaunchKernel: CUDA_ERROR_ILLEGAL_ADDRESS (700): an illegal memory access was encountered".
  std::string describe(std::string_view call, CUresult result) const;

 private:
  Driver() = default;

  void* library_ = nullptr;
  void* get_proc_address_ = nullptr;
  bool status_parameter_ = false;  // of cuGetProcAddress, since CUDA 12
  DriverApi api_;
  int version_ = 0;
  int device_count_ = 0;
};

}  // namespace maskjit::cuda
