// Attention under a static mask, one warp a query row: it supports every valid problem.
#include "kernels_templates/nvptx/attention_reference/reference.h"

extern "C" MJ_KERNEL void mj_attention(const MjDeviceArgs device_args) {
  using namespace mj;
  const MjAttentionArgs* args = &device_args.attention;
  run_reference<MaskedKeys>(args, [&](const QueryBlock& b) __attribute__((always_inline)) {
    return MaskedKeys{args, b.batch, b.head, b.kv_head, b.position};
  });
}
