#pragma once
// The templates of device kernels.
#include "codegen/spec/kernel_template.h"

namespace maskjit::codegen {

// Best first; the last one, the reference, supports every valid problem that fits a launch.
const std::vector<KernelTemplate>& device_templates();

// Blocks of the grid of a device kernel, at most 2^31 - 1.
int64_t device_grid(const KernelSpec& spec, int64_t batch_size, int64_t num_heads, int64_t q_len);

}  // namespace maskjit::codegen
