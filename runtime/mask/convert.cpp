// From one representation to another, and out to the caller's tensors.
#include <algorithm>
#include <new>
#include <numeric>

#include <fmt/ranges.h>

#include "runtime/mask/entries.h"
#include "runtime/mask/mask.h"
#include "runtime/mask/rows.h"
#include "runtime/plan/views.h"

namespace maskjit {

void fill(BitRows& bits) {
  for (int64_t row = 0; row < bits.rows; ++row) {
    for (int64_t i = 0; i < bits.row_words; ++i) {
      bits.words[static_cast<size_t>(row * bits.row_words + i)] = bits.columns_of_word(i);
    }
  }
}

BitRows bits_of(const IndexRows& index, int64_t rows, int64_t columns) {
  BitRows bits(rows, columns);
  for (int64_t row = 0; row < rows; ++row) {
    auto i = static_cast<size_t>(index.row_pointers[static_cast<size_t>(row)]);
    const auto end = static_cast<size_t>(index.row_pointers[static_cast<size_t>(row) + 1]);
    while (i < end) {
      // The columns of one word.
      const size_t begin = i;
      const int64_t word = index.columns[begin] / kBitsPerWord;
      const auto at = static_cast<size_t>(row * bits.row_words + word);
      for (; i < end && index.columns[i] / kBitsPerWord == word; ++i) {
        bits.words[at] |= uint64_t{1} << index.columns[i] % kBitsPerWord;
      }
      if (!index.weights.empty()) bits.append_weights(at, index.weights.data() + begin);
    }
  }
  return bits;
}

IndexRows index_of(const BitRows& bits) {
  IndexRows index;
  const auto active = static_cast<size_t>(bits.active());
  index.columns.reserve(active);
  if (bits.is_weighted()) index.weights.reserve(active);
  index.row_pointers.reserve(static_cast<size_t>(bits.rows) + 1);
  index.row_pointers.push_back(0);
  for (int64_t row = 0; row < bits.rows; ++row) {
    for (int64_t i = 0; i < bits.row_words; ++i) {
      const auto word = static_cast<size_t>(row * bits.row_words + i);
      const float* weights = bits.weights_of(word);
      for_each_bit(bits.words[word], [&](int bit) {
        index.columns.push_back(static_cast<int32_t>(i * kBitsPerWord + bit));
        if (bits.is_weighted()) index.weights.push_back(weights != nullptr ? *weights++ : 1.0f);
      });
    }
    index.row_pointers.push_back(static_cast<int64_t>(index.columns.size()));
  }
  return index;
}

Error no_memory(const Mask::Storage& storage) {
  const int64_t words = storage.rows * ((storage.columns + kBitsPerWord - 1) / kBitsPerWord);
  return {ErrorKind::Unsupported,
          fmt::format("{} needs {} bytes as bits, which cannot be allocated",
                      describe_shape(storage.shape), words * 8)};
}

Result<const BitRows*> Mask::bits() const {
  const Storage& s = *storage_;
  if (s.bits) return &*s.bits;
  std::call_once(s.converting, [&] {
    try {
      if (s.index) {
        s.converted = bits_of(*s.index, s.rows, s.columns);
      } else {
        s.converted.emplace(s.rows, s.columns);
        if (s.representation == Representation::Full) fill(*s.converted);
      }
    } catch (const std::bad_alloc&) {
      s.converted.reset();
    }
  });
  if (s.converted) return &*s.converted;
  return no_memory(s);
}

Result<Mask> Mask::dense() const {
  if (representation() != Representation::Index) return *this;
  const auto made = bits();
  if (!made) return made.error();
  return Access::of(shape(), BitRows(**made));
}

Mask Mask::index() const {
  if (representation() != Representation::Dense) return *this;
  return Access::of(shape(), index_of(*storage_->bits));
}

MaskIndex Mask::to_index() const {
  MaskIndex out;
  out.indices.reserve(static_cast<size_t>(active()));
  out.weights.reserve(static_cast<size_t>(active()));
  out.row_pointers.reserve(static_cast<size_t>(storage_->rows) + 1);
  out.row_pointers.push_back(0);
  const Entries entries(*storage_);
  for (int64_t row = 0; row < storage_->rows; ++row) {
    entries.visit_row(row, [&](int64_t column, float weight) {
      out.indices.push_back(row * storage_->columns + column);
      out.weights.push_back(weight);
    });
    out.row_pointers.push_back(static_cast<int64_t>(out.indices.size()));
  }
  return out;
}

Status Mask::to_dense(const TensorView& values) const {
  const bool boolean = values.type == ElementType::Bool;
  if (!boolean && !is_floating(values.type)) {
    return plan::invalid(fmt::format(
        "a mask cannot be written to {}: element types bool, f16, bf16, f32 and f64 are possible",
        values.describe()));
  }
  if (values.shape != shape()) {
    return plan::invalid(fmt::format("the dense form of {} is written to {}; [{}] is needed",
                                     describe_shape(shape()), values.describe(),
                                     fmt::join(shape(), ", ")));
  }
  if (auto error = plan::check_writable("mask", values)) return std::move(*error);
  const Entries entries(*storage_);
  const int64_t stride = values.strides.back();
  const auto store = [&](int64_t at, float weight) {
    if (boolean) {
      static_cast<uint8_t*>(values.data)[at] = weight != 0.0f ? 1 : 0;
    } else {
      store_real(values, at, static_cast<double>(weight));
    }
  };
  for_each_row(values, [&](int64_t row, int64_t first) {
    for (int64_t c = 0; c < storage_->columns; ++c) store(first + c * stride, 0.0f);
    entries.visit_row(
        row, [&](int64_t column, float weight) { store(first + column * stride, weight); });
  });
  return Done{};
}

}  // namespace maskjit
