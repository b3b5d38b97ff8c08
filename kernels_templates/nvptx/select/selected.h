#pragma once
// What attention reads of a selection: the active keys of a row, and their weights.
#include "kernels_templates/include/select_math.h"
#include "kernels_templates/nvptx/common/adjust.h"
#include "kernels_templates/nvptx/select/row.h"

namespace mj {

// The probability with which magic_pig takes a key whose product with the query is given.
// `numbers`: |q~| N, and the query's product with the centre.
MJ_INLINE float lsh_weight(const MjScorer& scorer, int batch, int head, int kv_head, int key,
                           const float* numbers, float product) {
  float centred = product;
  if (scorer.numbers[3] != 0) {
    const MjIndexRows& rows = scorer.rows[3];
    const char* row = static_cast<const char*>(rows.data) + batch * rows.batch_stride +
                      (scorer.by_head != 0 ? head : kv_head) * rows.head_stride;
    centred -= *reinterpret_cast<const float*>(row + key / 64 * rows.row_stride + key % 64 * 4);
    centred -= numbers[1];
  }
  const float cosine = numbers[0] > 0.0f ? centred / numbers[0] : 0.0f;
  return lsh_probability(cosine, scorer.numbers[1], scorer.numbers[0]);
}

// Places of a row, as the readers below take them.
struct SelectedRow {
  int64_t index;  // of the plan
  int batch, head, kv_head, position;
};

MJ_INLINE bool is_selected(const MjSelectArgs* args, const SelectedRow& row, int key) {
  return has_bit(sets_of(args, row.index)[key / 32], key % 32);
}

// The weight of an active key after the first `stages` stages; `product()` is <query, key>.
template <typename Product>
MJ_INLINE float selected_weight(const MjSelectArgs* args, const SelectedRow& row, int key,
                                int stages, const Product& product) {
  const uint32_t* sets = sets_of(args, row.index);
  float weight = 0.0f;
  int selector = 0;
  MJ_ROLL
  for (int stage = 0; stage < stages; ++stage) {
    const int rule = rule_of(stage);
    if (rule == MJ_STATIC) {
      // Static stages select active keys, too: weights add up.
      if (mj_stage_keep(&args->device.attention, stage, row.batch, row.head, row.kv_head,
                        row.position, key)) {
        weight += mj_stage_weight(&args->device.attention, stage, row.batch, row.head, row.kv_head,
                                  row.position, key);
        weight = weight < 1.0f ? weight : 1.0f;
      }
      continue;
    }
    ++selector;
    if (!has_bit(sets[int64_t{selector} * args->plan.words + key / 32], key % 32)) continue;
    const float* numbers = numbers_of(args, row.index, stage);
    if (rule == MJ_TOP_K || rule == MJ_TOP_P) {
      weight = 1.0f;
    } else if (uses_rule(MJ_MAGIC_PIG) && rule == MJ_MAGIC_PIG) {
      weight = lsh_weight(args->stages[stage].scorer, row.batch, row.head, row.kv_head, key,
                          numbers, product());
    } else {
      weight = numbers[0];
    }
  }
  return weight;
}

// 1 / weight, 0 where there is none.
template <typename Product>
MJ_INLINE float selected_inverse(const MjSelectArgs* args, const SelectedRow& row, int key,
                                 const Product& product) {
  const float w = selected_weight(args, row, key, mj_stage_count, product);
  return w > 0.0f ? __builtin_fminf(1.0f / w, 0x1.fffffep127f) : 0.0f;
}

// The active keys of a row, one at a time.
struct SelectedKeys {
  const MjSelectArgs* args;
  SelectedRow row;

  static MJ_MEMBER bool weighs() { return mj::weighs(); }
  MJ_MEMBER bool keeps(int k) const { return is_selected(args, row, k); }
  MJ_MEMBER float inverse(int k, float product) const {
    return selected_inverse(args, row, k, [&]() __attribute__((always_inline)) { return product; });
  }
};

}  // namespace mj
