#pragma once
// What a device kernel receives: one struct by value, so that a launch copies nothing to the device
// but its parameters. `scalars` and `tensors` of the attention arguments are not used; these are.
//
// A launch is the sequence of kernels that codegen::device_launch gives; all of them receive the
// same MjDeviceArgs, with `splits` and a workspace as it says.
#include "kernels_templates/include/kernel_abi.h"

extern "C" {

enum { mj_max_device_scalars = 32, mj_max_device_tensors = 8 };
// Kernels that split the keys: their largest number of parts, and the threads of the block that
// merges the parts of one query row.
enum { mj_max_device_splits = 256, mj_merge_threads = 128 };

struct MjDeviceArgs {
  MjAttentionArgs attention;
  int64_t scalars[mj_max_device_scalars];
  MjTensor tensors[mj_max_device_tensors];
  // Floats that a split leaves for the merge: device memory, aligned to 16 bytes, its contents
  // undefined; null where DeviceLaunch::workspace_bytes is 0.
  void* workspace;
  int32_t splits;
};

}  // extern "C"
