#pragma once
// The active entries of a mask row by row, whatever its representation.
#include "runtime/mask/storage.h"

namespace maskjit {

class Entries {
 public:
  explicit Entries(const Mask::Storage& storage) : s_(storage) {}

  // visit(column, weight) for the active entries of a row, columns ascending.
  template <typename Visit>
  void visit_row(int64_t row, const Visit& visit) const {
    switch (s_.representation) {
      case Mask::Representation::Empty:
        return;
      case Mask::Representation::Full:
        for (int64_t c = 0; c < s_.columns; ++c) visit(c, 1.0f);
        return;
      case Mask::Representation::Dense:
        for (int64_t i = 0; i < s_.bits->row_words; ++i) {
          const auto word = static_cast<size_t>(row * s_.bits->row_words + i);
          const float* weights = s_.bits->weights_of(word);
          for_each_bit(s_.bits->words[word], [&](int bit) {
            visit(i * kBitsPerWord + bit, weights != nullptr ? *weights++ : 1.0f);
          });
        }
        return;
      case Mask::Representation::Index: {
        const auto end = static_cast<size_t>(s_.index->row_pointers[static_cast<size_t>(row) + 1]);
        for (auto i = static_cast<size_t>(s_.index->row_pointers[static_cast<size_t>(row)]);
             i < end; ++i) {
          visit(int64_t{s_.index->columns[i]}, s_.index->weight(i));
        }
        return;
      }
    }
  }

 private:
  const Mask::Storage& s_;
};

}  // namespace maskjit
