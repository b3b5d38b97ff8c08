#pragma once
// Bounds of pages of keys. The bound of a page is the sum of max(q_d min_d, q_d max_d): what is not
// quantised needs only the maximum where q_d >= 0 and only the minimum elsewhere.
#include "kernels_templates/host/microkernels/scorers_common.h"

namespace mj {
namespace {

struct PageNumbers {
  int32_t page, bits, element, head_dim;
  MJ_MEMBER explicit PageNumbers(const MjScorer* s)
      : page(s->numbers[0]), bits(s->numbers[1]), element(s->numbers[2]), head_dim(s->numbers[3]) {}
};

// f32 query [D], then which strip each channel reads (not quantised).
MJ_OUTLINE void prepare_pages(const MjScorer* scorer, const float* query, void* prepared) {
  const PageNumbers n(scorer);
  float* factors = static_cast<float*>(prepared);
  int32_t* strips = static_cast<int32_t*>(prepared) + n.head_dim;
  for (int d = 0; d < n.head_dim; ++d) {
    factors[d] = query[d];
    strips[d] = query[d] < 0.0f ? d : n.head_dim + d;
  }
}

// kBits: 4, 8 or 16, what a code takes.
template <int kBits>
struct QuantisedPages {
  static constexpr int kVectors = 2;
  const MjScorer* scorer;
  int32_t batch, head, head_dim;
  const float* query;

