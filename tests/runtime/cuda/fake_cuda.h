#pragma once
// A CUDA driver for machines without a GPU: a shared library with cuGetProcAddress whose kernels
// run on the PTX emulator. It is strict where a driver would be (contexts, handles, shared memory,
// capture) and does as a test says: devices, versions, missing functions, errors.
#include <string>
#include <vector>

#include "runtime/device/cuda/driver_api.h"

namespace maskjit::cuda::testing {

struct FakeSettings {
  int version = 12040;
  int devices = 2;
  int major = 8, minor = 0;
  int max_shared_memory = 166912;
  bool memory_pools = true;
  CUresult init_result = CUDA_SUCCESS;
  std::string missing = {};  // a function that the driver does not have
};

class FakeCuda {
 public:
  virtual ~FakeCuda() = default;
  // Forgets calls, errors and everything that was not destroyed.
  virtual void reset(const FakeSettings& settings) = 0;
  // The call number `nth` of `function` from now on, counted from 0, gives `result`.
  virtual void fail(const std::string& function, CUresult result, int nth = 0) = 0;
  // Names of the functions that were called since the last take.
  virtual std::vector<std::string> take_calls() = 0;
  // The contexts of the calling thread, the current one last.
  virtual std::vector<CUcontext> contexts() const = 0;
  virtual CUcontext create_context() = 0;  // another than the primary ones
  virtual void make_current(CUcontext context) = 0;
  // Retained primary contexts, allocations, modules, streams, events, pools that exist.
  virtual int live(const std::string& what) const = 0;
  // How many modules were made of machine code.
  virtual int cubins() const = 0;
};

// What the library exports under the name "maskjit_fake_cuda".
using FakeCudaFunction = FakeCuda*();

}  // namespace maskjit::cuda::testing
