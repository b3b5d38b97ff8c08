#pragma once
// Product quantisation: a key is a centroid number for each group of channels, its score a sum of
// table entries. Tables of up to 64 entries stay in registers where there are permutations of them.
#if defined(__AVX2__)
#include <immintrin.h>
#endif

#include "kernels_templates/host/microkernels/scorers_common.h"

namespace mj {
namespace {

struct PqNumbers {
  int32_t sub_dims, bits, centroids, head_dim;
  MJ_MEMBER explicit PqNumbers(const MjScorer* s)
      : sub_dims(s->numbers[0]),
        bits(s->numbers[1]),
        centroids(s->numbers[2]),
        head_dim(s->numbers[3]) {}
  MJ_MEMBER int32_t groups() const { return (head_dim + sub_dims - 1) / sub_dims; }
  MJ_MEMBER int32_t padded() const { return mj_pad_lanes(centroids); }
  MJ_MEMBER int32_t channels(int32_t group) const {
    const int32_t rest = head_dim - group * sub_dims;
    return rest < sub_dims ? rest : sub_dims;
  }
};

// f32 [groups][padded]: <query, centroid> of each group.
MJ_OUTLINE void prepare_pq(const MjScorer* scorer, int32_t batch, int32_t head, const float* query,
                           void* prepared) {
  const PqNumbers n(scorer);
  const float* books = reinterpret_cast<const float*>(index_row(scorer->rows[1], batch, head, 0));
  float* table = static_cast<float*>(prepared);
  const int64_t padded = n.padded();
  for (int g = 0; g < n.groups(); ++g) {
    const int d = g * n.sub_dims;
    product(query + d, 0, books + d * padded, padded, table + g * padded, padded, 1,
            static_cast<int>(padded), n.channels(g));
  }
}

// Entries of one group's table. kPadded: its length if that is 16, 32 or 64, else 0.
template <int kPadded>
struct Table {
  const float* entries;

#if defined(__AVX2__) && !defined(__AVX512F__)
  MJ_MEMBER __m256 eight(__m256i at) const {
    if constexpr (kPadded == 16) {
      const __m256 low = _mm256_permutevar8x32_ps(_mm256_loadu_ps(entries), at);
      const __m256 high = _mm256_permutevar8x32_ps(_mm256_loadu_ps(entries + 8), at);
      return _mm256_blendv_ps(low, high, _mm256_castsi256_ps(_mm256_slli_epi32(at, 28)));
    }
    return _mm256_i32gather_ps(entries, at, 4);
  }
#endif
  MJ_MEMBER F32x16 operator[](U32x16 code) const {
#if defined(__AVX512F__)
    const __m512i at = __builtin_bit_cast(__m512i, code);
    if constexpr (kPadded == 16) {
      return __builtin_bit_cast(F32x16, _mm512_permutexvar_ps(at, _mm512_loadu_ps(entries)));
    }
    if constexpr (kPadded == 32) {
      return __builtin_bit_cast(F32x16, _mm512_permutex2var_ps(_mm512_loadu_ps(entries), at,
                                                               _mm512_loadu_ps(entries + 16)));
    }
    if constexpr (kPadded == 64) {
      const __m512 low =
          _mm512_permutex2var_ps(_mm512_loadu_ps(entries), at, _mm512_loadu_ps(entries + 16));
      const __m512 high =
          _mm512_permutex2var_ps(_mm512_loadu_ps(entries + 32), at, _mm512_loadu_ps(entries + 48));
      const __mmask16 upper = _mm512_test_epi32_mask(at, _mm512_set1_epi32(32));
      return __builtin_bit_cast(F32x16, _mm512_mask_mov_ps(low, upper, high));
    }
    return __builtin_bit_cast(F32x16, _mm512_i32gather_ps(at, entries, 4));
#elif defined(__AVX2__)
    typedef uint32_t U8 __attribute__((ext_vector_type(8)));
    typedef float F8 __attribute__((ext_vector_type(8)));
    const U8 low = code.lo, high = code.hi;
    F32x16 result;
    result.lo = __builtin_bit_cast(F8, eight(__builtin_bit_cast(__m256i, low)));
    result.hi = __builtin_bit_cast(F8, eight(__builtin_bit_cast(__m256i, high)));
    return result;
#else
    F32x16 result;
#pragma clang loop unroll(full)
    for (int i = 0; i < kLanes; ++i) result[i] = entries[code[i]];
    return result;
#endif
  }
};

template <int kBits, int kPadded>
struct PqScores {
  static constexpr int kVectors = 4;
  const MjScorer* scorer;
  int32_t batch, head;
  const float* table;