  template <int kCount>
  MJ_MEMBER void run(int64_t row, F32x16* sums) const {
    constexpr int kBytes = kBits == 16 ? 2 : 1;
    const char* lanes = index_lane(scorer->rows[0], batch, head, row, kBytes);
    const float* ranges =
        reinterpret_cast<const float*>(index_lane(scorer->rows[1], batch, head, row, 4));
    F32x16 range[4][kCount];
#pragma clang loop unroll(full)
    for (int v = 0; v < kCount; ++v) {
      sums[v] = splat(0.0f);
#pragma clang loop unroll(full)
      for (int i = 0; i < 4; ++i) range[i][v] = load(ranges + i * mj_index_block + v * kLanes);
    }
#pragma clang loop unroll(disable)
    for (int d = 0; d < head_dim; ++d) {
      const F32x16 q = splat(query[d]);
      const char* low = lanes + int64_t{d} * (mj_index_block * kBytes);
      const char* high = low + int64_t{head_dim} * (mj_index_block * kBytes);
#pragma clang loop unroll(full)
      for (int v = 0; v < kCount; ++v) {
        U32x16 a, b;
        if constexpr (kBits == 4) {
          const U32x16 both = load_bytes(low + v * kLanes);
          a = both & 15u;
          b = both >> 4;
        } else {
          a = load_codes<kBytes>(low + v * kLanes * kBytes);
          b = load_codes<kBytes>(high + v * kLanes * kBytes);
        }
        const F32x16 least = fma(to_floats(a), range[1][v], range[0][v]);
        const F32x16 greatest = fma(to_floats(b), range[3][v], range[2][v]);
        sums[v] += max(q * least, q * greatest);
      }
    }
  }
};

MJ_OUTLINE void score_pages(const MjScorer* scorer, int32_t batch, int32_t head,
                            const void* prepared, int64_t begin, int32_t count, float* scores) {
  const PageNumbers n(scorer);
  const float* query = static_cast<const float*>(prepared);
  if (n.bits == 16) {
    const int32_t* strips = static_cast<const int32_t*>(prepared) + n.head_dim;
    MJ_FOR_ELEMENT(n.element, score_rows(StripSums<kElement>{&scorer->rows[0], batch, head,
                                                             n.head_dim, query, strips},
                                         begin, count, scores));
  } else if (n.bits <= 4) {
    score_rows(QuantisedPages<4>{scorer, batch, head, n.head_dim, query}, begin, count, scores);
  } else if (n.bits <= 8) {
    score_rows(QuantisedPages<8>{scorer, batch, head, n.head_dim, query}, begin, count, scores);
  } else {
    score_rows(QuantisedPages<16>{scorer, batch, head, n.head_dim, query}, begin, count, scores);
  }
}

// The same of keys: that of their page.
MJ_OUTLINE void score_keys_by_page(const MjScorer* scorer, int32_t batch, int32_t head,
                                   const void* prepared, int64_t begin, int32_t count,
                                   float* scores) {
  const int64_t page = scorer->numbers[0];
  const int64_t end = begin + count;
  float bounds[mj_index_block];
  int64_t k = begin;
  while (k < end) {
    const int64_t first = k / page;
    const int64_t last = (end - 1) / page;
    const int32_t pages =
        static_cast<int32_t>(last - first + 1 < mj_index_block ? last - first + 1 : mj_index_block);
    score_pages(scorer, batch, head, prepared, first, pages, bounds);
    for (int32_t p = 0; p < pages; ++p) {
      const int64_t page_end = (first + p + 1) * page < end ? (first + p + 1) * page : end;
#pragma clang loop vectorize(disable) unroll(disable)
      for (; k < page_end; ++k) scores[k - begin] = bounds[p];
    }
  }
}

// Minima and maxima of the keys first .. last - 1 of a page, in key order.
template <int kElement>
MJ_INLINE void bounds_of(const char* keys, int64_t row_bytes, int64_t first, int64_t last,
                         int head_dim, float* least, float* greatest) {
  for (int d = 0; d < head_dim; d += kLanes) {
    F32x16 lo = load_columns(keys + first * row_bytes, d, head_dim, kElement);
    F32x16 hi = lo;
#pragma clang loop unroll(disable)
    for (int64_t k = first + 1; k < last; ++k) {
      const F32x16 x = load_columns(keys + k * row_bytes, d, head_dim, kElement);
      lo = x < lo ? x : lo;
      hi = x > hi ? x : hi;
    }
    store(least + vector_start(d, head_dim), lo);
    store(greatest + vector_start(d, head_dim), hi);
  }
}

MJ_OUTLINE void index_pages(const MjScorer* scorer, int32_t batch, int32_t head, const char* keys,
                            int64_t row_bytes, int64_t begin, int64_t end, void* scratch) {
  const PageNumbers n(scorer);
  float* least = static_cast<float*>(scratch);
  float* greatest = least + round_up(n.head_dim, kLanes);
  for (int64_t p = begin / n.page; p * n.page < end; ++p) {
    const int64_t last = (p + 1) * n.page < end ? (p + 1) * n.page : end;
    MJ_FOR_ELEMENT(n.element, bounds_of<kElement>(keys, row_bytes, p * n.page, last, n.head_dim,
                                                  least, greatest));
    char* block = index_row(scorer->rows[0], batch, head, p / mj_index_block);
    const int64_t lane = p % mj_index_block;
    if (n.bits == 16) {
      for (int d = 0; d < n.head_dim; ++d) {
        store_element(block, int64_t{d} * mj_index_block + lane, least[d], n.element);
        store_element(block, (int64_t{n.head_dim} + d) * mj_index_block + lane, greatest[d],
                      n.element);
      }
      continue;
    }
    const Quantiser of_least = Quantiser::of(least, n.head_dim, n.bits);
    const Quantiser of_greatest = Quantiser::of(greatest, n.head_dim, n.bits);
    float* ranges = reinterpret_cast<float*>(index_lane(scorer->rows[1], batch, head, p, 4));
    ranges[0] = of_least.lo;
    ranges[mj_index_block] = of_least.step;
    ranges[2 * mj_index_block] = of_greatest.lo;
    ranges[3 * mj_index_block] = of_greatest.step;
    for (int d = 0; d < n.head_dim; ++d) {
      const int low = n.bits <= 4 ? 2 * d : d;
      const int high = n.bits <= 4 ? 2 * d + 1 : n.head_dim + d;
      store_code(block, low, n.bits, lane, static_cast<uint32_t>(of_least.code(least[d])));
      store_code(block, high, n.bits, lane, static_cast<uint32_t>(of_greatest.code(greatest[d])));
    }
  }
}

}  // namespace
}  // namespace mj
