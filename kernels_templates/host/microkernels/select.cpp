#include "kernels_templates/host/microkernels/select.h"

#include "kernels_templates/host/common/exp2.h"
#include "kernels_templates/host/common/philox.h"
#include "kernels_templates/host/common/products.h"
#include "kernels_templates/include/select_math.h"

namespace mj {
namespace {

// --- Sets of keys.

typedef bool BoolLanes __attribute__((ext_vector_type(16)));

// Lane i as bit i.
MJ_INLINE uint64_t bits_of_lanes(I32x16 lanes) {
  return __builtin_bit_cast(uint16_t, __builtin_convertvector(lanes, BoolLanes));
}

// visit(key) for the keys of the set, ascending.
template <typename Visit>
MJ_INLINE void for_each_key(const uint64_t* bits, int64_t words, const Visit& visit) {
  for (int64_t w = 0; w < words; ++w) {
    for (uint64_t rest = bits[w]; rest != 0; rest &= rest - 1)
      visit(w * 64 + __builtin_ctzll(rest));
  }
}

int64_t count_bits(const uint64_t* bits, int64_t words) {
  int64_t count = 0;
  for (int64_t w = 0; w < words; ++w) count += __builtin_popcountll(bits[w]);
  return count;
}

// --- Scores as unsigned integers of the same order; both zeros are one value, NaN is the highest.

MJ_INLINE U32x16 ordered(F32x16 score) {
  const U32x16 bits = as_words(score + splat(0.0f));
  const U32x16 sign = __builtin_bit_cast(U32x16, __builtin_bit_cast(I32x16, bits) >> 31);
  const U32x16 mapped = bits ^ (sign | 0x80000000u);
  return score != score ? U32x16(0xFFFFFFFFu) : mapped;
}

// What the rules work on: the candidates' scores side by side.
int64_t list_ordered(const float* scores, const uint64_t* candidates, int64_t words,
                     uint32_t* out) {
  int64_t count = 0;
  for (int64_t w = 0; w < words; ++w) {
    const uint64_t bits = candidates[w];
    if (bits == 0) continue;
    uint32_t lanes[64];
    uint32_t* to = bits == ~uint64_t{0} ? out + count : lanes;
    for (int v = 0; v < 4; ++v)
      store_words(to + v * kLanes, ordered(load(scores + w * 64 + v * kLanes)));
    if (to == lanes) {
      uint32_t* next = out + count;
      for (uint64_t rest = bits; rest != 0; rest &= rest - 1)
        *next++ = lanes[__builtin_ctzll(rest)];
    }
    count += __builtin_popcountll(bits);
  }
  return count;
}

constexpr int kDigitBits[3] = {11, 11, 10};
constexpr int kBins = 2048;

MJ_INLINE int digit_shift(int level) { return level == 0 ? 21 : level == 1 ? 10 : 0; }

MJ_INLINE uint32_t digit(uint32_t value, int level) {
  return value >> digit_shift(level) & ((1u << kDigitBits[level]) - 1);
}

// Keeps the values whose digit is `bin`.
int64_t keep_bin(uint32_t* values, int64_t count, int level, uint32_t bin) {
  int64_t kept = 0;
  for (int64_t i = 0; i < count; ++i) {
    values[kept] = values[i];
    kept += digit(values[i], level) == bin ? 1 : 0;
  }
  return kept;
}

// The n-th largest of `count` values, 1 <= n <= count; *equal: how many of the n are equal to it.
// Destroys the list.
uint32_t nth_largest(uint32_t* values, int64_t count, int64_t n, int64_t* equal) {
  uint32_t prefix = 0;
  for (int level = 0; level < 3; ++level) {
    // Two tables: neighbours that are equal do not wait for each other.
    uint32_t bins[2][kBins] = {};
    for (int64_t i = 0; i + 1 < count; i += 2) {
      ++bins[0][digit(values[i], level)];
      ++bins[1][digit(values[i + 1], level)];
    }
    if ((count & 1) != 0) ++bins[0][digit(values[count - 1], level)];
    uint32_t bin = kBins - 1;
    for (;; --bin) {
      const int64_t here = int64_t{bins[0][bin]} + bins[1][bin];
      if (n <= here) break;
      n -= here;
    }
    count = keep_bin(values, count, level, bin);
    prefix |= bin << digit_shift(level);
  }
  *equal = n;
  return prefix;
}

// Of the candidates those above the threshold, and the first `equal` of those that reach it.
void choose_from(const float* scores, const uint64_t* candidates, int64_t words, uint32_t threshold,
                 int64_t equal, uint64_t* chosen) {
  for (int64_t w = 0; w < words; ++w) {
    chosen[w] = 0;
    if (candidates[w] == 0) continue;
    uint64_t above = 0, same = 0;
    for (int v = 0; v < 4; ++v) {
      const U32x16 values = ordered(load(scores + w * 64 + v * kLanes));
      above |= bits_of_lanes(__builtin_bit_cast(I32x16, values > threshold)) << (v * kLanes);
      same |= bits_of_lanes(__builtin_bit_cast(I32x16, values == threshold)) << (v * kLanes);
    }
    same &= candidates[w];
    chosen[w] = above & candidates[w];
    if (__builtin_popcountll(same) <= equal) {
      chosen[w] |= same;
      equal -= __builtin_popcountll(same);
      continue;
    }
    for (; equal > 0; --equal) {
      chosen[w] |= same & -same;
      same &= same - 1;
    }
  }
}

// The largest threshold such that values at or above it have more than `share` of all mass; false
// if there is none.
bool mass_threshold(uint32_t* values, float* mass, int64_t count, float share,
                    uint32_t* threshold) {
  double total = 0, above = 0;
  for (int64_t i = 0; i < count; ++i) total += mass[i];
  const double wanted = total * double{share};
  uint32_t prefix = 0;
  for (int level = 0; level < 3; ++level) {
    double bins[kBins] = {};
    bool used[kBins] = {};
    for (int64_t i = 0; i < count; ++i) {
      const uint32_t d = digit(values[i], level);
      bins[d] += mass[i];
      used[d] = true;
    }
    int lowest = 0;
    while (!used[lowest]) ++lowest;
    int found = -1;
    for (int bin = kBins - 1; bin >= lowest && found < 0; --bin) {
      // Within a bin that was found, rounding may keep its parts from reaching what it reached.
      if (above + bins[bin] > wanted || (level > 0 && bin == lowest)) {
        found = bin;
      } else {
        above += bins[bin];
      }
    }
    if (found < 0) return false;
    int64_t kept = 0;
    for (int64_t i = 0; i < count; ++i) {
      if (digit(values[i], level) != static_cast<uint32_t>(found)) continue;
      values[kept] = values[i];
      mass[kept++] = mass[i];
    }
    count = kept;
    prefix |= static_cast<uint32_t>(found) << digit_shift(level);
  }
  *threshold = prefix;
  return true;
}

// What a standard normal variable exceeds with probability p, by Newton's method.
double normal_quantile_above(double p) {
  if (p > 0.5) return -normal_quantile_above(1.0 - p);
  double z = normal_quantile_start(__builtin_sqrt(-2.0 * __builtin_log(p)));
  for (int i = 0; i < 3; ++i) {
    const double density = __builtin_exp(-0.5 * z * z) * 0.39894228040143267794;
    z += (0.5 * __builtin_erfc(z * 0.70710678118654752440) - p) / density;
  }
  return z;
}

// Rows that are read here and there are asked for before they are needed: memory answers many at
// once.
MJ_INLINE void prefetch_row(const char* row, int64_t bytes) {
#pragma clang loop unroll(disable) vectorize(disable)
  for (int64_t at = 0; at < bytes; at += 64) __builtin_prefetch(row + at);
}

// Sixteen keys of a set.
struct Batch {
  const void* rows[16];
  int64_t keys[16];
  int count;
};

template <int kElement>
void dot_bits(const float* query, const char* first, int64_t row_bytes, int head_dim,
              const uint64_t* bits, int64_t words, float* x) {
  const int64_t used_bytes = int64_t{head_dim} * element_bytes(kElement);
  Batch batches[2];
  batches[0].count = batches[1].count = 0;
  int current = 0;
  const auto finish = [&](Batch& batch) __attribute__((always_inline)) {
    if (batch.count == 0) return;
    for (int i = batch.count; i < 16; ++i) batch.rows[i] = batch.rows[0];
    float dots[16];
    store(dots, products<kElement>(query, batch.rows, head_dim));
    for (int i = 0; i < batch.count; ++i) x[batch.keys[i]] = dots[i];
    batch.count = 0;
  };
  for (int64_t w = 0; w < words; ++w) {
    for (uint64_t rest = bits[w]; rest != 0; rest &= rest - 1) {
      Batch& batch = batches[current];
      const int64_t key = w * 64 + __builtin_ctzll(rest);
      const char* row = first + key * row_bytes;
      prefetch_row(row, used_bytes);
      batch.rows[batch.count] = row;
      batch.keys[batch.count] = key;
      if (++batch.count < 16) continue;
      // The rows of the batch before have had the time of this one to arrive.
      current ^= 1;
      finish(batches[current]);
    }
  }
  finish(batches[current ^ 1]);
  finish(batches[current]);
}

constexpr int kAhead = 12;  // rows between asking for one and reading it

// The sums of kCount vectors of columns from d on over all keys.
template <int kElement, int kCount>
MJ_INLINE void add_listed_columns(const char* first, int64_t row_bytes, int head_dim_v,
                                  const int32_t* keys, const float* weights, int64_t count, int d,
                                  float* sums) {
  F32x16 part[kCount];
#pragma clang loop unroll(full)
  for (int v = 0; v < kCount; ++v) part[v] = load(sums + d + v * kLanes);
#pragma clang loop unroll(disable)
  for (int64_t i = 0; i < count; ++i) {
    if (i + kAhead < count && d == 0) {
      prefetch_row(first + keys[i + kAhead] * row_bytes,
                   int64_t{head_dim_v} * element_bytes(kElement));
    }
    const char* row = first + keys[i] * row_bytes;
    const F32x16 weight = splat(weights[i]);
#pragma clang loop unroll(full)
    for (int v = 0; v < kCount; ++v)
      part[v] = fma(weight, load_columns(row, d + v * kLanes, head_dim_v, kElement), part[v]);
  }
#pragma clang loop unroll(full)
  for (int v = 0; v < kCount; ++v) store(sums + d + v * kLanes, part[v]);
}

template <int kElement>
void add_value_list(const char* first, int64_t row_bytes, int head_dim_v, const int32_t* keys,
                    const float* weights, int64_t count, float* sums) {
  const int columns = round_up(head_dim_v, kLanes);
  int d = 0;
  for (; d + 8 * kLanes <= columns; d += 8 * kLanes)
    add_listed_columns<kElement, 8>(first, row_bytes, head_dim_v, keys, weights, count, d, sums);
  for (; d + 2 * kLanes <= columns; d += 2 * kLanes)
    add_listed_columns<kElement, 2>(first, row_bytes, head_dim_v, keys, weights, count, d, sums);
  for (; d < columns; d += kLanes)
    add_listed_columns<kElement, 1>(first, row_bytes, head_dim_v, keys, weights, count, d, sums);
}

}  // namespace
}  // namespace mj

