#pragma once
// What a device kernel receives: one struct by value, so that a launch copies nothing to the device
// but its parameters. `scalars` and `tensors` of the attention arguments are not used; these are.
#include "kernels_templates/include/kernel_abi.h"

extern "C" {

enum { mj_max_device_scalars = 32, mj_max_device_tensors = 8 };

struct MjDeviceArgs {
  MjAttentionArgs attention;
  int64_t scalars[mj_max_device_scalars];
  MjTensor tensors[mj_max_device_tensors];
};

}  // extern "C"
