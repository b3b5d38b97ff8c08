// Sums of weights, at most 1, and equality: on the bits or on the sorted columns of both masks.
#include <algorithm>
#include <optional>

#include <fmt/format.h>

#include "runtime/mask/mask.h"
#include "runtime/mask/storage.h"

namespace maskjit {
namespace {

BitRows merge_bits(const BitRows& a, const BitRows& b) {
  BitRows out(a.rows, a.columns);
  for (size_t i = 0; i < out.words.size(); ++i) {
    out.words[i] = a.words[i] | b.words[i];
    const float* weights_a = a.weights_of(i);
    const float* weights_b = b.weights_of(i);
    if (weights_a == nullptr && weights_b == nullptr) continue;
    float weights[kBitsPerWord];
    int count = 0;
    const auto take = [](uint64_t word, int bit, const float*& from) {
      if ((word >> bit & 1) == 0) return 0.0f;
      return from != nullptr ? *from++ : 1.0f;
    };
    for_each_bit(out.words[i], [&](int bit) {
      const float w = take(a.words[i], bit, weights_a);
      weights[count++] = std::min(w + take(b.words[i], bit, weights_b), 1.0f);
    });
    out.append_weights(i, weights);
  }
  return out;
}

IndexRows merge_index(const IndexRows& a, const IndexRows& b) {
  IndexRows out;
  const bool weighted = !a.weights.empty() || !b.weights.empty();
  out.columns.reserve(a.columns.size() + b.columns.size());
  if (weighted) out.weights.reserve(a.columns.size() + b.columns.size());
  out.row_pointers.reserve(a.row_pointers.size());
  out.row_pointers.push_back(0);
  for (size_t row = 0; row + 1 < a.row_pointers.size(); ++row) {
    auto i = static_cast<size_t>(a.row_pointers[row]);
    auto j = static_cast<size_t>(b.row_pointers[row]);
    const auto i_end = static_cast<size_t>(a.row_pointers[row + 1]);
    const auto j_end = static_cast<size_t>(b.row_pointers[row + 1]);
    while (i < i_end || j < j_end) {
      const bool from_a = i < i_end && (j == j_end || a.columns[i] <= b.columns[j]);
      const bool from_b = j < j_end && (i == i_end || b.columns[j] <= a.columns[i]);
      out.columns.push_back(from_a ? a.columns[i] : b.columns[j]);
      if (weighted) {
        const float w = (from_a ? a.weight(i) : 0.0f) + (from_b ? b.weight(j) : 0.0f);
        out.weights.push_back(std::min(w, 1.0f));
      }
      i += from_a;
      j += from_b;
    }
    out.row_pointers.push_back(static_cast<int64_t>(out.columns.size()));
  }
  return out;
}

}  // namespace

Result<Mask> Mask::merge(const Mask& other) const {
  if (shape() != other.shape()) {
    return Error{ErrorKind::InvalidInput,
                 fmt::format("{} and {} differ in shape: masks of one shape can be merged",
                             describe_shape(shape()), describe_shape(other.shape()))};
  }
  if (is_empty() || other.is_full()) return other;
  if (other.is_empty() || is_full()) return *this;
  if (representation() == Representation::Index &&
      other.representation() == Representation::Index) {
    return Access::of(shape(), merge_index(*storage_->index, *other.storage_->index));
  }
  const auto a = bits();
  if (!a) return a.error();
  const auto b = other.bits();
  if (!b) return b.error();
  return Access::of(shape(), merge_bits(**a, **b));
}

bool Mask::operator==(const Mask& other) const {
  if (storage_ == other.storage_) return true;
  if (shape() != other.shape() || active() != other.active() ||
      is_weighted() != other.is_weighted()) {
    return false;
  }
  if (is_empty() || is_full()) return representation() == other.representation();
  const auto same_index = [](const IndexRows& a, const IndexRows& b) {
    return a.row_pointers == b.row_pointers && a.columns == b.columns && a.weights == b.weights;
  };
  const Storage& a = *storage_;
  const Storage& b = *other.storage_;
  // The weights of a word are stored in one order, so that equal bits have equal starts.
  if (a.bits && b.bits) {
    return a.bits->words == b.bits->words && a.bits->weight_start == b.bits->weight_start &&
           a.bits->weights == b.bits->weights;
  }
  if (a.index && b.index) return same_index(*a.index, *b.index);
  return a.index ? same_index(*a.index, index_of(*b.bits))
                 : same_index(index_of(*a.bits), *b.index);
}

}  // namespace maskjit
