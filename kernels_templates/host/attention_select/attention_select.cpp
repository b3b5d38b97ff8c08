// Attention over the keys that a sequence of maskers selects, `C & (stage then stage ...)`. An item
// is a block of query rows that share a key head. Where a stage asks for the exact scores of all
// candidates, those of the block are computed first, key tile by key tile, as rows of kv_len; where
// none does, a score is computed when it is needed. Then row by row: candidates as bits, the stages
// in order, and attention over the keys that they made active, keys and values read where they are.
#include "kernels_templates/host/attention_select/stages.h"
#include "kernels_templates/host/common/exp2.h"

namespace mj {
namespace {

MJ_OUTLINE void attend(const Row& row, float reported) {
  const MjAttentionArgs* args = row.args;
  const Scratch& s = *row.s;
  if (!needs_all_scores()) {
    for (int64_t w = 0; w < row.words; ++w) s.chosen[w] = s.active[w];
    need_scores(row, s.chosen);
  }
  const int64_t count = mj_list_bits(s.active, row.words, s.list);
  const int32_t padded = static_cast<int32_t>(round_up64(count, kLanes));
  float* e = s.estimates;
  mj_gather(row.x, s.list, count, e);
  const float m = mj_row_maximum(e, padded, row.factor);
  float l = mj_exponentials(e, padded, row.factor, exponent_base(m));
  if (weighs()) {
    for (int64_t i = 0; i < count; ++i) e[i] /= s.weights[s.list[i]];
    l = mj_row_sum(e, static_cast<int32_t>(count));
  }
  if (mj_dropout != MJ_NO_DROPOUT) {
    const float left = mj_drop_out_list(args, row.batch, row.head, row.query, s.list, count, e);
    if (mj_dropout == MJ_DROPOUT_RENORMALISE) l = left;
  }
  for (int d = 0; d < value_columns(); d += kLanes) store(s.sums + d, splat(0.0f));
  mj_add_value_list(row_of(args->value, mj_element, row.batch, row.kv_head, 0),
                    args->value.row_stride * element_bytes(mj_element), mj_element, mj_head_dim_v,
                    s.list, e, count, s.sums);
  mj_close_gap(s.sums, mj_head_dim_v);
  const bool over_all = mj_dense_results && args->row_max_over_all;
  mj_write_row(args, mj_element, mj_head_dim_v, row.batch, row.head, row.query, s.sums, m, l,
               over_all ? reported : m);
  if (!mj_dense_results || args->weights.data == nullptr) return;
  float* out = static_cast<float*>(
      const_cast<void*>(row_of(args->weights, MJ_F32, row.batch, row.head, row.query)));
  for (int64_t k = 0; k < args->kv_len; ++k) out[k] = 0.0f;
  if (l == 0.0f) return;
  for (int64_t i = 0; i < count; ++i) out[s.list[i]] = e[i] / l;
}

MJ_OUTLINE float maximum_over_all(const Row& row) {
  float largest = kNegativeInfinity;
  for (int64_t k = 0; k < row.args->kv_len; ++k) {
    const float t = row.x[k] * row.factor;
    largest = t > largest ? t : largest;
  }
  return largest;
}

MJ_INLINE void run_row(const Row& row, bool every_key) {
  find_allowed(row);
  for (int64_t w = 0; w < row.words; ++w) row.s->active[w] = 0;
  for (int64_t w = 0; !needs_all_scores() && w < row.words; ++w)
    row.s->known[w] = every_key ? ~uint64_t{0} : 0;
  run_stage<0>(row);
  run_stage<1>(row);
  run_stage<2>(row);
  run_stage<3>(row);
  run_stage<4>(row);
  run_stage<5>(row);
  run_stage<6>(row);
  run_stage<7>(row);
  attend(row, every_key ? maximum_over_all(row) : 0.0f);
}

MJ_INLINE RowBlock block_of(const MjAttentionArgs* args, const MjPlan* plan, int64_t index) {
  const int64_t* p = plan->parameters;
  const int64_t key_heads = args->batch_size * args->num_kv_heads;
  // Later queries first: under causal masks they are the heavy ones.
  const int64_t i = p[kQueryBlocks] * p[kHeadBlocks] - 1 - index / key_heads;
  const int64_t key_head = index % key_heads;
  return row_block(args, key_head, i, p[kHeadsPerBlock], p[kHeadBlocks], p[kQueriesPerBlock]);
}

MJ_OUTLINE void find_classes(const MjAttentionArgs* args, const RowBlock& block, const Scratch& s) {
  const int64_t words = words_of(args);
  for (int64_t w = 0; w < words; ++w) s.classes[w] = 0;
  MjTileRuns runs;
  runs.count = 0;
  const int32_t q_lo = position(args, block.query);
  for (int h = 0; h < (mj_by_head ? block.heads : 1); ++h) {
    add_key_tiles(args, block.batch, block.head + h, block.kv_head, q_lo, q_lo + block.queries - 1,
                  0, args->kv_len, &runs);
  }
  for (int i = 0; i < runs.count; ++i) {
    for (int64_t w = runs.begin[i]; w < runs.end[i]; ++w)
      s.classes[w] = static_cast<uint8_t>(classify(args, block, w * 64, keys_of_word(args, w)));
  }
}

MJ_INLINE void run_item(const MjAttentionArgs* args, const MjPlan* plan, int64_t item,
                        void* scratch) {
  Scratch s;
  layout(args, plan, scratch, &s);
  const RowBlock block = block_of(args, plan, item);
  const int rows = block.rows();
  for (int r = 0; r < rows; ++r) {
    mj_widen_query(
        row_of(args->query, mj_element, block.batch, block.head_of(r), block.query_of(r)),
        mj_element, mj_head_dim, s.queries + r * query_columns());
  }
  find_classes(args, block, s);
  const bool every_key = mj_dense_results && args->row_max_over_all;
  const bool all = needs_all_scores() || every_key;
  if (all) score_block(args, plan, block, s, every_key);
  Row row;
  row.args = args;
  row.s = &s;
  row.words = words_of(args);
  row.batch = block.batch;
  row.kv_head = block.kv_head;
  row.factor = keeps_products(args) ? args->scale * kLog2E : kLog2E;
  for (int r = 0; r < rows; ++r) {
    row.head = block.head_of(r);
    row.query = block.query_of(r);
    row.q = position(args, row.query);
    row.index = r;
    row.x = s.scores + (all ? r * stride_of(args) : 0);
    run_row(row, every_key);
  }
}

}  // namespace
}  // namespace mj

