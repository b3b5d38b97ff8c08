#pragma once
// Weights of explicit masks and dropout: what happens to exponentials before they multiply values.
// masker_dsl/interp/dropout.h defines which weights are dropped.
#include "kernels_templates/nvptx/common/logits.h"

namespace mj {

struct PhiloxWords {
  uint32_t words[4];
};
MJ_INLINE PhiloxWords philox(uint32_t c0, uint32_t c1, uint32_t c2, uint32_t c3,
                             const uint32_t* key) {
  uint32_t k0 = key[0], k1 = key[1];
  MJ_UNROLL
  for (int round = 0; round < 10; ++round) {
    const uint64_t a = uint64_t{c0} * 0xD2511F53u;
    const uint64_t b = uint64_t{c2} * 0xCD9E8D57u;
    c0 = static_cast<uint32_t>(b >> 32) ^ c1 ^ k0;
    c1 = static_cast<uint32_t>(b);
    c2 = static_cast<uint32_t>(a >> 32) ^ c3 ^ k1;
    c3 = static_cast<uint32_t>(a);
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  return {{c0, c1, c2, c3}};
}

// 1 / w of one element; 0 where it has no weight.
MJ_INLINE float inverse_weight(const MjAttentionArgs* args, int batch, int head, int kv_head, int q,
                               int k) {
  const float w = mj_weight(args, batch, head, kv_head, q, k);
  return w > 0.0f ? __builtin_fminf(1.0f / w, 0x1.fffffep127f) : 0.0f;
}

// Does dropout keep one element?
MJ_INLINE bool dropout_keeps(const MjAttentionArgs* args, int batch, int head, int query, int k) {
  const PhiloxWords r =
      philox(static_cast<uint32_t>(k / 64 * 16 + k % 16), static_cast<uint32_t>(query),
             static_cast<uint32_t>(head), static_cast<uint32_t>(batch), args->dropout_key);
  const int word = k / 16 % 4;
  const uint32_t low = word == 0 ? r.words[0] : r.words[1];
  const uint32_t high = word == 2 ? r.words[2] : r.words[3];
  return (word < 2 ? low : high) >= args->dropout_threshold;
}

// Of the elements of a warp's tile, where the kernel has weights or dropout. Element 4 n + e of a
// row tile is e of its 8 keys n, as in Scores.
struct Adjustment {
  float inverse[kMaxRowTiles][4 * kMaxKeyTiles];  // 1 / weight
  uint32_t kept[kMaxRowTiles];                    // bits: not dropped
};

// `k_begin` is a multiple of 16, and the tile's keys lie in one aligned block of 64.
template <typename RowOf>
MJ_INLINE void find_weights(const MjAttentionArgs* args, const QueryBlock& block, WarpTile tile,
                            int lane, int k_begin, RowOf row, Adjustment& adjustment) {
  const int t = lane & 3;
  const int last_key = static_cast<int>(args->kv_len) - 1;
  MJ_ROLL
  for (int m = 0; m < tile.rows; ++m) {
    MJ_ROLL
    for (int e = 0; e < tile.keys * 4; ++e) {
      const LaneRow at = row(m, e >> 1 & 1);
      const int k = smaller(k_begin + (e >> 2) * 8 + 2 * t + (e & 1), last_key);
      adjustment.inverse[m][e] =
          inverse_weight(args, block.batch, at.head, block.kv_head, at.position, k);
    }
  }
}

template <typename RowOf>
MJ_INLINE void find_dropout(const MjAttentionArgs* args, const QueryBlock& block, WarpTile tile,
                            int lane, int k_begin, RowOf row, Adjustment& adjustment) {
  const int t = lane & 3;
  // The numbers of a counter are those of four keys, 16 apart.
  const int first = k_begin / 64 * 16 + 2 * t;
  const int before = k_begin % 64 / 16;
  MJ_UNROLL
  for (int m = 0; m < tile.rows; ++m) {
    uint32_t kept = 0;
    MJ_ROLL
    for (int i = 0; i < 8; ++i) {
      const int r = i >> 1 & 1, c = i & 1, upper = i >> 2;
      const LaneRow at = row(m, r);
      const PhiloxWords numbers = philox(
          static_cast<uint32_t>(first + upper * 8 + c), static_cast<uint32_t>(at.query),
          static_cast<uint32_t>(at.head), static_cast<uint32_t>(block.batch), args->dropout_key);
      uint32_t bits = 0;
      MJ_UNROLL
      for (int w = 0; w < 4; ++w)
        bits |= static_cast<uint32_t>(numbers.words[w] >= args->dropout_threshold) << (8 * w);
      kept |= bits >> (8 * before) << (upper * 4 + r * 2 + c);
    }
    adjustment.kept[m] = kept;
  }
}

template <typename RowOf>
MJ_INLINE void find_adjustment(const MjAttentionArgs* args, const QueryBlock& block, WarpTile tile,
                               int lane, int k_begin, RowOf row, Adjustment& adjustment) {
  if (mj_weighted) find_weights(args, block, tile, lane, k_begin, row, adjustment);
  if (mj_dropout != MJ_NO_DROPOUT) find_dropout(args, block, tile, lane, k_begin, row, adjustment);
}

// Changes an exponential; adds to `total` what the denominator takes of it.
MJ_INLINE void adjust(bool weighted, float inverse, bool kept, float scale, float& x,
                      float& total) {
  if (weighted) x *= inverse;
  if (mj_dropout != MJ_DROPOUT_RENORMALISE) total += x;
  if (mj_dropout != MJ_NO_DROPOUT) x = kept ? x * scale : 0.0f;
  if (mj_dropout == MJ_DROPOUT_RENORMALISE) total += x;
}

}  // namespace mj
