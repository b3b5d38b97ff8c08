#pragma once
// The two matrix products of a warp: S = Q K^T and O += P V, of tiles in shared memory, by
// mma.sync. f32 by three tf32 products of split operands. Scores, probabilities and sums stay in
// registers, as the instructions lay them out: arrays are sized for the largest case, loops are
// bounded by constants of the specialisation.
#include "kernels_templates/nvptx/common/tiles.h"

namespace mj {

constexpr int kMaxRowTiles = 2;      // of 16 rows a warp
constexpr int kMaxKeyTiles = 8;      // of 8 keys a key tile: one bit of a keep word an element
constexpr int kMaxColumnTiles = 32;  // of 8 value columns

// Element [m][n][2 r + c] of lane l: row m * 16 + r * 8 + l / 4, column n * 8 + l % 4 * 2 + c.
typedef float Scores[kMaxRowTiles][kMaxKeyTiles][4];
typedef float Sums[kMaxRowTiles][kMaxColumnTiles][4];

// What multiplies the values: in 16 bits the operands of 16 keys each, else the scores themselves.
struct Probabilities {
  uint32_t halves[kMaxRowTiles][kMaxKeyTiles / 2][4];
  Scores singles;
};

// What a warp multiplies at a time: rows in 16s, keys in 8s.
struct WarpTile {
  int rows, keys;
};

// Rows in shared memory.
struct Rows {
  uint32_t base;
  int pitch;
};

// f32 as the sum of two tf32: what a product of the first parts misses is 2^-22 of it.
struct Split {
  uint32_t high, low;
};
MJ_INLINE Split split(float v) {
  Split s;
  s.high = round_tf32(v);
  s.low = round_tf32(v - __builtin_bit_cast(float, s.high));
  return s;
}

struct Fragment {  // of 16 rows: a matrix operand, split in f32
  uint32_t high[4], low[4];
};
MJ_INLINE Fragment split_fragment(const float* v) {
  Fragment f;
  MJ_UNROLL
  for (int i = 0; i < 4; ++i) {
    const Split s = split(v[i]);
    f.high[i] = s.high;
    f.low[i] = s.low;
  }
  return f;
}
// c += a b; products with the second parts go to `small`, which may be c.
MJ_INLINE void multiply_single(float* c, float* small, const Fragment& a, float b0, float b1) {
  const Split s0 = split(b0);
  const Split s1 = split(b1);
  multiply_tf32(small, a.low, s0.high, s1.high);
  multiply_tf32(small, a.high, s0.low, s1.low);
  multiply_tf32(c, a.high, s0.high, s1.high);
}
MJ_INLINE void multiply_half(float* c, const uint32_t* a, uint32_t b0, uint32_t b1) {
  if (mj_element == MJ_BF16) {
    multiply_bf16(c, a, b0, b1);
  } else {
    multiply_f16(c, a, b0, b1);
  }
}

MJ_INLINE void clear(WarpTile tile, Scores& s) {
  MJ_UNROLL
  for (int m = 0; m < tile.rows; ++m) {
    MJ_UNROLL
    for (int n = 0; n < tile.keys; ++n) {
      MJ_UNROLL
      for (int e = 0; e < 4; ++e) s[m][n][e] = 0.0f;
    }
  }
}

// s = Q K^T of this warp's rows.
MJ_INLINE void multiply_keys(WarpTile tile, Rows queries, Rows keys, int lane, Scores& s) {
  clear(tile, s);
  if (!single()) {
    // Lane's row and column in a group of four 8 x 8 matrices.
    const int low = lane & 7, second = lane >> 3 & 1, upper = lane >> 4;
    const uint32_t query =
        queries.base + static_cast<uint32_t>((second * 8 + low) * queries.pitch + upper * 16);
    const uint32_t key =
        keys.base + static_cast<uint32_t>((upper * 8 + low) * keys.pitch + second * 16);
    // ptxas unrolls it.
    for (int d = 0; d < padded(mj_head_dim); d += 16) {
      uint32_t a[kMaxRowTiles][4];
      MJ_UNROLL
      for (int m = 0; m < tile.rows; ++m)
        load_matrices(a[m], query, m * 16 * queries.pitch + d * 2);
      MJ_UNROLL
      for (int n = 0; n < tile.keys; n += 2) {
        uint32_t b[4];
        load_matrices(b, key, n * 8 * keys.pitch + d * 2);
        MJ_UNROLL
        for (int m = 0; m < tile.rows; ++m) {
          multiply_half(s[m][n], a[m], b[0], b[1]);
          multiply_half(s[m][n + 1], a[m], b[2], b[3]);
        }
      }
    }
    return;
  }
  const int g = lane >> 2, t = lane & 3;
  const uint32_t query = queries.base + static_cast<uint32_t>(g * queries.pitch + t * 4);
  const uint32_t key = keys.base + static_cast<uint32_t>(g * keys.pitch + t * 4);
  // The small products have sums of their own: as many roundings of the large one as plain f32 has.
  Scores small;
  clear(tile, small);
  // Rolled: a step is 3 * 8 products and their splits.
  MJ_ROLL
  for (int d = 0; d < padded(mj_head_dim); d += 8) {
    Fragment a[kMaxRowTiles];
    MJ_UNROLL
    for (int m = 0; m < tile.rows; ++m) {
      const uint32_t at = query + static_cast<uint32_t>(d * 4);
      const int row = m * 16 * queries.pitch;
      const int below = row + 8 * queries.pitch;
      const float v[4] = {load_shared<float>(at, row), load_shared<float>(at, below),
                          load_shared<float>(at, row + 16), load_shared<float>(at, below + 16)};
      a[m] = split_fragment(v);
    }
    MJ_UNROLL
    for (int n = 0; n < tile.keys; ++n) {
      const uint32_t at = key + static_cast<uint32_t>(d * 4);
      const float b0 = load_shared<float>(at, n * 8 * keys.pitch);
      const float b1 = load_shared<float>(at, n * 8 * keys.pitch + 16);
      MJ_UNROLL
      for (int m = 0; m < tile.rows; ++m) multiply_single(s[m][n], small[m][n], a[m], b0, b1);
    }
  }
  MJ_UNROLL
  for (int m = 0; m < tile.rows; ++m) {
    MJ_UNROLL
    for (int n = 0; n < tile.keys; ++n) {
      MJ_UNROLL
      for (int e = 0; e < 4; ++e) s[m][n][e] += small[m][n][e];
    }
  }
}

MJ_INLINE void pack_probabilities(WarpTile tile, const Scores& s, Probabilities& p) {
  MJ_UNROLL
  for (int m = 0; m < tile.rows; ++m) {
    MJ_UNROLL
    for (int n = 0; n < tile.keys; ++n) {
      MJ_UNROLL
      for (int r = 0; r < 2; ++r) {
        // Sums of two tiles of 8 keys are the operand of 16 keys.
        if (single()) {
          p.singles[m][n][2 * r] = s[m][n][2 * r];
          p.singles[m][n][2 * r + 1] = s[m][n][2 * r + 1];
        } else {
          p.halves[m][n / 2][n % 2 * 2 + r] = pack(s[m][n][2 * r], s[m][n][2 * r + 1], mj_element);
        }
      }
    }
  }
}

// o += P V.
MJ_INLINE void multiply_values(WarpTile tile, Rows values, int lane, const Probabilities& p,
                               Sums& o) {
  if (!single()) {
    const int low = lane & 7, second = lane >> 3 & 1, upper = lane >> 4;
    const uint32_t value =
        values.base + static_cast<uint32_t>((second * 8 + low) * values.pitch + upper * 16);
    MJ_UNROLL
    for (int k = 0; k < tile.keys * 8; k += 16) {
      MJ_UNROLL
      for (int n = 0; n < padded(mj_head_dim_v) / 8; n += 2) {
        uint32_t b[4];
        load_matrices_transposed(b, value, k * values.pitch + n * 16);
        MJ_UNROLL
        for (int m = 0; m < tile.rows; ++m) {
          multiply_half(o[m][n], p.halves[m][k / 16], b[0], b[1]);
          multiply_half(o[m][n + 1], p.halves[m][k / 16], b[2], b[3]);
        }
      }
    }
    return;
  }
  const int g = lane >> 2, t = lane & 3;
  const uint32_t value = values.base + static_cast<uint32_t>(2 * t * values.pitch + g * 4);
  MJ_UNROLL
  for (int k = 0; k < tile.keys * 8; k += 8) {
    // The order of the inner dimension is free: column t of the operand is key 2t, t + 4 is 2t + 1,
    // which is how the sums lie.
    Fragment a[kMaxRowTiles];
    MJ_UNROLL
    for (int m = 0; m < tile.rows; ++m) {
      const float* e = p.singles[m][k / 8];
      const float v[4] = {e[0], e[2], e[1], e[3]};
      a[m] = split_fragment(v);
    }
    MJ_UNROLL
    for (int n = 0; n < padded(mj_head_dim_v) / 8; ++n) {
      const float b0 = load_shared<float>(value, k * values.pitch + n * 32);
      const float b1 = load_shared<float>(value, (k + 1) * values.pitch + n * 32);
      MJ_UNROLL
      for (int m = 0; m < tile.rows; ++m) multiply_single(o[m][n], o[m][n], a[m], b0, b1);
    }
  }
}

}  // namespace mj
