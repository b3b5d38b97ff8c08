// Attention over the keys that a sequence of maskers selects, one warp a query row: it supports
// every valid problem. Two kernels: mj_select leaves the active keys of each row as bits,
// mj_attention reads them.
#include "kernels_templates/nvptx/attention_reference/reference.h"
#include "kernels_templates/nvptx/select/stages.h"

extern "C" MJ_KERNEL void mj_select(const MjSelectArgs args) {
  mj::select_rows(&args, [](const mj::SelectRow&) __attribute__((always_inline)) {});
}

extern "C" MJ_KERNEL void mj_attention(const MjSelectArgs select_args) {
  using namespace mj;
  const MjAttentionArgs* args = &select_args.device.attention;
  run_reference<SelectedKeys>(args, [&](const QueryBlock& b) __attribute__((always_inline)) {
    const SelectedRow row = {plan_row(&select_args, b.batch, b.head, b.query), b.batch, b.head,
                             b.kv_head, b.position};
    return SelectedKeys{&select_args, row};
  });
}
