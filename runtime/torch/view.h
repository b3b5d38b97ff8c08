#pragma once
// Tensors as the engine takes them.
#include <ATen/core/Tensor.h>

#include "runtime/api/tensor_view.h"

namespace maskjit::torch {

// A view of the tensor's memory, which has its element type, sizes and strides. Throws for types
// that no view can have.
TensorView view_of(const char* name, const at::Tensor& tensor);

// Kernels read rows whose elements lie side by side: the tensor, or a copy where they do not.
at::Tensor with_unit_stride(const at::Tensor& tensor);

}  // namespace maskjit::torch
