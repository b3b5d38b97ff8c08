#include "runtime/torch/view.h"

#include <c10/util/Exception.h>

namespace maskjit::torch {
namespace {

ElementType element_type(const char* name, const at::Tensor& tensor) {
  switch (tensor.scalar_type()) {
    case at::kBool:
      return ElementType::Bool;
    case at::kChar:
      return ElementType::I8;
    case at::kByte:
      return ElementType::U8;
    case at::kShort:
      return ElementType::I16;
    case at::kInt:
      return ElementType::I32;
    case at::kLong:
      return ElementType::I64;
    case at::kHalf:
      return ElementType::F16;
    case at::kBFloat16:
      return ElementType::BF16;
    case at::kFloat:
      return ElementType::F32;
    case at::kDouble:
      return ElementType::F64;
    default:
      C10_THROW_ERROR(ValueError, c10::str(name, " has type ", tensor.scalar_type(),
                                           ", which no operand can have"));
  }
}

}  // namespace

TensorView view_of(const char* name, const at::Tensor& tensor) {
  TensorView view;
  view.data = const_cast<void*>(tensor.const_data_ptr());
  view.type = element_type(name, tensor);
  view.shape.assign(tensor.sizes().begin(), tensor.sizes().end());
  view.strides.assign(tensor.strides().begin(), tensor.strides().end());
  return view;
}

at::Tensor with_unit_stride(const at::Tensor& tensor) {
  const int64_t last = tensor.dim() - 1;
  const bool fits = last < 0 || tensor.size(last) <= 1 || tensor.stride(last) == 1;
  return fits ? tensor : tensor.contiguous();
}

}  // namespace maskjit::torch
