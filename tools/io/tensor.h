#pragma once
// A tensor that came from a file or was made here: a view and the memory (heap or mapped file) that
// it keeps alive. Copies share the memory; a mapped tensor is read-only.
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "runtime/api/result.h"
#include "runtime/api/tensor_view.h"

namespace maskjit::io {

class Tensor {
 public:
  Tensor() = default;
  Tensor(TensorView view, std::shared_ptr<const void> owner)
      : view_(std::move(view)), owner_(std::move(owner)) {}

  // Zeroed, contiguous, aligned to a page; an Error if the size overflows or the memory is not
  // there.
  static Result<Tensor> zeros(ElementType type, const std::vector<int64_t>& shape);

  const TensorView& view() const { return view_; }
  bool defined() const { return view_.defined(); }
  template <typename T>
  T* data() const {
    return static_cast<T*>(view_.data);
  }

 private:
  TensorView view_;
  std::shared_ptr<const void> owner_;
};

// Bytes of a contiguous tensor, or nullopt if a dimension is negative or the product of the others
// leaves 63 bits.
std::optional<int64_t> byte_size(ElementType type, const std::vector<int64_t>& shape);

bool is_contiguous(const TensorView& view);

// A contiguous copy of another element type. Floats round to nearest even, floats to integers
// toward zero (clamped), anything to Bool as != 0.
Result<Tensor> convert(const TensorView& view, ElementType type);

// Element `index` of contiguous memory of any type as a double.
double load_double(const void* data, ElementType type, int64_t index);
void store_double(void* data, ElementType type, int64_t index, double value);

}  // namespace maskjit::io
