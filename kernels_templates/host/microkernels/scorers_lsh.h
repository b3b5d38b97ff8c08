#pragma once
// Locality-sensitive hashing by random projections (MagicPIG). Keys k become the unit vectors
// [k~ / N, sqrt(N^2 - |k~|^2) / N] with k~ = k - centre and N at least every |k~|, queries
// [q~ / |q~|, 0]: their angle orders keys as <q, k> does. Signs do not depend on positive factors,
// so that codes are taken of [k~, sqrt(N^2 - |k~|^2)] and [q~, 0].
#include "kernels_templates/host/microkernels/scorers_common.h"
#include "kernels_templates/include/select_math.h"

namespace mj {
namespace {

struct LshNumbers {
  int32_t tables, bits, head_dim, centre;
  MJ_MEMBER explicit LshNumbers(const MjScorer* s)
      : tables(s->numbers[0]),
        bits(s->numbers[1]),
        head_dim(s->numbers[2]),
        centre(s->numbers[3]) {}
  MJ_MEMBER int32_t projections() const { return mj_pad_lanes(tables * bits); }
  MJ_MEMBER int64_t sign_words() const { return projections() / 64 + 2; }
};

struct LshQuery {
  float norm;            // |q~|
  float centre_product;  // <q~, centre>
};
// A prepared query: LshQuery, then its codes and what they are made from.
struct LshPrepared {
  int64_t signs, centred, projected, bytes;  // offsets; the codes are at 64

  MJ_MEMBER explicit LshPrepared(const LshNumbers& n)
      : signs(64 + align64(int64_t{8} * n.tables)),
        centred(signs + align64(8 * n.sign_words())),
        projected(centred + align64(int64_t{4} * round_up(n.head_dim, kLanes))),
        bytes(align64(projected + int64_t{4} * n.projections())) {}
  MJ_MEMBER static const uint64_t* codes(const void* prepared) {
    return reinterpret_cast<const uint64_t*>(static_cast<const char*>(prepared) + 64);
  }
};

MJ_INLINE void pack_signs(const float* projected, int count, uint64_t* signs) {
  for (int j = 0; j < count; j += 64) {
    uint64_t word = 0;
    for (int i = 0; i < 64 && j + i < count; i += kLanes)
      word |= uint64_t{positive_bits(load(projected + j + i))} << i;
    signs[j / 64] = word;
  }
}
MJ_INLINE uint64_t code_at(const uint64_t* signs, int64_t table, int bits) {
  const int64_t first = table * bits;
  const int shift = static_cast<int>(first % 64);
  uint64_t code = signs[first / 64] >> shift;
  if (shift != 0) code |= signs[first / 64 + 1] << (64 - shift);
  return bits == 64 ? code : code & ((uint64_t{1} << bits) - 1);
}

// Of two rows of `count` numbers, in sixteen sums.
MJ_INLINE float dot(const float* a, const float* b, int count) {
  F32x16 sums = splat(0.0f);
  int i = 0;
  for (; i + kLanes <= count; i += kLanes) sums = fma(load(a + i), load(b + i), sums);
  float rest = 0.0f;
  for (; i < count; ++i) rest = __builtin_fmaf(a[i], b[i], rest);
  return sum(sums) + rest;
}

MJ_INLINE const float* lsh_state(const MjScorer* scorer, int32_t batch, int32_t head) {
  return reinterpret_cast<const float*>(index_row(scorer->rows[1], batch, head, 0));
}

MJ_OUTLINE void prepare_lsh(const MjScorer* scorer, int32_t batch, int32_t head, const float* query,
                            void* prepared) {
  const LshNumbers n(scorer);
  const LshPrepared at(n);
  char* base = static_cast<char*>(prepared);
  LshQuery* lengths = static_cast<LshQuery*>(prepared);
  uint64_t* codes = reinterpret_cast<uint64_t*>(base + 64);
  uint64_t* signs = reinterpret_cast<uint64_t*>(base + at.signs);
  float* centred = reinterpret_cast<float*>(base + at.centred);
  float* projected = reinterpret_cast<float*>(base + at.projected);
  const float* centre = lsh_state(scorer, batch, head) + 1;
  for (int d = 0; d < n.head_dim; ++d) centred[d] = query[d] - centre[d];
  lengths->norm = __builtin_sqrtf(dot(centred, centred, n.head_dim));
  lengths->centre_product = dot(centred, centre, n.head_dim);
  product(centred, 0, static_cast<const float*>(scorer->rows[2].data), n.projections(), projected,
          n.projections(), 1, n.projections(), n.head_dim);
  pack_signs(projected, n.projections(), signs);
  for (int t = 0; t < n.tables; ++t) codes[t] = code_at(signs, t, n.bits);
}

template <typename Code>
struct LshMatches {
  static constexpr int kVectors = 4;
  const MjScorer* scorer;
  int32_t batch, head;
  const uint64_t* codes;

