#pragma once
// A row of a block of queries, the sets of keys that its stages pass on, and where all of it is.
#include "kernels_templates/host/common/key_tiles.h"
#include "kernels_templates/host/common/scores.h"
#include "kernels_templates/host/microkernels/microkernels.h"
#include "kernels_templates/host/microkernels/scorers.h"
#include "kernels_templates/host/microkernels/select.h"

namespace mj {
namespace {

static_assert(mj_max_stages == 8);

constexpr int kMaxRows = 64;                        // of a block
constexpr int kMaxRowsInPlace = 16;                 // whose products need no packed keys
constexpr int64_t kScoreBytes = int64_t{32} << 20;  // of the scores of a block, if rows allow it

// MjPlan::parameters of this kernel.
enum Parameter {
  kHeadsPerBlock,
  kQueriesPerBlock,
  kQueryBlocks,
  kHeadBlocks,
  kScoreRows,
  kPacksKeys,
  kPrepared
};

MJ_INLINE int64_t rule_of(int stage) { return mj_stage_rules >> (8 * stage) & 255; }
MJ_INLINE int64_t scorer_of(int stage) { return mj_stage_scorers >> (8 * stage) & 255; }

MJ_INLINE bool ranks(int stage) { return rule_of(stage) == MJ_TOP_K || rule_of(stage) == MJ_TOP_P; }

// Does some stage rank all candidates by their exact scores?
MJ_INLINE bool needs_all_scores() {
  bool all = false;
#pragma clang loop unroll(full)
  for (int i = 0; i < mj_max_stages; ++i) {
    all = all || (i < mj_stage_count && ranks(i) && scorer_of(i) == MJ_SCORER_LOGITS);
  }
  return all;
}

// Do active keys have weights other than 1?
MJ_INLINE bool weighs() {
  bool weighted = mj_weighted != 0;
#pragma clang loop unroll(full)
  for (int i = 0; i < mj_max_stages; ++i) {
    const int64_t rule = rule_of(i);
    weighted = weighted || (i < mj_stage_count &&
                            (rule == MJ_RANDOM || rule == MJ_ADAPTIVE || rule == MJ_MAGIC_PIG));
  }
  return weighted;
}

MJ_INLINE int64_t words_of(const MjAttentionArgs* args) { return (args->kv_len + 63) / 64; }
// Of a row of scores.
MJ_INLINE int64_t stride_of(const MjAttentionArgs* args) { return words_of(args) * 64 + kLanes; }
MJ_INLINE int query_columns() { return round_up(mj_head_dim, kLanes); }
MJ_INLINE int value_columns() { return round_up(mj_head_dim_v, kLanes); }
MJ_INLINE int head_words() { return mj_pairs ? (mj_head_dim + 1) / 2 : mj_head_dim; }
MJ_INLINE int query_words() { return round_up(head_words(), mj_word_multiple); }
MJ_INLINE bool packs_keys(const MjPlan* plan) { return plan->parameters[kPacksKeys] != 0; }

struct Scratch {
  float* queries;     // [kMaxRows][columns], in the order of mj_widen_query
  uint32_t* packed;   // [kMaxRows][words], of blocks that pack their keys
  uint32_t* keys;     // [64 / 16][words][16]
  float* scores;      // [kScoreRows][stride]: products, or logits (keeps_products)
  float* estimates;   // [stride], of a scorer; then products, or the exponentials of active keys
  float* weights;     // [stride], of active keys
  int32_t* list;      // [stride], active keys
  uint8_t* classes;   // [words], of the tiles of the block
  uint64_t* allowed;  // [words]; likewise the next four
  uint64_t* active;
  uint64_t* candidates;
  uint64_t* chosen;
  uint64_t* known;  // keys whose score is there
  float* query;     // [columns], in plain order
  float* sums;      // [value columns]
  void* prepared;   // of a scorer
  void* select;     // of the rules
  int64_t bytes;
};

MJ_OUTLINE void layout(const MjAttentionArgs* args, const MjPlan* plan, void* base, Scratch* s) {
  const uintptr_t at = reinterpret_cast<uintptr_t>(base);
  const int64_t words = words_of(args), stride = stride_of(args);
  int64_t used = 0;
  const auto take = [&](int64_t bytes) __attribute__((always_inline)) {
    const uintptr_t p = at + static_cast<uintptr_t>(used);
    used += round_up64(bytes, 64);
    return p;
  };
  s->queries = reinterpret_cast<float*>(take(int64_t{4} * kMaxRows * query_columns()));
  const int64_t packed = packs_keys(plan) ? 4 : 0;
  s->packed = reinterpret_cast<uint32_t*>(take(packed * (kMaxRows * query_words() + kLanes)));
  s->keys = reinterpret_cast<uint32_t*>(take(packed * (query_words() + kLanes) * 64));
  s->scores = reinterpret_cast<float*>(take(plan->parameters[kScoreRows] * stride * 4));
  s->estimates = reinterpret_cast<float*>(take(stride * 4));
  s->weights = reinterpret_cast<float*>(take(weighs() ? stride * 4 : 0));
  s->list = reinterpret_cast<int32_t*>(take(stride * 4));
  s->classes = reinterpret_cast<uint8_t*>(take(words));
  s->allowed = reinterpret_cast<uint64_t*>(take(words * 8));
  s->active = reinterpret_cast<uint64_t*>(take(words * 8));
  s->candidates = reinterpret_cast<uint64_t*>(take(words * 8));
  s->chosen = reinterpret_cast<uint64_t*>(take(words * 8));
  s->known = reinterpret_cast<uint64_t*>(take(words * 8));
  s->query = reinterpret_cast<float*>(take(int64_t{4} * query_columns()));
  s->sums = reinterpret_cast<float*>(take(int64_t{4} * value_columns()));
  s->prepared = reinterpret_cast<void*>(take(plan->parameters[kPrepared]));
  s->select = reinterpret_cast<void*>(take(mj_select_scratch(words)));
  s->bytes = used;
}

// One row of a block and what is there of it.
struct Row {
  const MjAttentionArgs* args;
  const Scratch* s;
  int64_t words;
  int32_t batch, head, kv_head, q;
  int64_t query;  // index
  int index;      // in the block
  float* x;       // scores; those of `known` are there
  float factor;   // turns them into base-2 exponents
};

MJ_INLINE int keys_of_word(const MjAttentionArgs* args, int64_t word) {
  const int64_t left = args->kv_len - word * 64;
  return left < 64 ? static_cast<int>(left) : 64;
}

MJ_INLINE uint64_t bits_below(int count) {
  return count == 64 ? ~uint64_t{0} : (uint64_t{1} << count) - 1;
}

typedef bool B16 __attribute__((ext_vector_type(16)));

// The keys 64 word .. of a row for which `test(k)` holds; keys past the last are tested, too.
template <typename Test>
MJ_INLINE uint64_t bits_where(int64_t word, const Test& test) {
  uint64_t bits = 0;
#pragma clang loop unroll(disable)
  for (int v = 0; v < 4; ++v) {
    int32_t lanes[kLanes];
    const int32_t k = static_cast<int32_t>(word * 64) + v * kLanes;
#pragma clang loop vectorize(assume_safety) interleave(disable)
    for (int i = 0; i < kLanes; ++i) lanes[i] = test(k + i) ? -1 : 0;
    const I32x16 all = *reinterpret_cast<const I32x16*>(lanes);
    bits |= uint64_t{__builtin_bit_cast(uint16_t, __builtin_convertvector(all, B16))}
            << (v * kLanes);
  }
  return bits;
}

MJ_OUTLINE uint64_t limit_word(const Row& row, int64_t word) {
  return bits_where(word, [&](int32_t k) __attribute__((always_inline)) {
    return mj_keep(row.args, row.batch, row.head, row.kv_head, row.q, k);
  });
}

MJ_OUTLINE uint64_t additive_word(const Row& row, int64_t word, int count) {
  const void* additive = row_of(row.args->additive, mj_additive, row.batch, row.head, row.query);
  // Masks are often filled with the lowest finite number instead of -inf.
  const float lowest = mj_additive == MJ_F16    ? -65504.0f
                       : mj_additive == MJ_BF16 ? -0x1.FEp127f
                                                : -__FLT_MAX__;
  uint64_t bits = 0;
#pragma clang loop vectorize(disable) unroll(disable)
  for (int j = 0; j < count; ++j) {
    const bool allows = !(load_additive(additive, word * 64 + j) <= lowest);
    bits |= uint64_t{allows} << j;
  }
  return bits;
}

// The keys that C and the additive mask allow.
MJ_OUTLINE void find_allowed(const Row& row) {
  for (int64_t w = 0; w < row.words; ++w) {
    const int count = keys_of_word(row.args, w);
    const int tile_class = row.s->classes[w];
    uint64_t bits = tile_class == 0 ? 0 : bits_below(count);
    if (!mj_mask_full && tile_class == 1) bits &= limit_word(row, w);
    if (mj_additive != MJ_NONE && bits != 0) bits &= additive_word(row, w, count);
    row.s->allowed[w] = bits;
  }
}

MJ_INLINE void find_candidates(const Row& row) {
  for (int64_t w = 0; w < row.words; ++w)
    row.s->candidates[w] = row.s->allowed[w] & ~row.s->active[w];
}

}  // namespace
}  // namespace mj
