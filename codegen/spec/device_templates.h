#pragma once
// The templates of device kernels, and how their kernels are launched.
#include <array>
#include <string>

#include "codegen/spec/kernel_template.h"
#include "kernels_templates/include/select_abi.h"

namespace maskjit::codegen {

// Best first; the last one, the reference, supports every valid problem that fits a launch.
const std::vector<KernelTemplate>& device_templates();

// The sizes of one call.
struct LaunchShape {
  int64_t batch_size = 0, num_heads = 0, num_kv_heads = 0, q_len = 0, kv_len = 0;
  int64_t prepared_bytes = 0;  // of a sequence: the largest MjScorer::scratch_bytes
};

// One kernel of the module: a grid of `blocks` blocks (at most 2^31 - 1), 1 x 1 in the other
// dimensions. Its only parameter is an MjDeviceArgs, of a sequence an MjSelectArgs.
struct DeviceStep {
  const char* entry = nullptr;
  int64_t blocks = 0;
  int threads = 0;
  int shared_memory = 0;  // dynamic, bytes
};

// What a call runs, in order, on one stream. Computing it allocates nothing.
struct DeviceLaunch {
  std::array<DeviceStep, 4> steps;
  int step_count = 0;           // 0: there are no results to compute
  int32_t splits = 1;           // MjDeviceArgs::splits
  int64_t workspace_bytes = 0;  // MjDeviceArgs::workspace
  bool selects = false;         // the kernels are of a sequence
  MjSelectPlan plan = {};       // of a sequence; addresses are offsets in the workspace
};

// `multiprocessors`: of the device, at least 1; more of them split the keys of few rows further.
DeviceLaunch device_launch(const KernelSpec& spec, const LaunchShape& shape, int multiprocessors);

// Long prefills of sequences run in rounds of so many queries, so that the sets of their rows, a
// bit a candidate, take `set_bytes` at most (or what one tile of queries needs). Each round is a
// launch of its own, of a shape with the round's queries, in the same workspace: that of the first
// one. Of anything else all queries.
int64_t queries_a_round(const KernelSpec& spec, const LaunchShape& shape,
                        int64_t set_bytes = int64_t{256} << 20);

// The kernels in order, one a line, and what passes between them:
//   mj_select     108 blocks of 512 threads, 9216 bytes of shared memory
//   mj_attention  864 blocks of 128 threads, 73984 bytes of shared memory
//   workspace     1245184 bytes
std::string describe(const DeviceLaunch& launch);

// What the kernels of a launch have for their parameter, of args.device.attention and, for
// sequences, its stages (whose scorers point to device memory): fills in the rest, with the
// workspace at this address, for the round that begins with `first_query`. The bytes to pass are
// the first of `args`.
size_t place(const DeviceLaunch& launch, uint64_t workspace, int64_t first_query,
             MjSelectArgs& args);

}  // namespace maskjit::codegen