  template <int kCount>
  MJ_MEMBER void run(int64_t row, F32x16* scores) const {
    constexpr int kRows = kCount * kLanes;
    typedef Code Codes __attribute__((ext_vector_type(kRows)));
    typedef Code Unaligned __attribute__((ext_vector_type(kRows), aligned(1)));
    const LshNumbers n(scorer);
    const char* lanes = index_lane(scorer->rows[0], batch, head, row, sizeof(Code));
    Codes equal = Codes(Code{0});
#pragma clang loop unroll(disable)
    for (int t = 0; t < n.tables; ++t) {
      const Codes keys = *reinterpret_cast<const Unaligned*>(
          lanes + int64_t{t} * (mj_index_block * static_cast<int>(sizeof(Code))));
      const Codes query = Codes(static_cast<Code>(codes[t]));
      equal |= __builtin_bit_cast(Codes, keys == query);
    }
    typedef Code Sixteen __attribute__((ext_vector_type(16)));
    Sixteen found[kCount];
    __builtin_memcpy(found, &equal, sizeof(found));
#pragma clang loop unroll(full)
    for (int v = 0; v < kCount; ++v) {
      const Sixteen one = found[v] & Sixteen(Code{1});
      scores[v] = to_floats(__builtin_convertvector(one, U32x16));
    }
  }
};

MJ_OUTLINE void score_lsh(const MjScorer* scorer, int32_t batch, int32_t head, const void* prepared,
                          int64_t begin, int32_t count, float* scores) {
  const LshNumbers n(scorer);
  const uint64_t* codes = LshPrepared::codes(prepared);
  switch (mj_lsh_code_bytes(n.bits)) {
    case 1:
      return score_rows(LshMatches<uint8_t>{scorer, batch, head, codes}, begin, count, scores);
    case 2:
      return score_rows(LshMatches<uint16_t>{scorer, batch, head, codes}, begin, count, scores);
    case 4:
      return score_rows(LshMatches<uint32_t>{scorer, batch, head, codes}, begin, count, scores);
    default:
      return score_rows(LshMatches<uint64_t>{scorer, batch, head, codes}, begin, count, scores);
  }
}

MJ_OUTLINE float lsh_weight(const MjScorer* scorer, int32_t batch, int32_t head,
                            const void* prepared, int64_t k, float query_key) {
  const LshNumbers n(scorer);
  const LshQuery* query = static_cast<const LshQuery*>(prepared);
  float centred = query_key;
  if (n.centre != 0) {
    centred -= *reinterpret_cast<const float*>(index_lane(scorer->rows[3], batch, head, k, 4));
    centred -= query->centre_product;
  }
  const float lengths = query->norm * lsh_state(scorer, batch, head)[0];
  const float cosine = lengths > 0.0f ? centred / lengths : 0.0f;
  return lsh_probability(cosine, n.bits, n.tables);
}

template <typename Code>
MJ_INLINE void store_lsh_codes(const LshNumbers& n, const uint64_t* signs, char* lane) {
  for (int t = 0; t < n.tables; ++t)
    reinterpret_cast<Code*>(lane)[int64_t{t} * mj_index_block] =
        static_cast<Code>(code_at(signs, t, n.bits));
}

MJ_INLINE int64_t lsh_row_width(const LshNumbers& n) { return round_up(n.head_dim + 1, kLanes); }

MJ_OUTLINE void index_lsh(const MjScorer* scorer, int32_t batch, int32_t head, const char* keys,
                          int64_t row_bytes, int32_t element, int64_t begin, int64_t end,
                          void* scratch) {
  const LshNumbers n(scorer);
  const float* state = lsh_state(scorer, batch, head);
  const double bound = double{state[0]} * double{state[0]};
  const float* centre = state + 1;
  const int64_t width = lsh_row_width(n);
  const int projections = n.projections();
  float* rows = static_cast<float*>(scratch);
  float* projected = rows + 16 * width;
  uint64_t* signs = reinterpret_cast<uint64_t*>(projected + int64_t{16} * projections);
  for (int64_t k = begin; k < end; k += 16) {
    const int count = static_cast<int>(end - k < 16 ? end - k : 16);
    for (int r = 0; r < count; ++r) {
      float* row = rows + r * width;
      widen_row(keys + (k + r) * row_bytes, element, n.head_dim, row);
      if (n.centre != 0) {
        *reinterpret_cast<float*>(index_lane(scorer->rows[3], batch, head, k + r, 4)) =
            dot(row, centre, n.head_dim);
        for (int d = 0; d < n.head_dim; ++d) row[d] -= centre[d];
      }
      const double rest = bound - double{dot(row, row, n.head_dim)};
      row[n.head_dim] = static_cast<float>(__builtin_sqrt(rest > 0.0 ? rest : 0.0));
    }
    product(rows, width, static_cast<const float*>(scorer->rows[2].data), projections, projected,
            projections, count, projections, n.head_dim + 1);
    for (int r = 0; r < count; ++r) {
      pack_signs(projected + int64_t{r} * projections, projections, signs);
      char* lane = index_lane(scorer->rows[0], batch, head, k + r, mj_lsh_code_bytes(n.bits));
      switch (mj_lsh_code_bytes(n.bits)) {
        case 1:
          store_lsh_codes<uint8_t>(n, signs, lane);
          break;
        case 2:
          store_lsh_codes<uint16_t>(n, signs, lane);
          break;
        case 4:
          store_lsh_codes<uint32_t>(n, signs, lane);
          break;
        default:
          store_lsh_codes<uint64_t>(n, signs, lane);
      }
    }
  }
}

}  // namespace
}  // namespace mj
