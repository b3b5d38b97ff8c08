#pragma once
// Copies of the tensors that options carry, row-major.
#include <cstdint>
#include <vector>

#include "runtime/index/key_index.h"

namespace maskjit::index {

template <typename T>
struct Tensor {
  std::vector<int64_t> shape;
  std::vector<T> values;
};

// Views of two dimensions that were checked.
template <typename T>
Tensor<T> copy_tensor(const TensorView& view) {
  Tensor<T> copy = {view.shape, {}};
  copy.values.reserve(static_cast<size_t>(view.elements()));
  const T* data = static_cast<const T*>(view.data);
  for (int64_t i = 0; i < view.shape[0]; ++i) {
    for (int64_t j = 0; j < view.shape[1]; ++j)
      copy.values.push_back(data[i * view.strides[0] + j * view.strides[1]]);
  }
  return copy;
}
inline Tensor<int32_t> copy_ints(const TensorView& view) { return copy_tensor<int32_t>(view); }
inline Tensor<float> copy_floats(const TensorView& view) { return copy_tensor<float>(view); }

// Numbers of a head's perceptron.
inline int64_t hash_parameters(const KeyIndex::HashBits& options, int64_t head_dim) {
  const int64_t hidden = options.hidden, bits = options.bits;
  if (options.layers == 1) return (head_dim + 1) * bits;
  return (head_dim + 1) * hidden + (options.layers - 2) * (hidden + 1) * hidden +
         (hidden + 1) * bits;
}

}  // namespace maskjit::index