extern "C" {

int64_t mj_count_bits(const uint64_t* bits, int64_t words) { return mj::count_bits(bits, words); }

int64_t mj_list_bits(const uint64_t* bits, int64_t words, int32_t* keys) {
  int64_t count = 0;
  mj::for_each_key(bits, words, [&](int64_t key) { keys[count++] = static_cast<int32_t>(key); });
  return count;
}

// Scores side by side and what they weigh; a set of pages.
int64_t mj_select_scratch(int64_t words) {
  return (words * 64 + 64) * 8 + mj::round_up64((words + 1) * 16, 64);
}

void mj_choose_top_k(const float* scores, const uint64_t* candidates, int64_t words, int64_t n,
                     uint64_t* chosen, void* scratch) {
  using namespace mj;
  const int64_t count = count_bits(candidates, words);
  if (n <= 0 || n >= count) {
    for (int64_t w = 0; w < words; ++w) chosen[w] = n <= 0 ? 0 : candidates[w];
    return;
  }
  uint32_t* values = static_cast<uint32_t*>(scratch);
  list_ordered(scores, candidates, words, values);
  int64_t equal = 0;
  const uint32_t threshold = nth_largest(values, count, n, &equal);
  choose_from(scores, candidates, words, threshold, equal, chosen);
}

void mj_choose_pages(const float* scores, int64_t page, const uint64_t* candidates, int64_t words,
                     int64_t n, uint64_t* chosen, void* scratch) {
  using namespace mj;
  // Pages are at least one key: their sets fit where those of keys do.
  uint64_t* with_candidates = static_cast<uint64_t*>(scratch);
  uint64_t* chosen_pages = with_candidates + words + 1;
  void* rest = static_cast<char*>(scratch) + round_up64((words + 1) * 16, 64);
  const int64_t pages = (words * 64 + page - 1) / page;
  const int64_t page_words = (pages + 63) / 64;
  for (int64_t w = 0; w < page_words; ++w) with_candidates[w] = 0;
  for_each_key(candidates, words, [&](int64_t key) {
    with_candidates[key / page / 64] |= uint64_t{1} << (key / page % 64);
  });
  mj_choose_top_k(scores, with_candidates, page_words, n, chosen_pages, rest);
  for (int64_t w = 0; w < words; ++w) chosen[w] = 0;
  for_each_key(candidates, words, [&](int64_t key) {
    const uint64_t taken = chosen_pages[key / page / 64] >> (key / page % 64) & 1;
    chosen[key / 64] |= taken << (key % 64);
  });
}

void mj_choose_top_p(const float* scores, float factor, const uint64_t* candidates, int64_t words,
                     float p, uint64_t* chosen, void* scratch) {
  using namespace mj;
  uint32_t* values = static_cast<uint32_t*>(scratch);
  const int64_t count = list_ordered(scores, candidates, words, values);
  float* mass = reinterpret_cast<float*>(values + words * 64 + 64);
  int64_t i = 0;
  for_each_key(candidates, words, [&](int64_t key) { mass[i++] = scores[key]; });
  float largest = kNegativeInfinity;
  for (i = 0; i < count; ++i) largest = mass[i] * factor > largest ? mass[i] * factor : largest;
  for (i = count; i < round_up64(count, kLanes); ++i) mass[i] = kNegativeInfinity;
  for (i = 0; i < count; i += kLanes) {
    store(mass + i, exp2(fma(load(mass + i), splat(factor), splat(-exponent_base(largest)))));
  }
  uint32_t threshold = 0;
  if (count > 0 && mass_threshold(values, mass, count, p, &threshold)) {
    choose_from(scores, candidates, words, threshold, count, chosen);
  } else {
    for (int64_t w = 0; w < words; ++w) chosen[w] = candidates[w];
  }
}

void mj_choose_random(const uint64_t* candidates, int64_t words, float probability,
                      const uint32_t* key, int32_t batch, int32_t head, int64_t query,
                      uint64_t* chosen) {
  using namespace mj;
  const Threshold threshold = threshold_of(probability);
  for (int64_t w = 0; w < words; ++w) {
    chosen[w] = 0;
    if (threshold.none || candidates[w] == 0) continue;
    const Words numbers = draws(w * 64, query, head, batch, key);
    for (int v = 0; v < 4; ++v) {
      const I32x16 taken = __builtin_bit_cast(I32x16, numbers.words[v] <= threshold.last);
      chosen[w] |= bits_of_lanes(taken) << (v * kLanes);
    }
    chosen[w] &= candidates[w];
  }
}

void mj_choose_positive(const float* scores, const uint64_t* candidates, int64_t words,
                        uint64_t* chosen) {
  using namespace mj;
  for (int64_t w = 0; w < words; ++w) {
    chosen[w] = 0;
    if (candidates[w] == 0) continue;
    for (int v = 0; v < 4; ++v) {
      const F32x16 s = load(scores + w * 64 + v * kLanes);
      chosen[w] |= bits_of_lanes(__builtin_bit_cast(I32x16, s > splat(0.0f))) << (v * kLanes);
    }
    chosen[w] &= candidates[w];
  }
}

int64_t mj_adaptive_budget(const float* x, float factor, const uint64_t* active,
                           const float* weights, const uint64_t* sample, int64_t words,
                           int64_t candidates, int64_t base, float epsilon, float delta) {
  using namespace mj;
  const int64_t sampled = count_bits(sample, words);
  if (sampled < 2) return candidates;
  float largest = kNegativeInfinity;
  const auto enlarge = [&](int64_t key) {
    largest = x[key] * factor > largest ? x[key] * factor : largest;
  };
  for_each_key(sample, words, enlarge);
  for_each_key(active, words, enlarge);
  const float reference = exponent_base(largest);
  const auto u = [&](int64_t key) {
    return double{exp2_scalar(__builtin_fmaf(x[key], factor, -reference))};
  };
  Moments moments = {0, 0, 0, static_cast<int>(sampled)};
  for_each_key(sample, words, [&](int64_t key) {
    const double e = u(key);
    moments.sum += e;
    moments.squares += e * e;
  });
  for_each_key(active, words, [&](int64_t key) {
    moments.active += weights == nullptr ? u(key) : u(key) / double{weights[key]};
  });
  return budget_of(moments, candidates, base, epsilon, normal_quantile_above(double{delta} / 2));
}

void mj_dot_bits(const float* query, const void* keys, int64_t row_bytes, int32_t element,
                 int32_t head_dim, const uint64_t* bits, int64_t words, float* x) {
  const char* first = static_cast<const char*>(keys);
  MJ_FOR_ELEMENT(element,
                 mj::dot_bits<kElement>(query, first, row_bytes, head_dim, bits, words, x));
}

void mj_gather(const float* x, const int32_t* keys, int64_t count, float* out) {
  for (int64_t i = 0; i < count; ++i) out[i] = x[keys[i]];
  for (int64_t i = count; i < mj::round_up64(count, mj::kLanes); ++i)
    out[i] = mj::kNegativeInfinity;
}

void mj_add_value_list(const void* values, int64_t row_bytes, int32_t element, int32_t head_dim_v,
                       const int32_t* keys, const float* weights, int64_t count, float* sums) {
  const char* first = static_cast<const char*>(values);
  MJ_FOR_ELEMENT(element, mj::add_value_list<kElement>(first, row_bytes, head_dim_v, keys, weights,
                                                       count, sums));
}

}  // extern "C"