  template <int kCount>
  MJ_MEMBER void run(int64_t row, F32x16* sums) const {
    constexpr int kBytes = kBits == 16 ? 2 : 1;
    const PqNumbers n(scorer);
    const int padded = n.padded();
    const int groups = n.groups();
    const char* lanes = index_lane(scorer->rows[0], batch, head, row, kBytes);
#pragma clang loop unroll(full)
    for (int v = 0; v < kCount; ++v) sums[v] = splat(0.0f);
    if constexpr (kBits == 4) {
#pragma clang loop unroll(disable)
      for (int g = 0; g < groups; g += 2) {
        const Table<kPadded> even{table + int64_t{g} * padded};
        const Table<kPadded> odd{table + int64_t{g + 1 < groups ? g + 1 : g} * padded};
        const F32x16 there = splat(g + 1 < groups ? 1.0f : 0.0f);
#pragma clang loop unroll(full)
        for (int v = 0; v < kCount; ++v) {
          const U32x16 both = load_bytes(lanes + int64_t{g / 2} * mj_index_block + v * kLanes);
          sums[v] += even[both & 15u];
          sums[v] = fma(there, odd[both >> 4], sums[v]);
        }
      }
    } else {
#pragma clang loop unroll(disable)
      for (int g = 0; g < groups; ++g) {
        const Table<kPadded> entries{table + int64_t{g} * padded};
        const char* strip = lanes + int64_t{g} * (mj_index_block * kBytes);
#pragma clang loop unroll(full)
        for (int v = 0; v < kCount; ++v)
          sums[v] += entries[load_codes<kBytes>(strip + v * kLanes * kBytes)];
      }
    }
  }
};

MJ_OUTLINE void score_pq(const MjScorer* scorer, int32_t batch, int32_t head, const void* prepared,
                         int64_t begin, int32_t count, float* scores) {
  const PqNumbers n(scorer);
  const float* table = static_cast<const float*>(prepared);
  if (n.bits <= 4) {
    score_rows(PqScores<4, 16>{scorer, batch, head, table}, begin, count, scores);
  } else if (n.bits > 8) {
    score_rows(PqScores<16, 0>{scorer, batch, head, table}, begin, count, scores);
  } else if (n.padded() == 16) {
    score_rows(PqScores<8, 16>{scorer, batch, head, table}, begin, count, scores);
  } else if (n.padded() == 32) {
    score_rows(PqScores<8, 32>{scorer, batch, head, table}, begin, count, scores);
  } else if (n.padded() == 64) {
    score_rows(PqScores<8, 64>{scorer, batch, head, table}, begin, count, scores);
  } else {
    score_rows(PqScores<8, 0>{scorer, batch, head, table}, begin, count, scores);
  }
}

// |x - c|^2 / 2 = |x|^2 / 2 + norm - <x, c>.
MJ_OUTLINE void nearest_centroids(const float* points, int64_t stride, int count, int dims,
                                  const float* codebook, const float* norms, int padded,
                                  int32_t* nearest, float* products) {
  product(points, stride, codebook, padded, products, padded, count, padded, dims);
  for (int r = 0; r < count; ++r) {
    const float* row = products + int64_t{r} * padded;
    F32x16 best = splat(__builtin_inff());
    I32x16 at = I32x16(0);
    I32x16 number = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    for (int c = 0; c < padded; c += kLanes) {
      const F32x16 distance = load(norms + c) - load(row + c);
      at = distance < best ? number : at;
      best = distance < best ? distance : best;
      number += 16;
    }
    // The lowest centroid among the lanes of least distance.
    const F32x16 least = splat(-max_of(-best));
    const I32x16 lowest = best == least ? at : I32x16(INT32_MAX);
    typedef int32_t I8 __attribute__((ext_vector_type(8)));
    typedef int32_t I4 __attribute__((ext_vector_type(4)));
    const I8 half = __builtin_elementwise_min(lowest.lo, lowest.hi);
    const I4 quarter = __builtin_elementwise_min(half.lo, half.hi);
    const int32_t a = quarter[0] < quarter[2] ? quarter[0] : quarter[2];
    const int32_t b = quarter[1] < quarter[3] ? quarter[1] : quarter[3];
    nearest[r] = a < b ? a : b;
  }
}

MJ_OUTLINE void index_pq(const MjScorer* scorer, int32_t batch, int32_t head, const char* keys,
                         int64_t row_bytes, int32_t element, int64_t begin, int64_t end,
                         void* scratch) {
  const PqNumbers n(scorer);
  const float* books = reinterpret_cast<const float*>(index_row(scorer->rows[1], batch, head, 0));
  const float* norms = reinterpret_cast<const float*>(index_row(scorer->rows[2], batch, head, 0));
  const int64_t width = round_up(n.head_dim, kLanes);
  const int64_t padded = n.padded();
  float* rows = static_cast<float*>(scratch);
  float* products = rows + 16 * width;
  for (int64_t k = begin; k < end; k += 16) {
    const int count = static_cast<int>(end - k < 16 ? end - k : 16);
    for (int r = 0; r < count; ++r)
      widen_row(keys + (k + r) * row_bytes, element, n.head_dim, rows + r * width);
    for (int g = 0; g < n.groups(); ++g) {
      const int d = g * n.sub_dims;
      int32_t nearest[16];
      nearest_centroids(rows + d, width, count, n.channels(g), books + d * padded,
                        norms + g * padded, static_cast<int>(padded), nearest, products);
      for (int r = 0; r < count; ++r) {
        store_code(index_row(scorer->rows[0], batch, head, (k + r) / mj_index_block), g, n.bits,
                   (k + r) % mj_index_block, static_cast<uint32_t>(nearest[r]));
      }
    }
  }
}

}  // namespace
}  // namespace mj
