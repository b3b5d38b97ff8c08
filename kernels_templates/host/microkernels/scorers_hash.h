#pragma once
// Sign codes of a perceptron (HashAttention), compared by popcount.
#include "kernels_templates/host/common/math.h"
#include "kernels_templates/host/microkernels/scorers_common.h"
#include "kernels_templates/include/select_math.h"

namespace mj {
namespace {

struct HashNumbers {
  int32_t bits, layers, hidden, activation, head_dim;
  MJ_MEMBER explicit HashNumbers(const MjScorer* s)
      : bits(s->numbers[0]),
        layers(s->numbers[1]),
        hidden(s->numbers[2]),
        activation(s->numbers[3]),
        head_dim(s->numbers[4]) {}
  MJ_MEMBER int32_t words() const { return (bits + 31) / 32; }
  // Numbers that one row of any layer takes.
  MJ_MEMBER int32_t widest() const {
    const int32_t out = mj_pad_lanes(bits);
    const int32_t inner = layers > 1 ? mj_pad_lanes(hidden) : 0;
    return out > inner ? out : inner;
  }
};

template <int kActivation>
MJ_INLINE void activate_as(float* x, int count) {
  for (int i = 0; i < count; ++i) {
    if constexpr (kActivation == MJ_RELU) x[i] = x[i] > 0.0f ? x[i] : 0.0f;
    if constexpr (kActivation == MJ_SILU) x[i] = x[i] / (1.0f + exp_scalar(-x[i]));
    if constexpr (kActivation == MJ_GELU) {
      const float y = x[i] * 0.70710678118654752f;
      x[i] = 0.5f * x[i] * (1.0f + erf_of(y, exp_scalar(-y * y)));
    }
    if constexpr (kActivation == MJ_TANH) x[i] = tanh_scalar(x[i]);
  }
}

MJ_INLINE void activate(float* x, int count, int32_t activation) {
  switch (activation) {
    case MJ_RELU:
      return activate_as<MJ_RELU>(x, count);
    case MJ_SILU:
      return activate_as<MJ_SILU>(x, count);
    case MJ_GELU:
      return activate_as<MJ_GELU>(x, count);
    default:
      return activate_as<MJ_TANH>(x, count);
  }
}

// The code words of `rows` rows, lda apart, code[r * words + w]. `buffers`: two of rows * widest.
MJ_OUTLINE void hash_rows(const MjScorer* scorer, const float* parameters, const float* a,
                          int64_t lda, int rows, float* buffers, uint32_t* code) {
  const HashNumbers n(scorer);
  const int64_t widest = n.widest();
  int in = n.head_dim;
  for (int layer = 0; layer < n.layers; ++layer) {
    const bool last = layer + 1 == n.layers;
    const int out = mj_pad_lanes(last ? n.bits : n.hidden);
    float* c = buffers + (layer % 2) * rows * widest;
    product(a, lda, parameters, out, c, widest, rows, out, in);
    const float* bias = parameters + int64_t{in} * out;
    for (int r = 0; r < rows; ++r) {
      float* row = c + r * widest;
      for (int j = 0; j < out; j += kLanes) store(row + j, load(row + j) + load(bias + j));
      if (!last) activate(row, out, n.activation);
    }
    parameters = bias + out;
    a = c;
    lda = widest;
    in = n.hidden;
  }
  for (int r = 0; r < rows; ++r) {
    const float* row = a + r * lda;
    for (int w = 0; w < n.words(); ++w) {
      uint32_t bits = positive_bits(load(row + w * 32));
      if (w * 32 + kLanes < mj_pad_lanes(n.bits))
        bits |= positive_bits(load(row + w * 32 + kLanes)) << 16;
      code[r * n.words() + w] = bits;
    }
  }
}

// uint32 words of the code, then buffers.
MJ_OUTLINE void prepare_hash(const MjScorer* scorer, int32_t head, const float* query,
                             void* prepared) {
  const HashNumbers n(scorer);
  const float* mlp = reinterpret_cast<const float*>(index_row(scorer->rows[1], 0, head, 0));
  float* buffers =
      reinterpret_cast<float*>(static_cast<char*>(prepared) + align64(int64_t{4} * n.words()));
  hash_rows(scorer, mlp, query, 0, 1, buffers, static_cast<uint32_t*>(prepared));
}

struct HashScores {
  static constexpr int kVectors = 4;
  const MjScorer* scorer;
  int32_t batch, head;
  const uint32_t* code;

  template <int kCount>
  MJ_MEMBER void run(int64_t row, F32x16* scores) const {
    const HashNumbers n(scorer);
    const char* lanes = index_lane(scorer->rows[0], batch, head, row, 4);
    U32x16 differ[kCount];
#pragma clang loop unroll(full)
    for (int v = 0; v < kCount; ++v) differ[v] = U32x16(0u);
#pragma clang loop unroll(disable)
    for (int w = 0; w < n.words(); ++w) {
      const uint32_t* strip = reinterpret_cast<const uint32_t*>(lanes) + w * mj_index_block;
#pragma clang loop unroll(full)
      for (int v = 0; v < kCount; ++v)
        differ[v] += __builtin_elementwise_popcount(load_words(strip + v * kLanes) ^ code[w]);
    }
#pragma clang loop unroll(full)
    for (int v = 0; v < kCount; ++v)
      scores[v] = splat(static_cast<float>(n.bits)) - splat(2.0f) * to_floats(differ[v]);
  }
};

MJ_OUTLINE void score_hash(const MjScorer* scorer, int32_t batch, int32_t head,
                           const void* prepared, int64_t begin, int32_t count, float* scores) {
  score_rows(HashScores{scorer, batch, head, static_cast<const uint32_t*>(prepared)}, begin, count,
             scores);
}

MJ_OUTLINE void index_hash(const MjScorer* scorer, int32_t batch, int32_t head, const char* keys,
                           int64_t row_bytes, int32_t element, int64_t begin, int64_t end,
                           void* scratch) {
  const HashNumbers n(scorer);
  const float* mlp = reinterpret_cast<const float*>(index_row(scorer->rows[2], 0, head, 0));
  const int64_t width = round_up(n.head_dim, kLanes);
  float* rows = static_cast<float*>(scratch);
  float* buffers = rows + 16 * width;
  uint32_t* code = reinterpret_cast<uint32_t*>(buffers + int64_t{2} * 16 * n.widest());
  for (int64_t k = begin; k < end; k += 16) {
    const int count = static_cast<int>(end - k < 16 ? end - k : 16);
    for (int r = 0; r < count; ++r)
      widen_row(keys + (k + r) * row_bytes, element, n.head_dim, rows + r * width);
    hash_rows(scorer, mlp, rows, width, count, buffers, code);
    for (int r = 0; r < count; ++r) {
      uint32_t* lane =
          reinterpret_cast<uint32_t*>(index_lane(scorer->rows[0], batch, head, k + r, 4));
      for (int w = 0; w < n.words(); ++w) lane[w * mj_index_block] = code[r * n.words() + w];
    }
  }
}

}  // namespace
}  // namespace mj
