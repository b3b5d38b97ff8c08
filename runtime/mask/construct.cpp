// Masks from the caller's tensors: every value is checked, the first wrong one is named.
#include <fmt/ranges.h>

#include <algorithm>
#include <cstring>
#include <numeric>

#include "runtime/mask/mask.h"
#include "runtime/mask/rows.h"
#include "runtime/mask/storage.h"
#include "runtime/plan/views.h"

namespace maskjit {
namespace {

using plan::invalid;

// Eight bytes, each 0 or not, as eight bits.
uint64_t bits_of_bytes(const uint8_t* bytes) {
  uint64_t x;
  std::memcpy(&x, bytes, 8);
  const uint64_t low = 0x7F7F7F7F7F7F7F7F;
  const uint64_t ones = (((x & low) + low) | x) >> 7 & 0x0101010101010101;
  return ones * 0x0102040810204080 >> 56;
}

uint64_t word_of_bytes(const uint8_t* bytes, int64_t count, int64_t stride) {
  uint64_t word = 0;
  if (count == kBitsPerWord && stride == 1) {
    for (int i = 0; i < 8; ++i) word |= bits_of_bytes(bytes + 8 * i) << 8 * i;
    return word;
  }
  for (int64_t i = 0; i < count; ++i) {
    word |= uint64_t{bytes[i * stride] != 0} << i;
  }
  return word;
}

// The weight as a float, or an error that says where it is outside of 0 to 1. A weight above 0
// stays above 0.
std::optional<std::string> check_weight(double value, float& weight) {
  if (!(value >= 0.0 && value <= 1.0)) return fmt::format("{}, outside of 0 to 1", value);
  weight = static_cast<float>(value);
  if (weight == 0.0f && value > 0.0) return fmt::format("{}, too small for f32", value);
  return std::nullopt;
}

std::optional<Error> check_weights_type(const TensorView& weights) {
  if (is_floating(weights.type)) return std::nullopt;
  return invalid(fmt::format("weights {} have element type {}; f16, bf16, f32 and f64 are possible",
                             weights.describe(), name_of(weights.type)));
}

std::optional<Error> check_integers(std::string_view name, const TensorView& view) {
  if (auto error = plan::check_view(name, view)) return error;
  if (is_index(view.type)) return std::nullopt;
  return invalid(fmt::format("{} {} have element type {}; i32 and i64 are possible", name,
                             view.describe(), name_of(view.type)));
}

// The columns of one row, in any order and with repetitions, become the next row of an index.
class IndexBuilder {
 public:
  explicit IndexBuilder(bool weighted) : weighted_(weighted) { index_.row_pointers.push_back(0); }

  // Entries of weight 0 are not active.
  void add(int64_t column, float weight) {
    if (weight > 0.0f) row_.push_back({static_cast<int32_t>(column), weight});
  }
  void end_row() {
    // Repetitions by weight, so that their sum does not depend on the order in which they came.
    const auto before = [](const Entry& a, const Entry& b) {
      return a.column != b.column ? a.column < b.column : a.weight < b.weight;
    };
    if (!std::is_sorted(row_.begin(), row_.end(), before)) {
      std::sort(row_.begin(), row_.end(), before);
    }
    for (size_t i = 0; i < row_.size();) {
      float weight = row_[i].weight;
      const int32_t column = row_[i].column;
      for (++i; i < row_.size() && row_[i].column == column; ++i) {
        weight = std::min(weight + row_[i].weight, 1.0f);
      }
      index_.columns.push_back(column);
      if (weighted_) index_.weights.push_back(weight);
    }
    index_.row_pointers.push_back(static_cast<int64_t>(index_.columns.size()));
    row_.clear();
  }
  IndexRows take() { return std::move(index_); }

