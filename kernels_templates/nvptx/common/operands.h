#pragma once
// Rows of the operands in global memory, and elements as f32.
#include "kernels_templates/include/device_abi.h"
#include "kernels_templates/include/hooks.h"
#include "kernels_templates/nvptx/common/device.h"

namespace mj {

constexpr float kLog2E = 1.44269504088896340736f;
constexpr float kLn2 = 0.69314718055994530942f;
constexpr float kNegativeInfinity = -__builtin_inff();

MJ_INLINE int element_bytes(int element) {
  return element == MJ_F32 ? 4 : element == MJ_BOOL ? 1 : 2;
}

MJ_INLINE const char* row_of(const MjOperand& x, int element, int64_t batch, int64_t head,
                             int64_t row) {
  const int64_t offset = batch * x.batch_stride + head * x.head_stride + row * x.row_stride;
  return static_cast<const char*>(x.data) + offset * element_bytes(element);
}

MJ_INLINE float load_element(const void* row, int64_t column, int element) {
  if (element == MJ_F32) return static_cast<const float*>(row)[column];
  const uint16_t bits = static_cast<const uint16_t*>(row)[column];
  return element == MJ_BF16 ? widen_bf16(bits) : widen_f16(bits);
}

// Two elements as the 32 bits that the matrix instructions and the results take.
MJ_INLINE uint32_t pack(float low, float high, int element) {
  return element == MJ_BF16 ? pack_bf16(low, high) : pack_f16(low, high);
}

MJ_INLINE void store_element(void* row, int64_t column, float v, int element) {
  if (element == MJ_F32) {
    static_cast<float*>(row)[column] = v;
  } else {
    static_cast<uint16_t*>(row)[column] = static_cast<uint16_t>(pack(v, 0.0f, element));
  }
}

MJ_INLINE float load_additive(const void* row, int64_t column) {
  if (mj_additive == MJ_BOOL) {
    return static_cast<const uint8_t*>(row)[column] != 0 ? 0.0f : kNegativeInfinity;
  }
  return load_element(row, column, mj_additive);
}

// The logit of a product: scale, score function, additive mask.
MJ_INLINE float logit(const MjAttentionArgs* args, int batch, int head, int kv_head, int q, int k,
                      const void* additive, float product) {
  float s = product * args->scale;
  if (!mj_score_identity) s = mj_score(args, batch, head, kv_head, q, k, s);
  if (mj_additive != MJ_NONE) s += load_additive(additive, k);
  return s;
}

// Do products stay as they are, with the scale in the softmax's factor? Without score and additive
// mask, and for a positive scale, which keeps -inf what it is.
MJ_INLINE bool keeps_products(const MjAttentionArgs* args) {
  return mj_score_identity && mj_additive == MJ_NONE && args->scale > 0.0f;
}

// Can rows of `columns` elements of this operand be copied sixteen bytes at a time?
MJ_INLINE bool is_wide(const MjOperand& x, int element, int columns) {
  const int bytes = element_bytes(element);
  if (columns * bytes % 16 != 0) return false;
  const int64_t strides = x.batch_stride | x.head_stride | x.row_stride;
  return ((static_cast<int64_t>(reinterpret_cast<uint64_t>(x.data)) | strides * bytes) & 15) == 0;
}

}  // namespace mj
