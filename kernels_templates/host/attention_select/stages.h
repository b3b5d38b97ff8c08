#pragma once
// The stages of a sequence on one row: each adds to the active keys.
#include "kernels_templates/host/attention_select/row_scores.h"
#include "kernels_templates/host/common/exp2.h"

namespace mj {
namespace {

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

}  // namespace
}  // namespace mj
