#pragma once
// The rows of a tensor view, and its elements as floats.
#include <cstddef>

#include "runtime/plan/elements.h"

namespace maskjit {

// visit(row, first) for each row of the last dimension in row-major order; `first` is the offset of
// its first element, in elements. The view has at least one dimension.
template <typename Visit>
void for_each_row(const TensorView& view, const Visit& visit) {
  const size_t leading = view.shape.size() - 1;
  int64_t rows = 1;
  for (size_t d = 0; d < leading; ++d) rows *= view.shape[d];
  std::vector<int64_t> at(leading, 0);
  int64_t offset = 0;
  for (int64_t row = 0; row < rows; ++row) {
    visit(row, offset);
    for (size_t d = leading; d-- > 0;) {
      offset += view.strides[d];
      if (++at[d] < view.shape[d]) break;
      offset -= at[d] * view.strides[d];
      at[d] = 0;
    }
  }
}

inline bool is_floating(ElementType type) {
  return type == ElementType::F16 || type == ElementType::BF16 || type == ElementType::F32 ||
         type == ElementType::F64;
}
inline bool is_index(ElementType type) {
  return type == ElementType::I32 || type == ElementType::I64;
}

// An element of a floating view.
inline double load_real(const TensorView& view, int64_t index) {
  if (view.type == ElementType::F64) return static_cast<const double*>(view.data)[index];
  return static_cast<double>(plan::load_floating(view.data, view.type, index));
}
inline void store_real(const TensorView& view, int64_t index, double value) {
  if (view.type == ElementType::F64) {
    static_cast<double*>(view.data)[index] = value;
  } else {
    plan::store_floating(view.data, view.type, index, static_cast<float>(value));
  }
}
// An element of a view of i32 or i64.
inline int64_t load_index(const TensorView& view, int64_t index) {
  return view.type == ElementType::I64 ? static_cast<const int64_t*>(view.data)[index]
                                       : static_cast<const int32_t*>(view.data)[index];
}

}  // namespace maskjit
