#include "tests/runtime/mask/model.h"

#include <gtest/gtest.h>

#include <cstring>

#include "runtime/mask/rows.h"

namespace maskjit {

int64_t Model::rows() const {
  int64_t rows = 1;
  for (size_t d = 0; d + 1 < shape.size(); ++d) rows *= shape[d];
  return rows;
}

std::vector<int64_t> random_shape(std::mt19937_64& random) {
  const int64_t columns[] = {1, 2, 63, 64, 65, 100, 128, 200};
  std::vector<int64_t> shape;
  const auto leading = static_cast<int>(random() % 4);
  for (int d = 0; d < leading; ++d) shape.push_back(static_cast<int64_t>(random() % 4 + 1));
  shape.push_back(columns[random() % std::size(columns)]);
  return shape;
}

Model random_model(std::mt19937_64& random, const std::vector<int64_t>& shape, Content content) {
  Model model{shape, {}};
  int64_t entries = 1;
  for (int64_t extent : shape) entries *= extent;
  const auto eighths = [&] { return static_cast<double>(random() % 8 + 1) / 8; };
  for (int64_t i = 0; i < entries; ++i) {
    const bool active = random() % 3 == 0;
    switch (content) {
      case Content::Nothing:
        model.weights.push_back(0);
        break;
      case Content::Everything:
        model.weights.push_back(1);
        break;
      case Content::Bits:
        model.weights.push_back(active ? 1 : 0);
        break;
      case Content::Weights:
        model.weights.push_back(active ? eighths() : 0);
        break;
      case Content::FewWeights:  // whole words without any
        model.weights.push_back(active ? (i / 64 % 3 == 1 ? eighths() : 1) : 0);
        break;
    }
  }
  return model;
}

Buffer::Buffer(ElementType type, std::vector<int64_t> shape)
    : view_(TensorView::contiguous(nullptr, type, std::move(shape))) {
  bytes_.resize(static_cast<size_t>(view_.elements() * size_of(type)));
  view_.data = bytes_.data();
}

Buffer Buffer::strided(ElementType type, std::vector<int64_t> shape) {
  Buffer buffer(type, std::move(shape));
  int64_t stride = 2;
  for (size_t d = 0; d < buffer.view_.shape.size(); ++d) {
    buffer.view_.strides[d] = stride;
    stride *= buffer.view_.shape[d] + 1;
  }
  buffer.bytes_.resize(static_cast<size_t>(stride * size_of(type)));
  buffer.view_.data = buffer.bytes_.data();
  return buffer;
}

int64_t Buffer::offset(int64_t index) const {
  int64_t offset = 0;
  for (size_t d = view_.shape.size(); d-- > 0;) {
    offset += index % view_.shape[d] * view_.strides[d];
    index /= view_.shape[d];
  }
  return offset;
}

void Buffer::set(int64_t index, double value) {
  const int64_t at = offset(index);
  switch (view_.type) {
    case ElementType::Bool:
      static_cast<uint8_t*>(view_.data)[at] = value != 0 ? 1 : 0;
      break;
    case ElementType::I64:
      static_cast<int64_t*>(view_.data)[at] = static_cast<int64_t>(value);
      break;
    case ElementType::I32:
      static_cast<int32_t*>(view_.data)[at] = static_cast<int32_t>(value);
      break;
    default:
      store_real(view_, at, value);
  }
}

double Buffer::get(int64_t index) const {
  const int64_t at = offset(index);
  if (view_.type == ElementType::Bool) return static_cast<const uint8_t*>(view_.data)[at];
  if (is_index(view_.type)) return static_cast<double>(load_index(view_, at));
  return load_real(view_, at);
}

void Buffer::set_all(const std::vector<double>& values) {
  for (size_t i = 0; i < values.size(); ++i) set(static_cast<int64_t>(i), values[i]);
}

std::vector<double> Buffer::all() const {
  std::vector<double> values;
  for (int64_t i = 0; i < size(); ++i) values.push_back(get(i));
  return values;
}

Mask dense_mask(const Model& model, ElementType type) {
  Buffer buffer(type, model.shape);
  buffer.set_all(model.weights);
  Result<Mask> mask = Mask::from_dense(buffer.view());
  EXPECT_TRUE(mask.ok()) << (mask.ok() ? "" : mask.error().message);
  return *mask;
}

Mask index_mask(const Model& model) {
  std::vector<int64_t> indices, pointers{0};
  std::vector<float> weights;
  for (int64_t r = 0; r < model.rows(); ++r) {
    for (int64_t c = 0; c < model.columns(); ++c) {
      const int64_t i = r * model.columns() + c;
      const double w = model.weights[static_cast<size_t>(i)];
      if (w == 0) continue;
      indices.push_back(i);
      weights.push_back(static_cast<float>(w));
    }
    pointers.push_back(static_cast<int64_t>(indices.size()));
  }
  const auto count = static_cast<int64_t>(indices.size());
  Result<Mask> mask = Mask::from_indices(
      model.shape, TensorView::contiguous(indices.data(), ElementType::I64, {count}),
      TensorView::contiguous(pointers.data(), ElementType::I64, {model.rows() + 1}),
      TensorView::contiguous(weights.data(), ElementType::F32, {count}));
  EXPECT_TRUE(mask.ok()) << (mask.ok() ? "" : mask.error().message);
  return *mask;
}

Model model_of(const Mask& mask) {
  Buffer buffer(ElementType::F64, mask.shape());
  const Status done = mask.to_dense(buffer.view());
  EXPECT_TRUE(done.ok()) << (done.ok() ? "" : done.error().message);
  return {mask.shape(), buffer.all()};
}

}  // namespace maskjit
