// Attention over the keys that a sequence of maskers selects, `C & (stage then stage ...)`. An item
// is a block of query rows that share a key head. Where a stage asks for the exact scores of all
// candidates, those of the block are computed first, key tile by key tile, as rows of kv_len; where
// none does, a score is computed when it is needed. Then row by row: candidates as bits, the stages
// in order, and attention over the keys that they made active, keys and values read where they are.
#include "kernels_templates/host/common/exp2.h"
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
  uint32_t* keys;     // [words][64]
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

// --- Sets of keys.

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

// --- Scores.

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
      multiply(s.packed, query_words(), s.keys, 64, x, static_cast<int32_t>(stride),
               round_up(rows, 16), 64, query_words(), false);
    } else {
      mj_dot_rows(s.queries, query_columns(), rows, keys, row_bytes, count, mj_element, mj_head_dim,
                  x, static_cast<int32_t>(stride));
    }
    if (keeps_products(args)) continue;
    for (int r = 0; r < rows; ++r) logits_of_row(args, block, r, w * 64, count, x + r * stride);
  }
  if (packs_keys(plan) && mj_pairs) mj_pairs_end();
}

// --- The stages.

// What a stage has chosen becomes active.
MJ_OUTLINE void activate(const Row& row, float weight) {
  for (int64_t w = 0; w < row.words; ++w) row.s->active[w] |= row.s->chosen[w];
  if (!weighs()) return;
  const int64_t count = mj_list_bits(row.s->chosen, row.words, row.s->list);
  for (int64_t i = 0; i < count; ++i) row.s->weights[row.s->list[i]] = weight;
}

// Static stages select active keys, too: weights add up.
template <int kStage>
MJ_OUTLINE void run_static(const Row& row) {
  for (int64_t w = 0; w < row.words; ++w) {
    if (row.s->allowed[w] == 0) continue;
    uint64_t bits = bits_where(w, [&](int32_t k) __attribute__((always_inline)) {
      return mj_stage_keep(row.args, kStage, row.batch, row.head, row.kv_head, row.q, k);
    });
    bits &= row.s->allowed[w];
    const uint64_t before = row.s->active[w];
    row.s->active[w] |= bits;
    if (!weighs()) continue;
#pragma clang loop vectorize(disable) unroll(disable)
    for (; bits != 0; bits &= bits - 1) {
      const int bit = __builtin_ctzll(bits);
      const int64_t k = w * 64 + bit;
      const float more = mj_stage_weight(row.args, kStage, row.batch, row.head, row.kv_head, row.q,
                                         static_cast<int32_t>(k));
      const float sum = (before >> bit & 1) != 0 ? row.s->weights[k] + more : more;
      row.s->weights[k] = sum < 1.0f ? sum : 1.0f;
    }
  }
}

MJ_INLINE void prepare_scorer(const Row& row, const MjScorer* scorer) {
  const void* query = row_of(row.args->query, mj_element, row.batch, row.head, row.query);
#pragma clang loop vectorize(disable) unroll(disable)
  for (int d = 0; d < mj_head_dim; ++d) row.s->query[d] = load_element(query, d, mj_element);
  mj_scorer_prepare(scorer, row.batch, row.head, row.kv_head, row.s->query, mj_head_dim,
                    row.s->prepared);
}

// The scorer's scores of the words with candidates, into the row of estimates.
MJ_OUTLINE void estimate(const Row& row, const MjScorer* scorer) {
  prepare_scorer(row, scorer);
  int64_t w = 0;
  while (w < row.words) {
    if (row.s->candidates[w] == 0) {
      ++w;
      continue;
    }
    const int64_t first = w * 64;
    int64_t count = 0;
    for (; w < row.words && row.s->candidates[w] != 0; ++w) count += keys_of_word(row.args, w);
    mj_scorer_scores(scorer, row.batch, row.head, row.kv_head, row.s->prepared, first,
                     static_cast<int32_t>(count), row.s->estimates + first);
  }
}

MJ_OUTLINE void run_top_k(const Row& row, int stage, bool exact, bool pages, int64_t n) {
  const Scratch& s = *row.s;
  if (n <= 0 && !pages) return;
  find_candidates(row);
  if (exact) {
    mj_choose_top_k(row.x, s.candidates, row.words, n, s.chosen, s.select);
  } else if (pages) {
    const MjStage& launch = row.args->stages[stage];
    const int64_t page = launch.scorer.numbers[0];
    const int64_t budget = n > 0 ? n / page : 0;
    prepare_scorer(row, &launch.scorer);
    mj_page_scores(&launch.scorer, row.batch, row.head, row.kv_head, s.prepared, 0,
                   static_cast<int32_t>((row.args->kv_len + page - 1) / page), s.estimates);
    mj_choose_pages(s.estimates, page, s.candidates, row.words,
                    budget > launch.min_pages ? budget : launch.min_pages, s.chosen, s.select);
  } else {
    estimate(row, &row.args->stages[stage].scorer);
    mj_choose_top_k(s.estimates, s.candidates, row.words, n, s.chosen, s.select);
  }
  activate(row, 1.0f);
}

MJ_OUTLINE void run_top_p(const Row& row, int stage, bool exact, float p) {
  const Scratch& s = *row.s;
  find_candidates(row);
  if (!exact) estimate(row, &row.args->stages[stage].scorer);
  mj_choose_top_p(exact ? row.x : s.estimates, exact ? row.factor : row.args->scale * kLog2E,
                  s.candidates, row.words, p, s.chosen, s.select);
  activate(row, 1.0f);
}

