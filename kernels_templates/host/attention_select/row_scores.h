#pragma once
// The exact scores of a row's keys: of all at once, block by block, or of those that need one.
#include "kernels_templates/host/attention_select/row.h"

namespace mj {
namespace {

// From products to logits where they differ, of keys whose product has just been computed.
MJ_OUTLINE void finish_listed(const Row& row, const uint64_t* keys) {
  const void* additive = nullptr;
  if (mj_additive != MJ_NONE)
    additive = row_of(row.args->additive, mj_additive, row.batch, row.head, row.query);
  const int64_t count = mj_list_bits(keys, row.words, row.s->list);
#pragma clang loop vectorize(disable) unroll(disable)
  for (int64_t i = 0; i < count; ++i) {
    const int32_t k = row.s->list[i];
    row.x[k] = logit(row.args, row.batch, row.head, row.kv_head, row.q, k, additive, row.x[k]);
  }
}

MJ_INLINE void dot(const Row& row, const uint64_t* keys, float* x) {
  mj_dot_bits(row.s->queries + row.index * query_columns(),
              row_of(row.args->key, mj_element, row.batch, row.kv_head, 0),
              row.args->key.row_stride * element_bytes(mj_element), mj_element, mj_head_dim, keys,
              row.words, x);
}

// Computes the scores of these keys that are not there yet. The set becomes that of the new ones.
MJ_OUTLINE void need_scores(const Row& row, uint64_t* keys) {
  uint64_t any = 0;
  for (int64_t w = 0; w < row.words; ++w) {
    keys[w] &= ~row.s->known[w];
    row.s->known[w] |= keys[w];
    any |= keys[w];
  }
  if (any == 0) return;
  dot(row, keys, row.x);
  if (!keeps_products(row.args)) finish_listed(row, keys);
}

// The scores of every row of the block and every key of the tiles that are not Empty.
MJ_OUTLINE void score_block(const MjAttentionArgs* args, const MjPlan* plan, const RowBlock& block,
                            const Scratch& s, bool every_key) {
  const int rows = block.rows();
  const int64_t stride = stride_of(args), words = words_of(args);
  const int64_t row_bytes = args->key.row_stride * element_bytes(mj_element);
  if (packs_keys(plan)) {
    for (int r = 0; r < rows; ++r) {
      mj_pack_query(
          row_of(args->query, mj_element, block.batch, block.head_of(r), block.query_of(r)),
          mj_element, mj_pairs != 0, mj_head_dim, query_words(), s.packed + r * query_words());
    }
    if (mj_pairs) mj_pairs_begin();
  }
  for (int64_t w = 0; w < words; ++w) {
    if (s.classes[w] == 0 && !every_key) continue;
    const int count = keys_of_word(args, w);
    const void* keys = row_of(args->key, mj_element, block.batch, block.kv_head, w * 64);
    float* x = s.scores + w * 64;
    if (packs_keys(plan)) {
      mj_pack_keys(keys, row_bytes, count, mj_element, mj_pairs != 0, mj_head_dim, query_words(),
                   64, s.keys);
      const auto multiply = mj_pairs ? mj_multiply_pairs : mj_multiply_f32;
      multiply(s.packed, query_words(), s.keys, query_words() * kLanes, x,
               static_cast<int32_t>(stride), round_up(rows, 16), 64, query_words(), false);
    } else {
      mj_dot_rows(s.queries, query_columns(), rows, keys, row_bytes, count, mj_element, false,
                  mj_head_dim, x, static_cast<int32_t>(stride), nullptr);
    }
    if (keeps_products(args)) continue;
    for (int r = 0; r < rows; ++r) logits_of_row(args, block, r, w * 64, count, x + r * stride);
  }
  if (packs_keys(plan) && mj_pairs) mj_pairs_end();
}

}  // namespace
}  // namespace mj
