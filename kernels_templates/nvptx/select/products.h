#pragma once
// Exact scores: products of the row's query with listed keys, which are read where they are.
#include "kernels_templates/nvptx/select/row.h"

namespace mj {

typedef float Floats4 __attribute__((ext_vector_type(4)));

// a + <query[d ..], sixteen bytes of a key>.
MJ_INLINE float add_chunk(const SelectRow& row, Words4 key, int chunk, float a) {
  const uint32_t at = row.queries + static_cast<uint32_t>(chunk * (mj_element == MJ_F32 ? 16 : 32));
  if (mj_element == MJ_F32) {
    const Floats4 q = load_shared<Floats4>(at);
    MJ_UNROLL
    for (int i = 0; i < 4; ++i) {
      const uint32_t bits = key[i];
      a = __builtin_fmaf(q[i], __builtin_bit_cast(float, bits), a);
    }
    return a;
  }
  const Floats4 q[2] = {load_shared<Floats4>(at), load_shared<Floats4>(at, 16)};
  MJ_UNROLL
  for (int i = 0; i < 4; ++i) {
    const uint16_t low = static_cast<uint16_t>(key[i]), high = static_cast<uint16_t>(key[i] >> 16);
    const float x = mj_element == MJ_BF16 ? widen_bf16(low) : widen_f16(low);
    const float y = mj_element == MJ_BF16 ? widen_bf16(high) : widen_f16(high);
    a = __builtin_fmaf(q[i / 2][i % 2 * 2], x, a);
    a = __builtin_fmaf(q[i / 2][i % 2 * 2 + 1], y, a);
  }
  return a;
}

// This lane's part (every eighth chunk, or channel) of the product with a key.
MJ_INLINE float part_of_product(const SelectRow& row, const char* key, int part) {
  float sum = 0.0f;
  const int bytes = element_bytes(mj_element);
  if (mj_head_dim * bytes % 16 == 0 && row.wide_keys) {
    MJ_ROLL
    for (int chunk = part; chunk < mj_head_dim * bytes / 16; chunk += 8)
      sum = add_chunk(row, reinterpret_cast<const Words4*>(key)[chunk], chunk, sum);
    return sum;
  }
  MJ_ROLL
  for (int d = part; d < mj_head_dim; d += 8)
    sum = __builtin_fmaf(query_at(row, d), load_element(key, d, mj_element), sum);
  return sum;
}

// <query, key 32 word + lane> of the lanes in `bits`, 0 of the others. Eight lanes make a product;
// keys that are not in `bits` are not read.
MJ_INLINE float products_of_word(const SelectRow& row, int word, uint32_t bits) {
  const MjAttentionArgs* args = row.attention();
  const int lane = lane_index(), part = lane & 7, slot = lane >> 3;
  const char* keys = row_of(args->key, mj_element, row.batch, row.kv_head, 0);
  const int64_t stride = args->key.row_stride * element_bytes(mj_element);
  float mine = 0.0f;
  MJ_ROLL
  for (int round = 0; round < 4; ++round) {
    if ((bits >> (8 * round) & 255) == 0) continue;
    float sums[2] = {0.0f, 0.0f};
    MJ_UNROLL
    for (int i = 0; i < 2; ++i) {
      const int key = round * 8 + i * 4 + slot;
      if (has_bit(bits, key))
        sums[i] = part_of_product(row, keys + (int64_t{word} * 32 + key) * stride, part);
    }
    MJ_UNROLL
    for (int i = 0; i < 2; ++i) {
      MJ_UNROLL
      for (int lanes = 1; lanes < 8; lanes <<= 1) sums[i] += shuffle_xor(sums[i], lanes);
      // Lane l of the eight of this round has key l of them, from slot l % 4.
      const float found =
          __builtin_bit_cast(float, shuffle_from(__builtin_bit_cast(int, sums[i]), (lane & 3) * 8));
      if (slot == round && (lane >> 2 & 1) == i) mine = found;
    }
  }
  return mine;
}

// From a product to what is ranked: the product itself, or the logit.
MJ_INLINE float score_of_product(const SelectRow& row, int key, float product) {
  const MjAttentionArgs* args = row.attention();
  if (keeps_products(args)) return product;
  return logit(args, row.batch, row.head, row.kv_head, row.position, smaller(key, row.kv_len() - 1),
               row.additive, product);
}
// What turns an exact score into a base-2 exponent.
MJ_INLINE float exact_factor(const SelectRow& row) {
  return keeps_products(row.attention()) ? row.attention()->scale * kLog2E : kLog2E;
}

}  // namespace mj
