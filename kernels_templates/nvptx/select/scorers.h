#pragma once
// Scores of items, keys or pages, by the data of an index (include/index_layout.h), as
// host/microkernels/scorers.h defines them. An item is a lane; numbers are made in the order of the
// host's, so that both choose the same keys.
#include "kernels_templates/include/index_layout.h"
#include "kernels_templates/include/select_math.h"
#include "kernels_templates/nvptx/select/row.h"

namespace mj {

MJ_INLINE const char* index_row(const MjIndexRows& rows, int64_t batch, int64_t head,
                                int64_t block) {
  return static_cast<const char*>(rows.data) + batch * rows.batch_stride + head * rows.head_stride +
         block * rows.row_stride;
}

// The items of four words that one lane scores.
struct Items {
  int item[kGroupWords];
};

// Where the strips of rows of a scorer are, for each of a lane's items.
struct Strips {
  const char* at[kGroupWords];
  int bytes;  // of a number

  MJ_MEMBER const char* strip(int u, int strip) const {
    return at[u] + strip * (mj_index_block * bytes);
  }
  MJ_MEMBER uint32_t code(int u, int number) const {
    const char* p = strip(u, number);
    return bytes == 1 ? *reinterpret_cast<const uint8_t*>(p)
                      : *reinterpret_cast<const uint16_t*>(p);
  }
};
MJ_INLINE Strips strips_of(const MjIndexRows& rows, int batch, int head, const Items& items,
                           int bytes) {
  Strips strips;
  strips.bytes = bytes;
  const char* first = index_row(rows, batch, head, 0);
  MJ_UNROLL
  for (int u = 0; u < kGroupWords; ++u) {
    const int item = items.item[u];
    strips.at[u] = first + item / mj_index_block * rows.row_stride + item % mj_index_block * bytes;
  }
  return strips;
}

MJ_INLINE int row_head(const SelectRow& row, const MjScorer& scorer) {
  return scorer.by_head != 0 ? row.head : row.kv_head;
}

// --- Bounds of pages. Numbers: page, bits.

MJ_INLINE void score_pages(const SelectRow& row, const MjScorer& scorer, const Items& items,
                           float* scores) {
  const int head = row_head(row, scorer), bits = scorer.numbers[1];
  if (bits == 16) {
    const Strips strips =
        strips_of(scorer.rows[0], row.batch, head, items, element_bytes(mj_element));
    MJ_ROLL
    for (int d = 0; d < mj_head_dim; ++d) {
      const float q = query_at(row, d);
      const int strip = q < 0.0f ? d : mj_head_dim + d;
      MJ_UNROLL
      for (int u = 0; u < kGroupWords; ++u) {
        scores[u] =
            __builtin_fmaf(q, load_element(strips.strip(u, strip), 0, mj_element), scores[u]);
      }
    }
    return;
  }
  const Strips codes = strips_of(scorer.rows[0], row.batch, head, items, mj_code_bytes(bits));
  const Strips ranges = strips_of(scorer.rows[1], row.batch, head, items, 4);
  float range[4][kGroupWords];
  MJ_UNROLL
  for (int i = 0; i < 4; ++i) {
    MJ_UNROLL
    for (int u = 0; u < kGroupWords; ++u)
      range[i][u] = *reinterpret_cast<const float*>(ranges.strip(u, i));
  }
  MJ_ROLL
  for (int d = 0; d < mj_head_dim; ++d) {
    const float q = query_at(row, d);
    MJ_UNROLL
    for (int u = 0; u < kGroupWords; ++u) {
      uint32_t low = codes.code(u, d), high = low >> 4;
      if (bits <= 4) {
        low &= 15;
      } else {
        high = codes.code(u, mj_head_dim + d);
      }
      const float least = __builtin_fmaf(static_cast<float>(low), range[1][u], range[0][u]);
      const float greatest = __builtin_fmaf(static_cast<float>(high), range[3][u], range[2][u]);
      const float a = q * least, b = q * greatest;
      scores[u] += b > a ? b : a;
    }
  }
}

// --- Channels. Numbers: count, bits. Prepared: the sum of the query's channels, 64 bytes, then
// they.

struct Quantiser {
  float lo, scale, step, most;
  MJ_MEMBER float value(float x) const {
    const float magic = 12582912.0f;  // 1.5 * 2^23: adding it rounds to an integer
    const float v = ((x - lo) * scale + magic) - magic;
    return (v >= 0.0f ? (v <= most ? v : most) : 0.0f) * step + lo;
  }
};

MJ_INLINE void prepare_channels(const SelectRow& row, const MjScorer& scorer) {
  const int count = scorer.numbers[0], bits = scorer.numbers[1];
  const auto* table =
      reinterpret_cast<const int32_t*>(index_row(scorer.rows[2], 0, row_head(row, scorer), 0));
  float* factors = reinterpret_cast<float*>(row.prepared + 64);
  MJ_ROLL
  for (int c = thread_index(); c < count; c += mj_select_threads)
    factors[c] = query_at(row, table[c]);
  sync_threads();
  if (thread_index() != 0) return;
  float lo = factors[0], hi = factors[0], total = 0.0f;
  MJ_ROLL
  for (int c = 1; c < count; ++c) {
    lo = factors[c] < lo ? factors[c] : lo;
    hi = factors[c] > hi ? factors[c] : hi;
  }
  const float most = static_cast<float>((1 << bits) - 1), range = hi - lo;
  const Quantiser quantiser = {lo, most / (range == 0.0f ? 1.0f : range), range / most, most};
  MJ_ROLL
  for (int c = 0; c < count; ++c) {
    if (bits < 16) factors[c] = quantiser.value(factors[c]);
    total += factors[c];
  }
  *reinterpret_cast<float*>(row.prepared) = total;
}

MJ_INLINE void score_channels(const SelectRow& row, const MjScorer& scorer, const Items& items,
                              float* scores) {
  const int head = row_head(row, scorer), count = scorer.numbers[0], bits = scorer.numbers[1];
  const float* factors = reinterpret_cast<const float*>(row.prepared + 64);
  if (bits == 16) {
    const Strips strips =
        strips_of(scorer.rows[0], row.batch, head, items, element_bytes(mj_element));
    MJ_ROLL
    for (int c = 0; c < count; ++c) {
      MJ_UNROLL
      for (int u = 0; u < kGroupWords; ++u) {
        scores[u] =
            __builtin_fmaf(factors[c], load_element(strips.strip(u, c), 0, mj_element), scores[u]);
      }
    }
    return;
  }
  const Strips codes = strips_of(scorer.rows[0], row.batch, head, items, mj_code_bytes(bits));
  const int step = bits <= 4 ? 2 : 1;
  MJ_ROLL
  for (int c = 0; c < count; c += step) {
    const float odd = c + 1 < count ? factors[c + 1] : 0.0f;
    MJ_UNROLL
    for (int u = 0; u < kGroupWords; ++u) {
      const uint32_t code = codes.code(u, c / step);
      const uint32_t low = step == 2 ? code & 15 : code;
      scores[u] = __builtin_fmaf(factors[c], static_cast<float>(low), scores[u]);
      if (step == 2) scores[u] = __builtin_fmaf(odd, static_cast<float>(code >> 4), scores[u]);
    }
  }
  const Strips ranges =
      strips_of(scorer.rows[1], row.batch, head, items, element_bytes(mj_element));
  const float total = *reinterpret_cast<const float*>(row.prepared);
  const float per_code = static_cast<float>((1 << bits) - 1);
  MJ_UNROLL
  for (int u = 0; u < kGroupWords; ++u) {
    const float lo = load_element(ranges.strip(u, 0), 0, mj_element);
    const float hi = load_element(ranges.strip(u, 1), 0, mj_element);
    scores[u] = __builtin_fmaf((hi - lo) / per_code, scores[u], lo * total);
  }
}

// --- Sign codes of a perceptron. Numbers: bits, layers, hidden, MjActivation, head_dim. Prepared:
// words of the query's code, then two buffers of what a layer gives.

extern "C" float mj_exp(float x);
extern "C" float mj_tanh(float x);

MJ_INLINE float activate(float x, int activation) {
  if (activation == MJ_RELU) return x > 0.0f ? x : 0.0f;
  if (activation == MJ_SILU) return x / (1.0f + mj_exp(-x));
  if (activation == MJ_GELU) {
    const float y = x * 0.70710678118654752f;
    return 0.5f * x * (1.0f + erf_of(y, mj_exp(-y * y)));
  }
  return mj_tanh(x);
}

MJ_INLINE int64_t align64(int64_t bytes) { return (bytes + 63) / 64 * 64; }

MJ_INLINE void prepare_hash(const SelectRow& row, const MjScorer& scorer) {
  const int bits = scorer.numbers[0], layers = scorer.numbers[1], hidden = scorer.numbers[2];
  const int words = (bits + 31) / 32;
  const int inner = layers > 1 ? mj_pad_lanes(hidden) : 0;
  const int widest = mj_pad_lanes(bits) > inner ? mj_pad_lanes(bits) : inner;
  auto* code = reinterpret_cast<uint32_t*>(row.prepared);
  float* buffers = reinterpret_cast<float*>(row.prepared + align64(words * 4));
  const auto* parameters =
      reinterpret_cast<const float*>(index_row(scorer.rows[1], 0, row_head(row, scorer), 0));
  int in = mj_head_dim;
  MJ_ROLL
  for (int layer = 0; layer < layers; ++layer) {
    const bool last = layer + 1 == layers;
    const int out = mj_pad_lanes(last ? bits : hidden);
    const float* from = buffers + (layer + 1) % 2 * widest;
    float* to = buffers + layer % 2 * widest;
    MJ_ROLL
    for (int j = thread_index(); j < out; j += mj_select_threads) {
      // One chain over the inputs, as every index and its queries have it.
      float sum = 0.0f;
      MJ_ROLL
      for (int i = 0; i < in; ++i) {
        const float x = layer == 0 ? query_at(row, i) : from[i];
        sum = __builtin_fmaf(x, parameters[int64_t{i} * out + j], sum);
      }
      sum += parameters[int64_t{in} * out + j];
      to[j] = last ? sum : activate(sum, scorer.numbers[3]);
    }
    sync_threads();
    parameters += int64_t{in + 1} * out;
    in = hidden;
  }
  const float* signs = buffers + (layers + 1) % 2 * widest;
  MJ_ROLL
  for (int w = warp_index(); w < words; w += kSelectWarps) {
    const int j = w * 32 + lane_index();
    const uint32_t word =
        vote(j < mj_pad_lanes(bits) && signs[smaller(j, bits - 1)] > 0.0f && j < bits);
    if (lane_index() == 0) code[w] = word;
  }
}

MJ_INLINE void score_hash(const SelectRow& row, const MjScorer& scorer, const Items& items,
                          float* scores) {
  const int bits = scorer.numbers[0];
  const auto* code = reinterpret_cast<const uint32_t*>(row.prepared);
  const Strips strips = strips_of(scorer.rows[0], row.batch, row_head(row, scorer), items, 4);
  int differ[kGroupWords] = {};
  MJ_ROLL
  for (int w = 0; w < (bits + 31) / 32; ++w) {
    const uint32_t query = code[w];
    MJ_UNROLL
    for (int u = 0; u < kGroupWords; ++u) {
      const uint32_t key = *reinterpret_cast<const uint32_t*>(strips.strip(u, w));
      differ[u] += __builtin_popcount(key ^ query);
    }
  }
  MJ_UNROLL
  for (int u = 0; u < kGroupWords; ++u)
    scores[u] = static_cast<float>(bits) - 2.0f * static_cast<float>(differ[u]);
}

// --- Product quantisation. Numbers: sub_dims, bits, centroids, head_dim. Prepared: f32
// [groups][centroids padded], <query, centroid> of each group.

MJ_INLINE void prepare_pq(const SelectRow& row, const MjScorer& scorer) {
  const int sub_dims = scorer.numbers[0], padded = mj_pad_lanes(scorer.numbers[2]);
  const auto* books = reinterpret_cast<const float*>(
      index_row(scorer.rows[1], row.batch, row_head(row, scorer), 0));
  float* table = reinterpret_cast<float*>(row.prepared);
  const int groups = (mj_head_dim + sub_dims - 1) / sub_dims;
  MJ_ROLL
  for (int i = thread_index(); i < groups * padded; i += mj_select_threads) {
    const int first = i / padded * sub_dims, centroid = i % padded;
    const int end = smaller(first + sub_dims, mj_head_dim);
    float sum = 0.0f;
    MJ_ROLL
    for (int d = first; d < end; ++d)
      sum = __builtin_fmaf(query_at(row, d), books[int64_t{d} * padded + centroid], sum);
    table[i] = sum;
  }
}

MJ_INLINE void score_pq(const SelectRow& row, const MjScorer& scorer, const Items& items,
                        float* scores) {
  const int sub_dims = scorer.numbers[0], bits = scorer.numbers[1];
  const int padded = mj_pad_lanes(scorer.numbers[2]);
  const int groups = (mj_head_dim + sub_dims - 1) / sub_dims;
  const float* table = reinterpret_cast<const float*>(row.prepared);
  const Strips codes =
      strips_of(scorer.rows[0], row.batch, row_head(row, scorer), items, mj_code_bytes(bits));
  const int step = bits <= 4 ? 2 : 1;
  MJ_ROLL
  for (int g = 0; g < groups; g += step) {
    const float* even = table + int64_t{g} * padded;
    MJ_UNROLL
    for (int u = 0; u < kGroupWords; ++u) {
      const uint32_t code = codes.code(u, g / step);
      scores[u] += even[step == 2 ? code & 15 : code];
      if (step == 2 && g + 1 < groups) scores[u] += even[padded + (code >> 4)];
    }
  }
}

// --- Codes of random projections. Numbers: tables, bits, head_dim, centre. Prepared: the query's
// norm and its product with the centre, at 64 its codes, then its projections.

MJ_INLINE float* lsh_projected(const SelectRow& row, int tables) {
  return reinterpret_cast<float*>(row.prepared + 64 + align64(int64_t{8} * tables));
}

MJ_INLINE void prepare_lsh(const SelectRow& row, const MjScorer& scorer) {
  const int tables = scorer.numbers[0], bits = scorer.numbers[1];
  const int projections = tables * bits, padded = mj_pad_lanes(projections);
  const float* centre = reinterpret_cast<const float*>(
                            index_row(scorer.rows[1], row.batch, row_head(row, scorer), 0)) +
                        1;
  const auto* matrix = static_cast<const float*>(scorer.rows[2].data);
  float* projected = lsh_projected(row, tables);
  MJ_ROLL
  for (int j = thread_index(); j < projections; j += mj_select_threads) {
    float sum = 0.0f;
    MJ_ROLL
    for (int d = 0; d < mj_head_dim; ++d)
      sum = __builtin_fmaf(query_at(row, d) - centre[d], matrix[int64_t{d} * padded + j], sum);
    projected[j] = sum;
  }
  float norm = 0.0f, product = 0.0f;
  MJ_ROLL
  for (int d = thread_index(); d < mj_head_dim; d += mj_select_threads) {
    const float x = query_at(row, d) - centre[d];
    norm = __builtin_fmaf(x, x, norm);
    product = __builtin_fmaf(x, centre[d], product);
  }
  norm = sum_of_block(norm, row.scratch);
  product = sum_of_block(product, row.scratch);
  if (thread_index() == 0) {
    reinterpret_cast<float*>(row.prepared)[0] = __builtin_sqrtf(norm);
    reinterpret_cast<float*>(row.prepared)[1] = product;
  }
  auto* codes = reinterpret_cast<uint64_t*>(row.prepared + 64);
  MJ_ROLL
  for (int t = thread_index(); t < tables; t += mj_select_threads) {
    uint64_t code = 0;
    MJ_ROLL
    for (int i = 0; i < bits; ++i)
      code |= static_cast<uint64_t>(projected[t * bits + i] > 0.0f) << i;
    codes[t] = code;
  }
}

// 1 where the codes of some table are equal.
MJ_INLINE void score_lsh(const SelectRow& row, const MjScorer& scorer, const Items& items,
                         float* scores) {
  const int bytes = mj_lsh_code_bytes(scorer.numbers[1]);
  const auto* codes = reinterpret_cast<const uint64_t*>(row.prepared + 64);
  const Strips strips = strips_of(scorer.rows[0], row.batch, row_head(row, scorer), items, bytes);
  MJ_ROLL
  for (int t = 0; t < scorer.numbers[0]; ++t) {
    const uint64_t query = codes[t];
    MJ_UNROLL
    for (int u = 0; u < kGroupWords; ++u) {
      const char* p = strips.strip(u, t);
      const uint64_t key = bytes == 1   ? *reinterpret_cast<const uint8_t*>(p)
                           : bytes == 2 ? *reinterpret_cast<const uint16_t*>(p)
                           : bytes == 4 ? *reinterpret_cast<const uint32_t*>(p)
                                        : *reinterpret_cast<const uint64_t*>(p);
      if (key == query) scores[u] = 1.0f;
    }
  }
}

}  // namespace mj
