#pragma once
// The stages of a sequence on one row: each adds to the active keys.
#include "kernels_templates/nvptx/select/ranking.h"

namespace mj {

// The lowest finite number excludes a key as -inf does: masks are often filled with it.
MJ_INLINE bool additive_allows(const SelectRow& row, int key) {
  const float lowest = mj_additive == MJ_F16    ? -65504.0f
                       : mj_additive == MJ_BF16 ? -0x1.FEp127f
                                                : -__FLT_MAX__;
  return !(load_additive(row.additive, key) <= lowest);
}

// The keys that C and the additive mask allow; nothing is active.
MJ_INLINE void find_allowed(const SelectRow& row) {
  const MjAttentionArgs* args = row.attention();
  const QueryBlock block = {row.batch, row.kv_head, row.head, 1, row.query, 1, row.position};
  const KeyTiles tiles = key_tiles(args, block, 64);
  for_each_group(row.groups, [&](int group) __attribute__((always_inline)) {
    Words4 allowed = {0, 0, 0, 0};
    MJ_UNROLL
    for (int half = 0; half < 2; ++half) {
      const int tile = group * 2 + half;
      bool inside = false;
      MJ_UNROLL
      for (int i = 0; i < range_count(); ++i)
        inside = inside || (tiles.first[i] <= tile && tile <= tiles.last[i]);
      // Partial where keys are missing.
      const int found = inside && tile * 64 < row.kv_len() ? tile_class(args, block, tile, 64) : 0;
      if (found == 0) continue;
      MJ_UNROLL
      for (int part = 0; part < 2; ++part) {
        const int key = tile * 64 + part * 32 + lane_index();
        const int there = smaller(key, row.kv_len() - 1);
        bool keep = key < row.kv_len();
        if (!mj_mask_full && found == 1) {
          keep = keep && mj_keep(args, row.batch, row.head, row.kv_head, row.position, there);
        }
        if (mj_additive != MJ_NONE) keep = keep && additive_allows(row, there);
        allowed[half * 2 + part] = vote(keep);
      }
    }
    store_group(row.allowed, group, allowed);
    store_group(row.active, group, Words4{0, 0, 0, 0});
  });
}

MJ_INLINE void run_static(const SelectRow& row, int stage) {
  for_each_group(row.groups, [&](int group) __attribute__((always_inline)) {
    const Words4 allowed = load_group(row.allowed, group);
    if (is_empty_group(allowed)) return;
    Words4 active = load_group(row.active, group);
    MJ_UNROLL
    for (int u = 0; u < kGroupWords; ++u) {
      const int key = group * mj_select_group + u * 32 + lane_index();
      const bool keep = mj_stage_keep(row.attention(), stage, row.batch, row.head, row.kv_head,
                                      row.position, smaller(key, row.kv_len() - 1));
      active[u] |= vote(keep) & allowed[u];
    }
    sync_warp();
    store_group(row.active, group, active);
  });
}

// The candidates of a stage, into `to`; how many.
MJ_INLINE int64_t find_candidates(const SelectRow& row, uint32_t* to) {
  int64_t count = 0;
  for_each_group(row.groups, [&](int group) __attribute__((always_inline)) {
    const Words4 candidates = load_group(row.allowed, group) & ~load_group(row.active, group);
    store_group(to, group, candidates);
    if (lane_index() == 0) count += count_group(candidates);
  });
  return sum_of_block(count, row.scratch);
}

// The candidates of a draw, into `to`.
MJ_INLINE void choose_random(const SelectRow& row, const uint32_t* key, float rate, uint32_t* to) {
  const Threshold threshold = threshold_of(rate);
  for_each_group(row.groups, [&](int group) __attribute__((always_inline)) {
    const Words4 candidates = load_group(row.allowed, group) & ~load_group(row.active, group);
    const Words4 drawn = is_empty_group(candidates)
                             ? candidates
                             : candidates & draw_group(row, group, key, threshold);
    store_group(to, group, drawn);
  });
}

MJ_INLINE void copy_set(const SelectRow& row, const uint32_t* from, uint32_t* to) {
  for_each_group(row.groups, [&](int group) __attribute__((always_inline)) {
    store_group(to, group, load_group(from, group));
  });
}

MJ_INLINE void clear_set(const SelectRow& row, uint32_t* set) {
  for_each_group(row.groups, [&](int group) __attribute__((always_inline)) {
    store_group(set, group, Words4{0, 0, 0, 0});
  });
}

// The pages with a candidate.
MJ_INLINE int64_t find_pages(const SelectRow& row, const uint32_t* candidates, int page, int pages,
                             int groups) {
  int64_t count = 0;
  for_each_group(groups, [&](int group) __attribute__((always_inline)) {
    Words4 found;
    MJ_UNROLL
    for (int u = 0; u < kGroupWords; ++u) {
      const int p = group * mj_select_group + u * 32 + lane_index();
      bool any = false;
      if (p < pages) {
        const int first = p * page;
        const int last = smaller(row.kv_len() - 1, first + (page - 1));
        MJ_ROLL
        for (int word = first / 32; word <= last / 32 && !any; ++word) {
          uint32_t bits = candidates[word];
          if (word == first / 32) bits &= ~0u << (first % 32);
          if (word == last / 32) bits &= ~0u >> (31 - last % 32);
          any = bits != 0;
        }
      }
      found[u] = vote(any);
    }
    store_group(row.pages, group, found);
    if (lane_index() == 0) count += count_group(found);
  });
  return sum_of_block(count, row.scratch);
}

// The candidates of the chosen pages.
MJ_INLINE void choose_of_pages(const SelectRow& row, const uint32_t* candidates, int page,
                               uint32_t* to) {
  for_each_group(row.groups, [&](int group) __attribute__((always_inline)) {
    const Words4 bits = load_group(candidates, group);
    Words4 chosen = bits;
    if (!is_empty_group(bits)) {
      MJ_UNROLL
      for (int u = 0; u < kGroupWords; ++u) {
        const int key = group * mj_select_group + u * 32 + lane_index();
        const int p = smaller(key, row.kv_len() - 1) / page;
        chosen[u] &= vote(has_bit(row.chosen_pages[p / 32], p % 32));
      }
    }
    store_group(to, group, chosen);
  });
}

MJ_INLINE void prepare_scorer(const SelectRow& row, int stage) {
  const MjScorer& scorer = row.args->stages[stage].scorer;
  const int kind = scorer_of(stage);
  if (uses_scorer(MJ_SCORER_CHANNELS) && kind == MJ_SCORER_CHANNELS) prepare_channels(row, scorer);
  if (uses_scorer(MJ_SCORER_HASH_BITS) && kind == MJ_SCORER_HASH_BITS) prepare_hash(row, scorer);
  if (uses_scorer(MJ_SCORER_PQ_CODES) && kind == MJ_SCORER_PQ_CODES) prepare_pq(row, scorer);
  if (uses_scorer(MJ_SCORER_LSH) && kind == MJ_SCORER_LSH) {
    prepare_lsh(row, scorer);
    sync_threads();
    if (thread_index() == 0) {
      const auto* query = reinterpret_cast<const float*>(row.prepared);
      const auto* state = reinterpret_cast<const float*>(
          index_row(scorer.rows[1], row.batch, row_head(row, scorer), 0));
      float* numbers = numbers_of(row.args, row.index, stage);
      numbers[0] = query[0] * state[0];
      numbers[1] = query[1];
    }
  }
  sync_threads();
}

// A selector: its keys go to its set and become active.
MJ_INLINE void run_selector(const SelectRow& row, int stage) {
  const int rule = rule_of(stage), kind = scorer_of(stage);
  const MjStage& launch = row.args->stages[stage];
  uint32_t* const set = set_of_stage(row, stage);
  MjStageNumbers numbers = {-1, {0.0f, 0.0f, 0.0f}};
  if (rule != MJ_MAGIC_PIG)
    mj_stage_numbers(row.attention(), stage, row.batch, row.head, row.kv_head, row.position,
                     &numbers);
  Ranking ranking;
  ranking.want = rule == MJ_TOP_P       ? Want::Mass
                 : rule == MJ_MAGIC_PIG ? Want::Positive
                 : rule == MJ_ADAPTIVE  ? Want::Moments
                                        : Want::Best;
  ranking.stage = stage;
  ranking.scorer = kind;
  ranking.page = 0;
  ranking.keys_by_page = kind == MJ_SCORER_PAGE_BOUND;
  ranking.items = row.pages;
  ranking.groups = row.groups;
  ranking.count = row.kv_len();
  ranking.chosen = set;
  ranking.target = 0;
  ranking.share = numbers.fractions[0];
  ranking.factor = kind == MJ_SCORER_LOGITS ? exact_factor(row) : row.attention()->scale * kLog2E;

  // Candidates are in the place of pages, which are made of them.
  uint32_t* const candidates = row.pages;
  const int64_t count = find_candidates(row, candidates);
  sync_threads();
  bool ranks = rule != MJ_RANDOM;
  int64_t base = 0;
  if (rule == MJ_TOP_K) {
    const bool pages = uses_scorer(MJ_SCORER_PAGE_BOUND) && kind == MJ_SCORER_PAGE_BOUND;
    int64_t n = numbers.count, available = count;
    if (pages) {
      const int page = launch.scorer.numbers[0];
      const int64_t budget = n > 0 ? n / page : 0;
      n = budget > launch.min_pages ? budget : launch.min_pages;
      const int all = static_cast<int>((row.attention()->kv_len + page - 1) / page);
      copy_set(row, candidates, row.undecided);
      sync_threads();
      ranking.page = page;
      ranking.keys_by_page = false;
      ranking.groups = (all + mj_select_group - 1) / mj_select_group;
      ranking.count = all;
      ranking.chosen = row.chosen_pages;
      available = find_pages(row, row.undecided, page, all, ranking.groups);
      sync_threads();
    }
    if (n <= 0 || n >= available) {
      if (n <= 0) {
        clear_set(row, set);
      } else {
        copy_set(row, pages ? row.undecided : candidates, set);
      }
      ranks = false;
    }
    ranking.target = static_cast<uint64_t>(n - 1);
  } else if (count == 0) {
    clear_set(row, set);
    ranks = false;
  } else if (rule == MJ_RANDOM) {
    choose_random(row, launch.sample_key, numbers.fractions[0], set);
  } else if (rule == MJ_ADAPTIVE) {
    if (count < 2) {
      copy_set(row, candidates, set);
      ranks = false;
    } else {
      base = numbers.count;
      if (base < 0) base = static_cast<int64_t>(numbers.fractions[0] * static_cast<float>(count));
      base = base < 2 ? 2 : base > count ? count : base;
      choose_random(row, launch.base_key, static_cast<float>(base) / static_cast<float>(count),
                    row.pages);
      for_each_group(row.groups, [&](int group) __attribute__((always_inline)) {
        sync_warp();
        store_group(row.pages, group, load_group(row.pages, group) | load_group(row.active, group));
      });
    }
  }
  float rate = rule == MJ_RANDOM ? numbers.fractions[0] : 1.0f;
  if (ranks) {
    if (kind != MJ_SCORER_LOGITS) prepare_scorer(row, stage);
    const Moments moments = rank(row, ranking);
    if (uses_rule(MJ_ADAPTIVE) && rule == MJ_ADAPTIVE) {
      const int64_t budget =
          adaptive_budget(moments, count, base, numbers.fractions[1], numbers.fractions[2]);
      rate = static_cast<float>(budget) / static_cast<float>(count);
      choose_random(row, launch.sample_key, rate, set);
    }
    if (ranking.page != 0) {
      find_candidates(row, row.undecided);
      sync_threads();
      choose_of_pages(row, row.undecided, static_cast<int>(ranking.page), set);
    }
  }
  if (weighs() && rule != MJ_MAGIC_PIG && thread_index() == 0)
    numbers_of(row.args, row.index, stage)[0] = rate;
  sync_threads();
  for_each_group(row.groups, [&](int group) __attribute__((always_inline)) {
    const Words4 active = load_group(row.active, group) | load_group(set, group);
    sync_warp();
    store_group(row.active, group, active);
  });
}

MJ_INLINE void run_stages(const SelectRow& row) {
  find_allowed(row);
  MJ_ROLL
  for (int stage = 0; stage < mj_stage_count; ++stage) {
    sync_threads();
    if (rule_of(stage) == MJ_STATIC) {
      run_static(row, stage);
    } else {
      run_selector(row, stage);
    }
  }
  sync_threads();
}

// --- The kernel mj_select. Grid: any number of blocks; each takes one row after the other.

MJ_INLINE SelectRow start_row(const MjSelectArgs* args, int64_t index) {
  const MjAttentionArgs* attention = &args->device.attention;
  const int num_heads = static_cast<int>(attention->num_heads);
  const MjSelectPlan& plan = args->plan;
  SelectRow row;
  row.args = args;
  row.index = index;
  row.query = plan.first_query + static_cast<int>(index % plan.query_count);
  row.head = static_cast<int>(index / plan.query_count % num_heads);
  row.batch = static_cast<int>(index / plan.query_count / num_heads);
  row.kv_head = row.head / (num_heads / static_cast<int>(attention->num_kv_heads));
  row.position = row.query + static_cast<int>(attention->q_offset);
  row.groups = plan.words / kGroupWords;
  row.additive = nullptr;
  if (mj_additive != MJ_NONE)
    row.additive = row_of(attention->additive, mj_additive, row.batch, row.head, row.query);
  row.wide_keys = is_wide(attention->key, mj_element, mj_head_dim);
  row.active = sets_of(args, index);
  char* temporary = plan.temporary + block_index() * plan.temporary_bytes;
  uint32_t* sets = reinterpret_cast<uint32_t*>(temporary);
  row.allowed = sets;
  row.undecided = sets + plan.words;
  row.chosen = sets + int64_t{2} * plan.words;
  row.pages = sets + int64_t{3} * plan.words;
  row.chosen_pages = sets + int64_t{4} * plan.words;
  row.scratch = shared_base();
  row.queries = row.scratch + kSelectScratchBytes;
  row.bins = row.queries + static_cast<uint32_t>(select_query_bytes(mj_head_dim));
  const int prepared = static_cast<int>(row.bins - row.scratch) + select_bin_bytes(uses_mass());
  row.prepared = plan.prepared_shared != 0
                     ? (char*)(&mj_shared_memory[prepared])  // a generic address
                     : temporary + int64_t{mj_temporary_sets} * plan.words * 4;
  return row;
}

// `finish(row)` is called where the stages of a row are done.
template <typename Finish>
MJ_INLINE void select_rows(const MjSelectArgs* args, const Finish& finish) {
  const MjAttentionArgs* attention = &args->device.attention;
  const int64_t rows = attention->batch_size * attention->num_heads * args->plan.query_count;
  MJ_ROLL
  for (int64_t index = block_index(); index < rows; index += __nvvm_read_ptx_sreg_nctaid_x()) {
    const SelectRow row = start_row(args, index);
    const char* query = row_of(attention->query, mj_element, row.batch, row.head, row.query);
    MJ_ROLL
    for (int d = thread_index(); d < mj_head_dim; d += mj_select_threads)
      store_shared<float>(row.queries + static_cast<uint32_t>(d * 4),
                          load_element(query, d, mj_element));
    run_stages(row);
    finish(row);
  }
}

}  // namespace mj