 private:
  struct Entry {
    int32_t column;
    float weight;
  };
  bool weighted_;
  std::vector<Entry> row_;
  IndexRows index_;
};

}  // namespace

Result<Mask> Mask::from_dense(const TensorView& values) {
  const bool boolean = values.type == ElementType::Bool;
  if (!boolean && !is_floating(values.type)) {
    return invalid(fmt::format(
        "a mask cannot be made of {}: element types bool, f16, bf16, f32 and f64 are possible",
        values.describe()));
  }
  if (auto error = check_mask_shape(values.shape)) return std::move(*error);
  if (auto error = plan::check_view("mask", values)) return std::move(*error);
  BitRows bits(rows_of(values.shape), values.shape.back());
  const int64_t stride = values.strides.back();
  std::optional<Error> error;
  for_each_row(values, [&](int64_t row, int64_t first) {
    if (error) return;
    for (int64_t i = 0; i < bits.row_words; ++i) {
      const auto word = static_cast<size_t>(row * bits.row_words + i);
      const int64_t begin = i * kBitsPerWord;
      const int64_t count = std::min(bits.columns - begin, kBitsPerWord);
      if (boolean) {
        bits.words[word] = word_of_bytes(
            static_cast<const uint8_t*>(values.data) + first + begin * stride, count, stride);
        continue;
      }
      float weights[kBitsPerWord];
      int active = 0;
      for (int64_t c = 0; c < count; ++c) {
        const double value = load_real(values, first + (begin + c) * stride);
        if (value == 0.0) continue;
        if (auto problem = check_weight(value, weights[active])) {
          error = invalid(fmt::format("mask {}: the weight at {} is {}", values.describe(),
                                      subscripts_of(values.shape, row, begin + c), *problem));
          return;
        }
        bits.words[word] |= uint64_t{1} << c;
        ++active;
      }
      bits.append_weights(word, weights);
    }
  });
  if (error) return std::move(*error);
  return Access::of(values.shape, std::move(bits));
}

Result<Mask> Mask::from_indices(std::vector<int64_t> shape, const TensorView& indices,
                                const TensorView& row_pointers, const TensorView& weights) {
  if (auto error = check_mask_shape(shape)) return std::move(*error);
  const std::string of = " of " + describe_shape(shape);
  if (auto error = check_integers("indices" + of, indices)) return std::move(*error);
  if (auto error = check_integers("row_pointers" + of, row_pointers)) return std::move(*error);
  const int64_t rows = rows_of(shape);
  const int64_t columns = shape.back();
  if (indices.shape.size() != 1) {
    return invalid(fmt::format("indices{} {} have {} dimensions; 1 is needed", of,
                               indices.describe(), indices.shape.size()));
  }
  if (row_pointers.shape != std::vector<int64_t>{rows + 1}) {
    return invalid(fmt::format("row_pointers{} are {}; for {} rows, [{}] is needed", of,
                               row_pointers.describe(), rows, rows + 1));
  }
  const int64_t count = indices.shape[0];
  if (weights.defined()) {
    if (auto error = plan::check_view("weights" + of, weights)) return std::move(*error);
    if (auto error = check_weights_type(weights)) return std::move(*error);
    if (weights.shape != indices.shape) {
      return invalid(fmt::format("weights{} are {}; for {} indices, [{}] is needed", of,
                                 weights.describe(), count, count));
    }
  }
  const auto pointer = [&](int64_t row) {
    return load_index(row_pointers, row * row_pointers.strides[0]);
  };
  if (pointer(0) != 0 || pointer(rows) != count) {
    return invalid(
        fmt::format("row_pointers{} go from {} to {}; they must go from 0 to {}, the "
                    "number of indices",
                    of, pointer(0), pointer(rows), count));
  }
  IndexBuilder builder(weights.defined());
  for (int64_t row = 0; row < rows; ++row) {
    const int64_t begin = pointer(row);
    const int64_t end = pointer(row + 1);
    if (end < begin || end > count) {
      return invalid(fmt::format("row_pointers{} go from {} to {} at row {}; they must not {}", of,
                                 begin, end, row,
                                 end < begin ? "fall" : fmt::format("exceed {}", count)));
    }
    for (int64_t i = begin; i < end; ++i) {
      const int64_t position = load_index(indices, i * indices.strides[0]);
      const int64_t column = position < 0 ? -1 : position - row * columns;
      if (column < 0 || column >= columns) {
        return invalid(
            fmt::format("index {}{} is {}; the row pointers put it into row {}, which has {} to {}",
                        i, of, position, row, row * columns, (row + 1) * columns - 1));
      }
      float weight = 1.0f;
      if (weights.defined()) {
        if (auto problem = check_weight(load_real(weights, i * weights.strides[0]), weight)) {
          return invalid(fmt::format("weight {}{} is {}", i, of, *problem));
        }
      }
      builder.add(column, weight);
    }
    builder.end_row();
  }
  return Access::of(std::move(shape), builder.take());
}

Result<Mask> Mask::from_row_indices(std::vector<int64_t> shape, const TensorView& columns,
                                    const TensorView& weights, bool padding) {
  if (auto error = check_mask_shape(shape)) return std::move(*error);
  const std::string of = " of " + describe_shape(shape);
  if (auto error = check_integers("columns" + of, columns)) return std::move(*error);
  const auto expected = [&] {
    return fmt::format("[{}{}n]", fmt::join(std::span(shape).first(shape.size() - 1), ", "),
                       shape.size() > 1 ? ", " : "");
  };
  if (columns.shape.size() != shape.size() ||
      !std::equal(shape.begin(), shape.end() - 1, columns.shape.begin())) {
    return invalid(
        fmt::format("columns{} are {}; {} is needed", of, columns.describe(), expected()));
  }
  const int64_t width = columns.shape.back();
  if (width == 0) {
    return invalid(
        fmt::format("columns{} are {}; a row needs at least one", of, columns.describe()));
  }
  if (weights.defined()) {
    if (auto error = plan::check_view("weights" + of, weights)) return std::move(*error);
    if (auto error = check_weights_type(weights)) return std::move(*error);
    if (weights.shape != columns.shape) {
      return invalid(fmt::format("weights{} {} and columns {} differ in shape", of,
                                 weights.describe(), columns.describe()));
    }
  }
  std::vector<int64_t> weight_rows;
  if (weights.defined()) {
    for_each_row(weights, [&](int64_t, int64_t first) { weight_rows.push_back(first); });
  }
  IndexBuilder builder(weights.defined());
  std::optional<Error> error;
  for_each_row(columns, [&](int64_t row, int64_t first) {
    if (error) return;
    for (int64_t i = 0; i < width; ++i) {
      const int64_t column = load_index(columns, first + i * columns.strides.back());
      if (padding && column < 0) continue;
      if (column < 0 || column >= shape.back()) {
        error =
            invalid(fmt::format("column {}{} at {} is outside of 0 to {}{}", column, of,
                                subscripts_of(columns.shape, row, i), shape.back() - 1,
                                column < 0 ? "; with padding, negative columns are left out" : ""));
        return;
      }
      float weight = 1.0f;
      if (weights.defined()) {
        const int64_t at = weight_rows[static_cast<size_t>(row)] + i * weights.strides.back();
        if (auto problem = check_weight(load_real(weights, at), weight)) {
          error = invalid(fmt::format("the weight{} at {} is {}", of,
                                      subscripts_of(weights.shape, row, i), *problem));
          return;
        }
      }
      builder.add(column, weight);
    }
    builder.end_row();
  });
  if (error) return std::move(*error);
  return Access::of(std::move(shape), builder.take());
}

}  // namespace maskjit
