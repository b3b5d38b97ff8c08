#include "runtime/mask/packed.h"

#include <fmt/format.h>

#include <algorithm>

#include "runtime/mask/storage.h"

namespace maskjit {
namespace {

Error invalid(const PackedMask& packed, const std::string& problem) {
  return {ErrorKind::InvalidInput,
          fmt::format("packed {} {}", describe_shape(packed.shape), problem)};
}

bool all_weights(std::span<const float> weights) {
  return std::all_of(weights.begin(), weights.end(), [](float w) { return w > 0.0f && w <= 1.0f; });
}

Result<BitRows> unpack_bits(const PackedMask& packed) {
  // Sizes are compared before anything of that size is allocated.
  const int64_t rows = rows_of(packed.shape);
  const int64_t row_words = (packed.shape.back() + kBitsPerWord - 1) / kBitsPerWord;
  if (static_cast<int64_t>(packed.words.size()) != rows * row_words) {
    return invalid(packed, fmt::format("has {} words; {} rows of {} are needed",
                                       packed.words.size(), rows, row_words));
  }
  BitRows bits(rows, packed.shape.back());
  if (!packed.weight_start.empty() && packed.weight_start.size() != packed.words.size()) {
    return invalid(packed, fmt::format("has {} starts of weights for {} words",
                                       packed.weight_start.size(), packed.words.size()));
  }
  std::copy(packed.words.begin(), packed.words.end(), bits.words.begin());
  for (size_t word = 0; word < bits.words.size(); ++word) {
    const auto column_word = static_cast<int64_t>(word) % bits.row_words;
    if ((bits.words[word] & ~bits.columns_of_word(column_word)) != 0) {
      return invalid(packed, fmt::format("has bits past its last column in word {}", word));
    }
    if (packed.weight_start.empty() || packed.weight_start[word] == BitRows::kAllOne) continue;
    const int64_t start = packed.weight_start[word];
    const auto count = static_cast<size_t>(std::popcount(bits.words[word]));
    if (start < 0 || static_cast<size_t>(start) > packed.weights.size() ||
        packed.weights.size() - static_cast<size_t>(start) < count) {
      return invalid(packed, fmt::format("has {} weights; those of word {} start at {}",
                                         packed.weights.size(), word, start));
    }
    const auto weights = packed.weights.subspan(static_cast<size_t>(start), count);
    if (!all_weights(weights)) {
      return invalid(packed, fmt::format("has a weight outside of (0, 1] in word {}", word));
    }
    bits.append_weights(word, weights.data());
  }
  return bits;
}

Result<IndexRows> unpack_index(const PackedMask& packed) {
  const auto rows = static_cast<size_t>(rows_of(packed.shape));
  const auto count = static_cast<int64_t>(packed.columns.size());
  const auto pointers = packed.row_pointers;
  if (pointers.size() != rows + 1 || pointers.front() != 0 || pointers.back() != count ||
      !std::is_sorted(pointers.begin(), pointers.end())) {
    return invalid(packed, fmt::format("has row pointers that do not go from 0 to {} in {} rows",
                                       count, rows));
  }
  for (size_t row = 0; row < rows; ++row) {
    int64_t before = -1;
    for (auto i = static_cast<size_t>(pointers[row]); i < static_cast<size_t>(pointers[row + 1]);
         ++i) {
      if (packed.columns[i] <= before || packed.columns[i] >= packed.shape.back()) {
        return invalid(packed, fmt::format("has columns of row {} that do not ascend from 0 to {}",
                                           row, packed.shape.back() - 1));
      }
      before = packed.columns[i];
    }
  }
  if (!packed.weights.empty() && packed.weights.size() != packed.columns.size()) {
    return invalid(packed, fmt::format("has {} weights for {} columns", packed.weights.size(),
                                       packed.columns.size()));
  }
  if (!all_weights(packed.weights)) return invalid(packed, "has a weight outside of (0, 1]");
  return IndexRows{{pointers.begin(), pointers.end()},
                   {packed.columns.begin(), packed.columns.end()},
                   {packed.weights.begin(), packed.weights.end()}};
}

}  // namespace

PackedMask pack(const Mask& mask) {
  const Mask::Storage& storage = Mask::Access::storage(mask);
  PackedMask packed;
  packed.representation = storage.representation;
  packed.shape = storage.shape;
  if (storage.bits) {
    packed.words = storage.bits->words;
    packed.weight_start = storage.bits->weight_start;
    packed.weights = storage.bits->weights;
  }
  if (storage.index) {
    packed.row_pointers = storage.index->row_pointers;
    packed.columns = storage.index->columns;
    packed.weights = storage.index->weights;
  }
  return packed;
}

Result<Mask> unpack(const PackedMask& packed) {
  if (auto error = check_mask_shape(packed.shape)) return std::move(*error);
  switch (packed.representation) {
    case Mask::Representation::Empty:
    case Mask::Representation::Full:
      return Mask::Access::of(packed.shape, packed.representation);
    case Mask::Representation::Dense: {
      Result<BitRows> bits = unpack_bits(packed);
      if (!bits) return bits.error();
      return Mask::Access::of(packed.shape, std::move(*bits));
    }
    case Mask::Representation::Index: {
      Result<IndexRows> index = unpack_index(packed);
      if (!index) return index.error();
      return Mask::Access::of(packed.shape, std::move(*index));
    }
  }
  return invalid(packed, "has an unknown representation");
}

}  // namespace maskjit