extern "C" {

MJ_DIRECTOR void mj_plan(const MjAttentionArgs* args, int64_t threads, MjPlan* plan) {
  using namespace mj;
  const int64_t group = args->num_heads / args->num_kv_heads;
  const int64_t key_heads = args->batch_size * args->num_kv_heads;
  const bool all = needs_all_scores() || (mj_dense_results && args->row_max_over_all);
  // By which products are made, and so what they are rounded to, follows from the problem alone.
  const bool packs = all && args->q_len * group > kMaxRowsInPlace;
  // Enough items for the threads, and scores that stay within a budget.
  int64_t most = kMaxRows;
  while (most > 16 && (most * stride_of(args) * 4 > kScoreBytes ||
                       args->q_len * group * key_heads < 2 * threads * most)) {
    most /= 2;
  }
  while (!packs && most > 1 && most * stride_of(args) * 4 > kScoreBytes) most /= 2;
  const int64_t queries = args->q_len < most ? args->q_len : most;
  int64_t heads = queries > 0 ? most / queries : 1;
  heads = heads < group ? heads : group;
  const int64_t rows = queries * heads;
  int64_t prepared = 64;
  for (int i = 0; i < mj_stage_count; ++i) {
    if (scorer_of(i) == MJ_SCORER_LOGITS) continue;
    const int64_t bytes = args->stages[i].scorer.scratch_bytes;
    prepared = bytes > prepared ? bytes : prepared;
  }
  plan->parameters[kHeadsPerBlock] = heads;
  plan->parameters[kQueriesPerBlock] = queries;
  plan->parameters[kQueryBlocks] = queries > 0 ? (args->q_len + queries - 1) / queries : 0;
  plan->parameters[kHeadBlocks] = (group + heads - 1) / heads;
  plan->parameters[kScoreRows] = !all ? 1 : packs ? round_up64(rows, 16) : rows;
  plan->parameters[kPacksKeys] = packs ? 1 : 0;
  plan->parameters[kPrepared] = prepared;
  plan->phase_items[0] = plan->parameters[kQueryBlocks] * plan->parameters[kHeadBlocks] * key_heads;
  plan->phase_items[1] = 0;
  Scratch s;
  layout(args, plan, nullptr, &s);
  plan->scratch_bytes = s.bytes;
  plan->workspace_bytes = 0;
}

MJ_DIRECTOR void mj_run(const MjAttentionArgs* args, const MjPlan* plan, int64_t, int64_t item,
                        void* scratch) {
  mj::run_item(args, plan, item, scratch);
}

}  // extern "C"