MJ_OUTLINE void run_random(const Row& row, int stage, float rate) {
  const Scratch& s = *row.s;
  find_candidates(row);
  mj_choose_random(s.candidates, row.words, rate, row.args->stages[stage].sample_key, row.batch,
                   row.head, row.query, s.chosen);
  activate(row, rate);
}

MJ_OUTLINE void run_adaptive(const Row& row, int stage, const MjStageNumbers& numbers) {
  const Scratch& s = *row.s;
  find_candidates(row);
  const MjStage& launch = row.args->stages[stage];
  const int64_t candidates = mj_count_bits(s.candidates, row.words);
  if (candidates < 2) {
    for (int64_t w = 0; w < row.words; ++w) s.chosen[w] = s.candidates[w];
    return activate(row, 1.0f);
  }
  int64_t base = numbers.count;
  if (base < 0) base = static_cast<int64_t>(numbers.fractions[0] * static_cast<float>(candidates));
  base = base < 2 ? 2 : base > candidates ? candidates : base;
  const float all = static_cast<float>(candidates);
  mj_choose_random(s.candidates, row.words, static_cast<float>(base) / all, launch.base_key,
                   row.batch, row.head, row.query, s.chosen);
  if (!needs_all_scores()) {
    // A set of its own, since need_scores destroys it.
    uint64_t* wanted = static_cast<uint64_t*>(s.select);
    for (int64_t w = 0; w < row.words; ++w) wanted[w] = s.chosen[w] | s.active[w];
    need_scores(row, wanted);
  }
  const int64_t budget =
      mj_adaptive_budget(row.x, row.factor, s.active, weighs() ? s.weights : nullptr, s.chosen,
                         row.words, candidates, base, numbers.fractions[1], numbers.fractions[2]);
  const float rate = static_cast<float>(budget) / all;
  mj_choose_random(s.candidates, row.words, rate, launch.sample_key, row.batch, row.head, row.query,
                   s.chosen);
  activate(row, rate);
}

MJ_OUTLINE void run_magic_pig(const Row& row, int stage) {
  const Scratch& s = *row.s;
  find_candidates(row);
  const MjScorer* scorer = &row.args->stages[stage].scorer;
  estimate(row, scorer);
  mj_choose_positive(s.estimates, s.candidates, row.words, s.chosen);
  // Where scores are products, they serve the weights and attention.
  const bool shared = keeps_products(row.args);
  const float* products = shared ? row.x : s.estimates;
  if (!shared) {
    dot(row, s.chosen, s.estimates);
  } else if (!needs_all_scores()) {
    uint64_t* wanted = static_cast<uint64_t*>(s.select);
    for (int64_t w = 0; w < row.words; ++w) wanted[w] = s.chosen[w];
    need_scores(row, wanted);
  }
  const int64_t count = mj_list_bits(s.chosen, row.words, s.list);
  for (int64_t i = 0; i < count; ++i) {
    const int32_t k = s.list[i];
    s.weights[k] = mj_lsh_weight(scorer, row.batch, row.kv_head, s.prepared, k, products[k]);
    if (!(s.weights[k] > 0.0f)) s.chosen[k / 64] &= ~(uint64_t{1} << (k % 64));
  }
  for (int64_t w = 0; w < row.words; ++w) s.active[w] |= s.chosen[w];
}

template <int kStage>
MJ_INLINE void run_stage(const Row& row) {
  if (kStage >= mj_stage_count) return;
  const int64_t rule = rule_of(kStage);
  const bool exact = scorer_of(kStage) == MJ_SCORER_LOGITS;
  if (rule == MJ_STATIC) return run_static<kStage>(row);
  if (rule == MJ_MAGIC_PIG) return run_magic_pig(row, kStage);
  MjStageNumbers numbers;
  mj_stage_numbers(row.args, kStage, row.batch, row.head, row.kv_head, row.q, &numbers);
  if (rule == MJ_TOP_K) {
    run_top_k(row, kStage, exact, scorer_of(kStage) == MJ_SCORER_PAGE_BOUND, numbers.count);
  } else if (rule == MJ_TOP_P) {
    run_top_p(row, kStage, exact, numbers.fractions[0]);
  } else if (rule == MJ_RANDOM) {
    run_random(row, kStage, numbers.fractions[0]);
  } else {
    run_adaptive(row, kStage, numbers);
  }
}

// --- Attention over the active keys.

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
  if (m == kNegativeInfinity || l == 0.0f) return;
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
  const int64_t group = args->num_heads / args->num_kv_heads;
  const int64_t key_heads = args->batch_size * args->num_kv_heads;
  // Later queries first: under causal masks they are the heavy ones.
  const int64_t i = p[kQueryBlocks] * p[kHeadBlocks] - 1 - index / key_heads;
  const int64_t key_head = index % key_heads;
  const int64_t head = i % p[kHeadBlocks] * p[kHeadsPerBlock];
  RowBlock b;
  b.batch = static_cast<int32_t>(key_head / args->num_kv_heads);
  b.kv_head = static_cast<int32_t>(key_head % args->num_kv_heads);
  b.head = static_cast<int32_t>(b.kv_head * group + head);
  b.heads =
      static_cast<int32_t>(group - head < p[kHeadsPerBlock] ? group - head : p[kHeadsPerBlock]);
  b.query = i / p[kHeadBlocks] * p[kQueriesPerBlock];
  const int64_t left = args->q_len - b.query;
  b.queries = static_cast<int32_t>(left < p[kQueriesPerBlock] ? left : p[kQueriesPerBlock]);
  return b;
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
