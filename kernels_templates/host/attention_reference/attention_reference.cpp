// The simplest attention that is right: one query row an item, no tiles, two passes over the keys
// in its ranges. It supports every valid problem, head dimensions above the blocked kernels' limit
// included.
#include "kernels_templates/host/common/adjust.h"
#include "kernels_templates/host/common/exp2.h"
#include "kernels_templates/host/common/key_tiles.h"
#include "kernels_templates/host/common/row_block.h"
#include "kernels_templates/host/microkernels/microkernels.h"

namespace mj {
namespace {

MJ_OUTLINE float logit_of(const MjAttentionArgs* args, const RowBlock& row, const void* query,
                          int64_t k) {
  const void* key = row_of(args->key, mj_element, row.batch, row.kv_head, k);
  float product = 0.0f;
  for (int d = 0; d < mj_head_dim; ++d) {
    product += load_element(query, d, mj_element) * load_element(key, d, mj_element);
  }
  const int32_t q = position(args, row.query);
  const int32_t key_position = static_cast<int32_t>(k);
  float s = product * args->scale;
  if (!mj_score_identity) s = mj_score(args, row.batch, row.head, row.kv_head, q, key_position, s);
  if (mj_additive != MJ_NONE) {
    s += load_additive(row_of(args->additive, mj_additive, row.batch, row.head, row.query), k);
  }
  return s;
}

MJ_INLINE bool active(const MjAttentionArgs* args, const RowBlock& row, int64_t k) {
  return mj_mask_full || mj_keep(args, row.batch, row.head, row.kv_head, position(args, row.query),
                                 static_cast<int32_t>(k));
}

// Adjusts the exponential of one key; returns what the denominator takes.
MJ_INLINE float adjusted(const MjAttentionArgs* args, const RowBlock& row, int64_t k, float& e) {
  if (!adjusts()) return e;
  return mj_adjust_row(args, row.batch, row.head, row.kv_head, row.query, k, 1, &e);
}

}  // namespace
}  // namespace mj

extern "C" {

void mj_plan(const MjAttentionArgs* args, int64_t, MjPlan* plan) {
  plan->phase_items[0] = args->batch_size * args->num_heads * args->q_len;
  plan->phase_items[1] = 0;
  plan->scratch_bytes = mj::round_up64(int64_t{4} * mj_head_dim_v, 64);
  plan->workspace_bytes = 0;
}

void mj_run(const MjAttentionArgs* args, const MjPlan*, int64_t, int64_t item, void* scratch) {
  using namespace mj;
  RowBlock row;
  row.query = item % args->q_len;
  row.head = static_cast<int32_t>(item / args->q_len % args->num_heads);
  row.batch = static_cast<int32_t>(item / args->q_len / args->num_heads);
  row.kv_head = static_cast<int32_t>(row.head / (args->num_heads / args->num_kv_heads));
  row.heads = 1;
  row.queries = 1;
  const void* query = row_of(args->query, mj_element, row.batch, row.head, row.query);
  const int32_t q = position(args, row.query);
  MjTileRuns runs;
  runs.count = 0;
  add_key_tiles(args, row.batch, row.head, row.kv_head, q, q, 0, args->kv_len, &runs);
  const auto for_each_key = [&](auto visit) __attribute__((always_inline)) {
    for (int i = 0; i < runs.count; ++i) {
      const int64_t end =
          runs.end[i] * mj_tile_k < args->kv_len ? runs.end[i] * mj_tile_k : args->kv_len;
      for (int64_t k = runs.begin[i] * mj_tile_k; k < end; ++k) {
        if (active(args, row, k)) visit(k, logit_of(args, row, query, k));
      }
    }
  };
  float m = kNegativeInfinity;
  for_each_key([&](int64_t, float x) { m = x * kLog2E > m ? x * kLog2E : m; });
  float* sums = static_cast<float*>(scratch);
  for (int d = 0; d < mj_head_dim_v; ++d) sums[d] = 0.0f;
  float l = 0.0f;
  for_each_key([&](int64_t k, float x) {
    float e = exp2_scalar(__builtin_fmaf(x, kLog2E, -exponent_base(m)));
    const float taken = adjusted(args, row, k, e);
    const void* value = row_of(args->value, mj_element, row.batch, row.kv_head, k);
    l += taken;
    for (int d = 0; d < mj_head_dim_v; ++d)
      sums[d] = __builtin_fmaf(e, load_element(value, d, mj_element), sums[d]);
  });
  float reported = m;
  if (mj_dense_results && args->row_max_over_all) {
    reported = kNegativeInfinity;
    for (int64_t k = 0; k < args->kv_len; ++k) {
      const float x = logit_of(args, row, query, k) * kLog2E;
      reported = x > reported ? x : reported;
    }
  }
  mj_write_row(args, mj_element, mj_head_dim_v, row.batch, row.head, row.query, sums, m, l,
               reported);
  if (!mj_dense_results || args->weights.data == nullptr) return;
  float* weights = static_cast<float*>(
      const_cast<void*>(row_of(args->weights, MJ_F32, row.batch, row.head, row.query)));
  for (int64_t k = 0; k < args->kv_len; ++k) weights[k] = 0.0f;
  if (l == 0.0f) return;
  for_each_key([&](int64_t k, float x) {
    float e = exp2_scalar(__builtin_fmaf(x, kLog2E, -exponent_base(m)));
    adjusted(args, row, k, e);
    weights[k] = e / l;
  });
}

}  // extern "C"
