#pragma once
// A few channels of each key (double sparsity), quantised or as they are.
#include "kernels_templates/host/microkernels/scorers_common.h"

namespace mj {
namespace {

struct ChannelNumbers {
  int32_t count, bits, element;
  MJ_MEMBER explicit ChannelNumbers(const MjScorer* s)
      : count(s->numbers[0]), bits(s->numbers[1]), element(s->numbers[2]) {}
};

// f32 sum of the query's channels in a vector of its own, the channels, then the strips 0, 1, ...
MJ_OUTLINE void prepare_channels(const MjScorer* scorer, int32_t head, const float* query,
                                 void* prepared) {
  const ChannelNumbers n(scorer);
  const int32_t* table = reinterpret_cast<const int32_t*>(index_row(scorer->rows[2], 0, head, 0));
  float* total = static_cast<float*>(prepared);
  float* factors = total + kLanes;
  int32_t* strips = reinterpret_cast<int32_t*>(factors + n.count);
  for (int c = 0; c < n.count; ++c) {
    factors[c] = query[table[c]];
    strips[c] = c;
  }
  if (n.bits < 16) {
    const Quantiser quantiser = Quantiser::of(factors, n.count, n.bits);
    for (int c = 0; c < n.count; ++c) factors[c] = quantiser.value(factors[c]);
  }
  total[0] = 0.0f;
  for (int c = 0; c < n.count; ++c) total[0] += factors[c];
}

// Sum of q_c (lo + code_c step) = step * sum of q_c code_c + lo * sum of q_c.
template <int kBits, int kElement>
struct QuantisedChannels {
  static constexpr int kVectors = 4;
  const MjScorer* scorer;
  int32_t batch, head;
  float total;
  const float* factors;

  template <int kCount>
  MJ_MEMBER void run(int64_t row, F32x16* sums) const {
    constexpr int kBytes = kBits == 16 ? 2 : 1;
    const ChannelNumbers n(scorer);
    const char* lanes = index_lane(scorer->rows[0], batch, head, row, kBytes);
#pragma clang loop unroll(full)
    for (int v = 0; v < kCount; ++v) sums[v] = splat(0.0f);
    if constexpr (kBits == 4) {
#pragma clang loop unroll(disable)
      for (int c = 0; c < n.count; c += 2) {
        const F32x16 even = splat(factors[c]);
        const F32x16 odd = splat(c + 1 < n.count ? factors[c + 1] : 0.0f);
#pragma clang loop unroll(full)
        for (int v = 0; v < kCount; ++v) {
          const U32x16 both = load_bytes(lanes + int64_t{c / 2} * mj_index_block + v * kLanes);
          sums[v] = fma(even, to_floats(both & 15u), sums[v]);
          sums[v] = fma(odd, to_floats(both >> 4), sums[v]);
        }
      }
    } else {
#pragma clang loop unroll(disable)
      for (int c = 0; c < n.count; ++c) {
        const F32x16 factor = splat(factors[c]);
        const char* strip = lanes + int64_t{c} * (mj_index_block * kBytes);
#pragma clang loop unroll(full)
        for (int v = 0; v < kCount; ++v)
          sums[v] =
              fma(factor, to_floats(load_codes<kBytes>(strip + v * kLanes * kBytes)), sums[v]);
      }
    }
    const int bytes = element_bytes(kElement);
    const char* ranges = index_lane(scorer->rows[1], batch, head, row, bytes);
    const float per_code = static_cast<float>((1 << n.bits) - 1);
#pragma clang loop unroll(full)
    for (int v = 0; v < kCount; ++v) {
      const F32x16 lo = load_elements(ranges, v * kLanes, kElement);
      const F32x16 hi = load_elements(ranges, mj_index_block + v * kLanes, kElement);
      sums[v] = fma((hi - lo) / splat(per_code), sums[v], lo * splat(total));
    }
  }
};

template <int kElement>
MJ_INLINE void score_channels_of(const MjScorer* scorer, int32_t batch, int32_t head,
                                 const void* prepared, int64_t begin, int32_t count,
                                 float* scores) {
  const ChannelNumbers n(scorer);
  const float total = *static_cast<const float*>(prepared);
  const float* factors = static_cast<const float*>(prepared) + kLanes;
  const int32_t* strips = reinterpret_cast<const int32_t*>(factors + n.count);
  if (n.bits == 16) {
    score_rows(StripSums<kElement>{&scorer->rows[0], batch, head, n.count, factors, strips}, begin,
               count, scores);
  } else if (n.bits <= 4) {
    score_rows(QuantisedChannels<4, kElement>{scorer, batch, head, total, factors}, begin, count,
               scores);
  } else if (n.bits <= 8) {
    score_rows(QuantisedChannels<8, kElement>{scorer, batch, head, total, factors}, begin, count,
               scores);
  } else {
    score_rows(QuantisedChannels<16, kElement>{scorer, batch, head, total, factors}, begin, count,
               scores);
  }
}

MJ_OUTLINE void score_channels(const MjScorer* scorer, int32_t batch, int32_t head,
                               const void* prepared, int64_t begin, int32_t count, float* scores) {
  MJ_FOR_ELEMENT(scorer->numbers[2],
                 score_channels_of<kElement>(scorer, batch, head, prepared, begin, count, scores));
}

MJ_OUTLINE void index_channels(const MjScorer* scorer, int32_t batch, int32_t head,
                               const char* keys, int64_t row_bytes, int64_t begin, int64_t end,
                               void* scratch) {
  const ChannelNumbers n(scorer);
  const int32_t* table = reinterpret_cast<const int32_t*>(index_row(scorer->rows[2], 0, head, 0));
  float* chosen = static_cast<float*>(scratch);
  for (int64_t k = begin; k < end; ++k) {
    const char* row = keys + k * row_bytes;
    char* block = index_row(scorer->rows[0], batch, head, k / mj_index_block);
    const int64_t lane = k % mj_index_block;
    for (int c = 0; c < n.count; ++c) chosen[c] = load_element(row, table[c], n.element);
    if (n.bits == 16) {
      for (int c = 0; c < n.count; ++c)
        store_element(block, int64_t{c} * mj_index_block + lane, chosen[c], n.element);
      continue;
    }
    float lo = chosen[0], hi = chosen[0];
    for (int c = 1; c < n.count; ++c) {
      lo = chosen[c] < lo ? chosen[c] : lo;
      hi = chosen[c] > hi ? chosen[c] : hi;
    }
    const Quantiser quantiser = Quantiser::of(lo, hi, n.bits);
    for (int c = 0; c < n.count; ++c)
      store_code(block, c, n.bits, lane, static_cast<uint32_t>(quantiser.code(chosen[c])));
    char* ranges = index_row(scorer->rows[1], batch, head, k / mj_index_block);
    store_element(ranges, lane, lo, n.element);
    store_element(ranges, mj_index_block + lane, hi, n.element);
  }
}

}  // namespace
}  // namespace mj
