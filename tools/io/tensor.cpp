#include "tools/io/tensor.h"

#include <fmt/format.h>
#include <sys/mman.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

namespace maskjit::io {
namespace {

template <typename T>
T load(const void* data, int64_t index) {
  T value;
  std::memcpy(&value, static_cast<const char*>(data) + index * static_cast<int64_t>(sizeof(T)),
              sizeof(T));
  return value;
}

template <typename T>
void store(void* data, int64_t index, T value) {
  std::memcpy(static_cast<char*>(data) + index * static_cast<int64_t>(sizeof(T)), &value,
              sizeof(T));
}

template <typename T>
T to_integer(double value) {
  if (std::isnan(value)) return 0;
  if (value <= static_cast<double>(std::numeric_limits<T>::min())) {
    return std::numeric_limits<T>::min();
  }
  if (value >= static_cast<double>(std::numeric_limits<T>::max())) {
    return std::numeric_limits<T>::max();
  }
  return static_cast<T>(value);
}

double bfloat16_to_double(uint16_t bits) {
  return static_cast<double>(std::bit_cast<float>(static_cast<uint32_t>(bits) << 16));
}

// Rounds to nearest even from f32; a double goes through f32, which is exact for f32 sources.
uint16_t double_to_bfloat16(double value) {
  const uint32_t bits = std::bit_cast<uint32_t>(static_cast<float>(value));
  if (std::isnan(value)) return static_cast<uint16_t>((bits >> 16) | 0x40);
  return static_cast<uint16_t>((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}

}  // namespace

std::optional<int64_t> byte_size(ElementType type, const std::vector<int64_t>& shape) {
  int64_t bytes = size_of(type);
  bool empty = false;
  for (const int64_t extent : shape) {
    if (extent < 0 || __builtin_mul_overflow(bytes, std::max<int64_t>(extent, 1), &bytes)) {
      return std::nullopt;
    }
    empty = empty || extent == 0;
  }
  return empty ? 0 : bytes;
}

Result<Tensor> Tensor::zeros(ElementType type, const std::vector<int64_t>& shape) {
  const std::optional<int64_t> bytes = byte_size(type, shape);
  const size_t size = static_cast<size_t>(std::max<int64_t>(bytes.value_or(0), 1));
  void* memory = !bytes.has_value() ? MAP_FAILED
                                    : ::mmap(nullptr, size, PROT_READ | PROT_WRITE,
                                             MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) {
    return Error{ErrorKind::InvalidInput,
                 fmt::format("no memory for a tensor of {}",
                             TensorView{nullptr, type, shape, shape}.describe())};
  }
  std::shared_ptr<const void> owner(
      memory, [size](const void* mapped) { ::munmap(const_cast<void*>(mapped), size); });
  return Tensor(TensorView::contiguous(memory, type, shape), std::move(owner));
}

bool is_contiguous(const TensorView& view) {
  int64_t expected = 1;
  for (size_t d = view.shape.size(); d-- > 0;) {
    if (view.shape[d] == 0) return true;
    if (view.shape[d] != 1 && view.strides[d] != expected) return false;
    expected *= view.shape[d];
  }
  return true;
}

double load_double(const void* data, ElementType type, int64_t index) {
  switch (type) {
    case ElementType::Bool:
      return load<uint8_t>(data, index) != 0 ? 1 : 0;
    case ElementType::I8:
      return load<int8_t>(data, index);
    case ElementType::U8:
      return load<uint8_t>(data, index);
    case ElementType::I16:
      return load<int16_t>(data, index);
    case ElementType::I32:
      return load<int32_t>(data, index);
    case ElementType::I64:
      return static_cast<double>(load<int64_t>(data, index));
    case ElementType::F16:
      return static_cast<double>(load<_Float16>(data, index));
    case ElementType::BF16:
      return bfloat16_to_double(load<uint16_t>(data, index));
    case ElementType::F32:
      return static_cast<double>(load<float>(data, index));
    case ElementType::F64:
      return load<double>(data, index);
  }
  return 0;
}

void store_double(void* data, ElementType type, int64_t index, double value) {
  switch (type) {
    case ElementType::Bool:
      return store<uint8_t>(data, index, value != 0 ? 1 : 0);
    case ElementType::I8:
      return store(data, index, to_integer<int8_t>(value));
    case ElementType::U8:
      return store(data, index, to_integer<uint8_t>(value));
    case ElementType::I16:
      return store(data, index, to_integer<int16_t>(value));
    case ElementType::I32:
      return store(data, index, to_integer<int32_t>(value));
    case ElementType::I64:
      return store(data, index, to_integer<int64_t>(value));
    case ElementType::F16:
      return store(data, index, static_cast<_Float16>(value));
    case ElementType::BF16:
      return store(data, index, double_to_bfloat16(value));
    case ElementType::F32:
      return store(data, index, static_cast<float>(value));
    case ElementType::F64:
      return store(data, index, value);
  }
}

Result<Tensor> convert(const TensorView& view, ElementType type) {
  Result<Tensor> made = Tensor::zeros(type, view.shape);
  if (!made) return made;
  void* out = made->view().data;
  const int64_t count = made->view().elements();
  const bool exact_copy = view.type == type;
  const int64_t size = size_of(type);
  if (exact_copy && is_contiguous(view)) {
    if (count > 0) std::memcpy(out, view.data, static_cast<size_t>(count * size));
    return made;
  }
  std::vector<int64_t> position(view.shape.size(), 0);
  int64_t from = 0;
  for (int64_t to = 0; to < count; ++to) {
    if (exact_copy) {
      std::memcpy(static_cast<char*>(out) + to * size,
                  static_cast<const char*>(view.data) + from * size, static_cast<size_t>(size));
    } else {
      store_double(out, type, to, load_double(view.data, view.type, from));
    }
    for (size_t d = position.size(); d-- > 0;) {
      from += view.strides[d];
      if (++position[d] < view.shape[d]) break;
      from -= position[d] * view.strides[d];
      position[d] = 0;
    }
  }
  return made;
}

}  // namespace maskjit::io
