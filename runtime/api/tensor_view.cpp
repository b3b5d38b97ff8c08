#include "runtime/api/tensor_view.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace maskjit {

std::string_view name_of(ElementType type) {
  switch (type) {
    case ElementType::Bool:
      return "bool";
    case ElementType::I8:
      return "i8";
    case ElementType::U8:
      return "u8";
    case ElementType::I16:
      return "i16";
    case ElementType::I32:
      return "i32";
    case ElementType::I64:
      return "i64";
    case ElementType::F16:
      return "f16";
    case ElementType::BF16:
      return "bf16";
    case ElementType::F32:
      return "f32";
    case ElementType::F64:
      return "f64";
  }
  return "";
}

int size_of(ElementType type) {
  switch (type) {
    case ElementType::Bool:
    case ElementType::I8:
    case ElementType::U8:
      return 1;
    case ElementType::I16:
    case ElementType::F16:
    case ElementType::BF16:
      return 2;
    case ElementType::I32:
    case ElementType::F32:
      return 4;
    case ElementType::I64:
    case ElementType::F64:
      return 8;
  }
  return 0;
}

TensorView TensorView::contiguous(void* data, ElementType type, std::vector<int64_t> shape) {
  TensorView view;
  view.data = data;
  view.type = type;
  view.strides.resize(shape.size());
  uint64_t stride = 1;  // wraps for shapes that no memory can have
  for (size_t i = shape.size(); i-- > 0;) {
    view.strides[i] = static_cast<int64_t>(stride);
    stride *= static_cast<uint64_t>(std::max<int64_t>(shape[i], 1));
  }
  view.shape = std::move(shape);
  return view;
}

int64_t TensorView::elements() const {
  uint64_t count = 1;
  for (int64_t extent : shape) count *= static_cast<uint64_t>(extent);
  return static_cast<int64_t>(count);
}

std::string TensorView::describe() const {
  return fmt::format("{}[{}]", name_of(type), fmt::join(shape, ", "));
}

}  // namespace maskjit
