#pragma once
// A view of the caller's memory: element type, shape and strides (in elements). Owns nothing.
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace maskjit {

enum class ElementType : uint8_t { Bool, I8, U8, I16, I32, I64, F16, BF16, F32, F64 };
std::string_view name_of(ElementType type);
int size_of(ElementType type);

struct TensorView {
  void* data = nullptr;
  ElementType type = ElementType::F32;
  std::vector<int64_t> shape;
  std::vector<int64_t> strides;

  // Row-major without gaps.
  static TensorView contiguous(void* data, ElementType type, std::vector<int64_t> shape);
  bool defined() const { return !shape.empty(); }
  int64_t elements() const;
  std::string describe() const;  // "f32[1, 12, 512, 32]"
};

}  // namespace maskjit
