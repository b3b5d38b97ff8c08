#pragma once
// The templates of device kernels, and how their kernels are launched.
#include <array>

#include "codegen/spec/kernel_template.h"

namespace maskjit::codegen {

// Best first; the last one, the reference, supports every valid problem that fits a launch.
const std::vector<KernelTemplate>& device_templates();

// The sizes of one call.
struct LaunchShape {
  int64_t batch_size = 0, num_heads = 0, num_kv_heads = 0, q_len = 0, kv_len = 0;
};

// One kernel of the module: a grid of `blocks` blocks (at most 2^31 - 1), 1 x 1 in the other
// dimensions. Its only parameter is an MjDeviceArgs.
struct DeviceStep {
  const char* entry = nullptr;
  int64_t blocks = 0;
  int threads = 0;
  int shared_memory = 0;  // dynamic, bytes
};

// What a call runs, in order, on one stream. Computing it allocates nothing.
struct DeviceLaunch {
  std::array<DeviceStep, 2> steps;
  int step_count = 0;           // 0: there are no results to compute
  int32_t splits = 1;           // MjDeviceArgs::splits
  int64_t workspace_bytes = 0;  // MjDeviceArgs::workspace
};

// `multiprocessors`: of the device, at least 1; more of them split the keys of few rows further.
DeviceLaunch device_launch(const KernelSpec& spec, const LaunchShape& shape, int multiprocessors);

}  // namespace maskjit::codegen
