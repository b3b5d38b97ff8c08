#pragma once
// One scan after the other over the scores of a set of items (keys, or pages), which are computed
// anew each time: histograms of the digits of ordered scores find the threshold of the n best, or
// of a share of the mass, and the items are divided by it. masker_dsl/interp/selection.h says what
// is wanted.
#include "kernels_templates/nvptx/select/products.h"
#include "kernels_templates/nvptx/select/sampling.h"
#include "kernels_templates/nvptx/select/scorers.h"
#include "kernels_templates/nvptx/select/selected.h"

namespace mj {

enum class Want {
  Best,      // the n best: `target` = n - 1
  Mass,      // those above the threshold of a share of the sum of u
  Positive,  // those with a positive score
  Moments,   // no items: sums of u
};

struct Ranking {
  Want want;
  int stage, scorer;
  int64_t page;       // items are pages where it is not 0
  bool keys_by_page;  // items are keys that have the scores of their pages
  const uint32_t* items;
  int groups;  // of items
  int count;   // of items, those that are in no set included
  uint32_t* chosen;
  uint64_t target;  // Best
  float share;      // Mass
  float factor;     // from scores to base-2 exponents
};

// Scores as unsigned integers of the same order; both zeros are one value, NaN is the highest.
MJ_INLINE uint32_t ordered(float score) {
  const uint32_t bits = __builtin_bit_cast(uint32_t, score + 0.0f);
  const uint32_t sign = static_cast<uint32_t>(static_cast<int32_t>(bits) >> 31);
  return score != score ? 0xFFFFFFFFu : bits ^ (sign | 0x80000000u);
}

// Three digits of 11, 11 and 10 bits.
constexpr int kDigits = 3;
MJ_INLINE uint32_t digit(uint32_t value, int level) {
  const int shift = level == 0 ? 21 : level == 1 ? 10 : 0;
  return value >> shift & (level == 2 ? 1023u : 2047u);
}

MJ_INLINE bool uses_mass() { return uses_rule(MJ_TOP_P); }
MJ_INLINE uint32_t bin_at(const SelectRow& row, uint32_t bin) {
  return row.bins + bin * (uses_mass() ? 8 : 4);
}

MJ_INLINE void clear_bins(const SelectRow& row) {
  const int words = mj::select_bin_bytes(uses_mass()) / 16;
  MJ_ROLL
  for (int i = thread_index(); i < words; i += mj_select_threads)
    store_shared<Words4>(row.bins + static_cast<uint32_t>(i * 16), Words4{0, 0, 0, 0});
}

MJ_INLINE void add_to_bin(const SelectRow& row, uint32_t bin, uint64_t amount) {
  const uint32_t at = bin_at(row, bin);
  if (uses_mass()) {
    asm volatile("red.shared.add.u64 [%0], %1;" ::"r"(at), "l"(amount) : "memory");
  } else {
    asm volatile("red.shared.add.u32 [%0], %1;" ::"r"(at), "r"(static_cast<uint32_t>(amount))
                 : "memory");
  }
}
MJ_INLINE uint64_t load_bin(const SelectRow& row, uint32_t bin) {
  if (uses_mass()) return load_shared<uint64_t>(bin_at(row, bin));
  return load_shared<uint32_t>(bin_at(row, bin));
}

// The bin at which the sum from the highest one on exceeds the target.
struct Bin {
  bool found;
  uint32_t bin;
  uint64_t above;  // the sum of the bins above
  uint64_t inside;
};
MJ_INLINE Bin find_bin(const SelectRow& row, uint64_t target) {
  constexpr int kEach = mj_select_bins / mj_select_threads;
  const uint32_t highest = static_cast<uint32_t>(mj_select_bins - 1 - thread_index() * kEach);
  uint64_t bins[kEach], all = 0;
  MJ_UNROLL
  for (int i = 0; i < kEach; ++i) {
    bins[i] = load_bin(row, highest - static_cast<uint32_t>(i));
    all += bins[i];
  }
  // Sums of warps are at the start of the scratch memory, the result behind them.
  const uint32_t result = row.scratch + kSelectWarps * 8;
  uint64_t before = sum_before(all);
  if (lane_index() == kWarp - 1)
    store_shared<uint64_t>(row.scratch + static_cast<uint32_t>(warp_index() * 8), before + all);
  if (thread_index() == 0) store_shared<uint64_t>(result, ~uint64_t{0});
  sync_threads();
  MJ_ROLL
  for (int w = 0; w < warp_index(); ++w)
    before += load_shared<uint64_t>(row.scratch + static_cast<uint32_t>(w * 8));
  if (before <= target && target < before + all) {
    int i = 0;
    uint64_t inside = bins[0];
    MJ_UNROLL
    for (int next = 1; next < kEach; ++next) {
      if (i == next - 1 && target >= before + inside) {
        before += inside;
        inside = bins[next];
        i = next;
      }
    }
    store_shared<uint64_t>(result, highest - static_cast<uint32_t>(i));
    store_shared<uint64_t>(result + 8, before);
    store_shared<uint64_t>(result + 16, inside);
  }
  sync_threads();
  Bin found;
  const uint64_t bin = load_shared<uint64_t>(result);
  found.found = bin != ~uint64_t{0};
  found.bin = static_cast<uint32_t>(bin);
  found.above = found.found ? load_shared<uint64_t>(result + 8) : 0;
  found.inside = found.found ? load_shared<uint64_t>(result + 16) : 0;
  sync_threads();
  return found;
}

// Of the items of a group, those in `bits` at least; of others anything. Where scores are exact,
// the products that they are made of, too.
MJ_INLINE void score_group(const SelectRow& row, const Ranking& ranking, int group, Words4 bits,
                           float* scores, float* products) {
  MJ_UNROLL
  for (int u = 0; u < kGroupWords; ++u) scores[u] = products[u] = 0.0f;
  const int first = group * mj_select_group + lane_index();
  if (uses_scorer(MJ_SCORER_LOGITS) && ranking.scorer == MJ_SCORER_LOGITS) {
    MJ_UNROLL
    for (int u = 0; u < kGroupWords; ++u) {
      if (bits[u] == 0) continue;
      products[u] = products_of_word(row, group * kGroupWords + u, bits[u]);
      scores[u] = score_of_product(row, first + u * 32, products[u]);
    }
    return;
  }
  const MjScorer& scorer = row.args->stages[ranking.stage].scorer;
  Items items;
  MJ_UNROLL
  for (int u = 0; u < kGroupWords; ++u) {
    const int item = smaller(first + u * 32, ranking.count - 1);
    items.item[u] = ranking.keys_by_page ? item / static_cast<int>(scorer.numbers[0]) : item;
  }
  if (uses_scorer(MJ_SCORER_PAGE_BOUND) && ranking.scorer == MJ_SCORER_PAGE_BOUND)
    score_pages(row, scorer, items, scores);
  if (uses_scorer(MJ_SCORER_CHANNELS) && ranking.scorer == MJ_SCORER_CHANNELS)
    score_channels(row, scorer, items, scores);
  if (uses_scorer(MJ_SCORER_HASH_BITS) && ranking.scorer == MJ_SCORER_HASH_BITS)
    score_hash(row, scorer, items, scores);
  if (uses_scorer(MJ_SCORER_PQ_CODES) && ranking.scorer == MJ_SCORER_PQ_CODES)
    score_pq(row, scorer, items, scores);
  if (uses_scorer(MJ_SCORER_LSH) && ranking.scorer == MJ_SCORER_LSH)
    score_lsh(row, scorer, items, scores);
}

// Of the undecided items the first `count`, in order, are chosen, too. By one warp.
MJ_INLINE void choose_first(const SelectRow& row, const Ranking& ranking, uint64_t count) {
  if (warp_index() != 0) return;
  const int words = ranking.groups * kGroupWords;
  uint64_t before = 0;
  MJ_ROLL
  for (int first = 0; first < words && before < count; first += kWarp) {
    const int word = first + lane_index();
    uint32_t bits = word < words ? row.undecided[word] : 0;
    const auto here = static_cast<uint32_t>(__builtin_popcount(bits));
    const uint32_t of_lanes = sum_before(here);
    const uint64_t at = before + of_lanes;
    const uint64_t left = at < count ? count - at : 0;
    uint32_t kept = bits;
    if (left < here) {
      kept = 0;
      MJ_ROLL
      for (uint64_t i = 0; i < left; ++i) {
        kept |= bits & (0u - bits);
        bits &= bits - 1;
      }
    }
    if (kept != 0) ranking.chosen[word] |= kept;
    before += static_cast<uint32_t>(shuffle_from(static_cast<int>(of_lanes + here), kWarp - 1));
  }
}

// Divides the items. What it writes is there for the whole block when it returns.
MJ_INLINE Moments rank(const SelectRow& row, Ranking& ranking) {
  Moments moments = {0.0, 0.0, 0.0, 0};
  const bool needs_maximum = ranking.want == Want::Mass || ranking.want == Want::Moments;
  const float mass_unit =
      __builtin_bit_cast(float, static_cast<uint32_t>(127 + row.args->plan.mass_shift) << 23);
  uint64_t target = ranking.target;
  uint32_t bin = 0;
  float base = 0.0f;
  // Everything that reaches the bin is chosen, nothing stays undecided.
  bool inclusive = ranking.want == Want::Positive;
  // Pass -1 finds the maximum, passes 0 to 2 a digit of the threshold each; pass i > 0 divides by
  // the digit before.
  MJ_ROLL
  for (int pass = needs_maximum ? -1 : ranking.want == Want::Positive ? 1 : 0;; ++pass) {
    const bool counts = pass >= 0 && pass < kDigits && !inclusive && ranking.want != Want::Moments;
    if (counts) clear_bins(row);
    sync_threads();
    const uint32_t* from = pass > 1 ? row.undecided : ranking.items;
    float largest = kNegativeInfinity;
    for_each_group(ranking.groups, [&](int group) __attribute__((always_inline)) {
      const Words4 bits = load_group(from, group);
      if (is_empty_group(bits)) {
        if (pass == 1) {
          store_group(ranking.chosen, group, bits);
          store_group(row.undecided, group, bits);
        }
        return;
      }
      float scores[kGroupWords], products[kGroupWords];
      score_group(row, ranking, group, bits, scores, products);
      Words4 above, same;
      MJ_UNROLL
      for (int u = 0; u < kGroupWords; ++u) {
        const bool in = has_bit(bits[u], lane_index());
        const float score = scores[u];
        if (pass < 0) {
          if (in) largest = __builtin_fmaxf(largest, score * ranking.factor);
          continue;
        }
        const float exponential =
            needs_maximum ? exp2_approx(__builtin_fmaf(score, ranking.factor, -base)) : 0.0f;
        if (uses_rule(MJ_ADAPTIVE) && ranking.want == Want::Moments) {
          const int key = group * mj_select_group + u * 32 + lane_index();
          const double e = static_cast<double>(exponential);
          if (in && has_bit(row.active[key / 32], lane_index())) {
            double weight = 1.0;
            if (weighs()) {
              const SelectedRow at = {row.index, row.batch, row.head, row.kv_head, row.position};
              weight = static_cast<double>(
                  selected_weight(row.args, at, key, ranking.stage,
                                  [&]() __attribute__((always_inline)) { return products[u]; }));
            }
            moments.active += e / weight;
          } else if (in) {
            moments.sum += e;
            moments.squares += e * e;
            ++moments.sampled;
          }
          continue;
        }
        const uint32_t value = ordered(score);
        bool is_above = false, is_same = in;
        if (pass > 0) {
          const uint32_t before = digit(value, pass - 1);
          is_above = in && (inclusive ? before >= bin : before > bin);
          is_same = in && !inclusive && before == bin;
          if (ranking.want == Want::Positive) is_above = in && score > 0.0f;
          above[u] = vote(is_above);
          same[u] = vote(is_same);
        }
        if (counts && is_same) {
          const uint64_t amount =
              ranking.want == Want::Mass ? static_cast<uint64_t>(exponential * mass_unit) : 1;
          add_to_bin(row, digit(value, pass), amount);
        }
      }
      if (pass <= 0) return;
      if (pass > 1) above |= load_group(ranking.chosen, group);
      store_group(ranking.chosen, group, above);
      store_group(row.undecided, group, same);
    });
    if (pass < 0) {
      const float m = maximum_of_block(largest, row.scratch);
      base = m == kNegativeInfinity ? 0.0f : m;
      continue;
    }
    if (ranking.want == Want::Moments) {
      moments.sum = sum_of_block(moments.sum, row.scratch);
      moments.squares = sum_of_block(moments.squares, row.scratch);
      moments.active = sum_of_block(moments.active, row.scratch);
      moments.sampled = sum_of_block(moments.sampled, row.scratch);
      return moments;
    }
    sync_threads();  // sets and bins are there
    if (inclusive || pass == kDigits) break;
    if (pass == 0 && ranking.want == Want::Mass) {
      // The sum from the best on must exceed the share of all of it.
      uint64_t all = 0;
      MJ_ROLL
      for (int i = thread_index(); i < mj_select_bins; i += mj_select_threads)
        all += load_bin(row, static_cast<uint32_t>(i));
      all = sum_of_block(all, row.scratch);
      target = static_cast<uint64_t>(static_cast<double>(all) * static_cast<double>(ranking.share));
    }
    const Bin found = find_bin(row, target);
    if (!found.found) {  // no threshold exceeds the share: everything
      bin = 0;
      inclusive = true;
      continue;
    }
    bin = found.bin;
    target -= found.above;
    inclusive = ranking.want == Want::Best ? target + 1 == found.inside : pass == kDigits - 1;
  }
  if (inclusive) return moments;
  choose_first(row, ranking, target + 1);
  sync_threads();
  return moments;
}

}  // namespace mj
