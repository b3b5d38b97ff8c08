// Not a kernel: evaluates the hooks at the point that a test gives, so that lowering is compared
// with the interpreter value by value. plan->parameters: batch, head, kv_head, q_lo, q_hi, k_lo,
// k_hi, bits of the score (f32).
#include "kernels_templates/host/common/elements.h"

extern "C" {

struct MjProbe {
  int64_t tile_class;
  int64_t ends[2 * mj_max_ranges];
  float score;
  int32_t keep[64];  // of keys k_lo .. k_lo + 63
};

void mj_plan(const MjAttentionArgs*, int64_t, MjPlan* plan) {
  plan->scratch_bytes = sizeof(MjProbe);
}

void mj_run(const MjAttentionArgs* args, const MjPlan* plan, int64_t, int64_t, void* scratch) {
  MjProbe* __restrict probe = static_cast<MjProbe*>(scratch);
  const int32_t batch = static_cast<int32_t>(plan->parameters[0]);
  const int32_t head = static_cast<int32_t>(plan->parameters[1]);
  const int32_t kv_head = static_cast<int32_t>(plan->parameters[2]);
  const int32_t q_lo = static_cast<int32_t>(plan->parameters[3]);
  const int32_t q_hi = static_cast<int32_t>(plan->parameters[4]);
  const int32_t k_lo = static_cast<int32_t>(plan->parameters[5]);
  const int32_t k_hi = static_cast<int32_t>(plan->parameters[6]);
  const float score = mj::float_of(static_cast<uint32_t>(plan->parameters[7]));
  probe->tile_class = mj_tile_class(args, batch, head, kv_head, q_lo, q_hi, k_lo, k_hi);
  mj_key_ranges(args, batch, head, kv_head, q_lo, q_hi, probe->ends);
  probe->score = mj_score(args, batch, head, kv_head, q_lo, k_lo, score);
#pragma clang loop vectorize(assume_safety) interleave(disable)
  for (int j = 0; j < 64; ++j) probe->keep[j] = mj_keep(args, batch, head, kv_head, q_lo, k_lo + j);
}

}  // extern "C"
