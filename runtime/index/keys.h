#pragma once
// The keys of an update, which is where an index takes everything from.
#include <cstdint>

#include "runtime/api/tensor_view.h"
#include "runtime/plan/elements.h"

namespace maskjit::index {

struct Keys {
  const char* data;
  ElementType type;
  int64_t count, head_dim;
  int64_t batch_bytes, head_bytes, row_bytes;

  // [batch, num_kv_heads, count, head_dim], unit stride on the last dimension
  explicit Keys(const TensorView& view)
      : data(static_cast<const char*>(view.data)),
        type(view.type),
        count(view.shape[2]),
        head_dim(view.shape[3]),
        batch_bytes(view.shape[0] == 1 ? 0 : view.strides[0] * size_of(view.type)),
        head_bytes(view.shape[1] == 1 ? 0 : view.strides[1] * size_of(view.type)),
        row_bytes(view.shape[2] == 1 ? 0 : view.strides[2] * size_of(view.type)) {}

  const char* rows(int64_t batch, int64_t kv_head) const {
    return data + batch * batch_bytes + kv_head * head_bytes;
  }
  // Channels first .. first + n - 1 of a row.
  void widen(const char* row, int64_t first, int64_t n, float* out) const {
    const auto* halves = reinterpret_cast<const uint16_t*>(row) + first;
    switch (type) {
      case ElementType::F16:
        for (int64_t d = 0; d < n; ++d) out[d] = plan::half_to_float(halves[d]);
        break;
      case ElementType::BF16:
        for (int64_t d = 0; d < n; ++d) out[d] = plan::bfloat16_to_float(halves[d]);
        break;
      default:
        std::memcpy(out, reinterpret_cast<const float*>(row) + first,
                    static_cast<size_t>(n) * sizeof(float));
    }
  }
};

// What codebooks and centres are made from: the largest power of two that is at most n; 0 for 0.
inline int64_t epoch_of(int64_t n) {
  return n == 0 ? 0 : static_cast<int64_t>(std::bit_floor(static_cast<uint64_t>(n)));
}

}  // namespace maskjit::index
