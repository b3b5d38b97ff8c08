#pragma once
// Made-up values of tensors: always the same ones.
#include <cstdint>

#include "runtime/api/tensor_view.h"

namespace maskjit::cli {

class Random {
 public:
  // Close to normal: mean 0, variance 1. `tensor` is contiguous.
  void fill(const TensorView& tensor);

 private:
  double next();
  uint64_t state_ = 1;
};

}  // namespace maskjit::cli
