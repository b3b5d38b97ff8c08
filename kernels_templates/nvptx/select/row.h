#pragma once
// A row of a sequence, what its stages are, and where its sets are.
#include "kernels_templates/nvptx/common/device_hooks.h"
#include "kernels_templates/nvptx/common/key_tiles.h"
#include "kernels_templates/nvptx/select/sets.h"

namespace mj {

MJ_INLINE int rule_of(int stage) { return static_cast<int>(mj_stage_rules >> (8 * stage) & 255); }
MJ_INLINE int scorer_of(int stage) {
  return static_cast<int>(mj_stage_scorers >> (8 * stage) & 255);
}

// Is there a stage for which `test` holds? Without a loop: the first fold of the pipeline answers.
template <typename Test>
MJ_INLINE bool any_stage(const Test& test) {
  static_assert(mj_max_stages == 8);
  const auto holds = [&](int i) __attribute__((always_inline)) {
    return static_cast<int>(i < mj_stage_count) & static_cast<int>(test(i));
  };
  return (holds(0) | holds(1) | holds(2) | holds(3) | holds(4) | holds(5) | holds(6) | holds(7)) !=
         0;
}
MJ_INLINE bool uses_rule(int rule) {
  return any_stage([&](int i) __attribute__((always_inline)) { return rule_of(i) == rule; });
}
// Is there a stage that takes scores of this kind?
MJ_INLINE bool uses_scorer(int scorer) {
  return any_stage([&](int i) __attribute__((always_inline)) {
    const int rule = rule_of(i);
    const bool scored = static_cast<int>(rule == MJ_TOP_K) | static_cast<int>(rule == MJ_TOP_P) |
                        static_cast<int>(rule == MJ_ADAPTIVE) |
                        static_cast<int>(rule == MJ_MAGIC_PIG);
    return static_cast<int>(scored) & static_cast<int>(scorer_of(i) == scorer);
  });
}
// Do active keys have weights other than 1?
MJ_INLINE bool weighs() {
  return (static_cast<int>(mj_weighted != 0) | static_cast<int>(uses_rule(MJ_RANDOM)) |
          static_cast<int>(uses_rule(MJ_ADAPTIVE)) | static_cast<int>(uses_rule(MJ_MAGIC_PIG))) !=
         0;
}
// Of a stage: how many selectors are before it. The set of a selector is 1 + that.
MJ_INLINE int selectors_before(int stage) {
  int count = 0;
  MJ_UNROLL
  for (int i = 0; i < mj_max_stages; ++i)
    count += static_cast<int>(i < stage) & static_cast<int>(rule_of(i) != MJ_STATIC);
  return count;
}
MJ_INLINE int set_count() { return weighs() ? 1 + selectors_before(mj_stage_count) : 1; }

// Rows of the plan: [batch, num_heads, queries of the round].
MJ_INLINE int64_t plan_row(const MjSelectArgs* args, int batch, int head, int query) {
  return (batch * args->device.attention.num_heads + head) * args->plan.query_count + query -
         args->plan.first_query;
}

MJ_INLINE uint32_t* sets_of(const MjSelectArgs* args, int64_t row) {
  return args->plan.sets + row * set_count() * args->plan.words;
}
MJ_INLINE float* numbers_of(const MjSelectArgs* args, int64_t row, int stage) {
  return args->plan.numbers + (row * mj_max_stages + stage) * 2;
}

// A row of scores; shared memory by byte offset.
struct SelectRow {
  const MjSelectArgs* args;
  int batch, head, kv_head;
  int query;             // index
  int position;          // of that query
  int64_t index;         // of the plan
  int groups;            // of its keys
  const void* additive;  // its row, null without one
  bool wide_keys;        // rows of keys are copied sixteen bytes at a time
  uint32_t* active;
  uint32_t *allowed, *undecided, *chosen, *pages, *chosen_pages;  // temporary
  char* prepared;                                                 // of a scorer, for this row
  uint32_t scratch, queries, bins;

  MJ_MEMBER const MjAttentionArgs* attention() const { return &args->device.attention; }
  MJ_MEMBER int kv_len() const { return static_cast<int>(attention()->kv_len); }
};

// Where a selector of this row leaves its keys.
MJ_INLINE uint32_t* set_of_stage(const SelectRow& row, int stage) {
  if (!weighs()) return row.chosen;
  return row.active + static_cast<int64_t>(1 + selectors_before(stage)) * row.args->plan.words;
}

MJ_INLINE float query_at(const SelectRow& row, int d) {
  return load_shared<float>(row.queries + static_cast<uint32_t>(d * 4));
}

}  // namespace mj
