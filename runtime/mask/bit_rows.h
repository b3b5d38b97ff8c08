#pragma once
// The dense form of a mask: rows of bits, and weights only for those words of 64 columns that have
// a weight other than 1. This is also the form in which a kernel reads a mask.
#include <bit>
#include <cstdint>
#include <limits>
#include <vector>

namespace maskjit {

inline constexpr int64_t kBitsPerWord = 64;

struct BitRows {
  int64_t rows = 0;
  int64_t columns = 0;
  int64_t row_words = 0;  // words of a row: every row starts with a new one
  // [rows, row_words]; column c is bit c % 64 of word c / 64. Bits past the last column are 0.
  std::vector<uint64_t> words;
  // Empty if every weight is 1. Otherwise [rows, row_words]: where the weights of a word's active
  // columns start in `weights`, in ascending order, or kAllOne.
  std::vector<int64_t> weight_start;
  std::vector<float> weights;
  static constexpr int64_t kAllOne = -1;

  BitRows(int64_t row_count, int64_t column_count)
      : rows(row_count),
        columns(column_count),
        row_words((column_count + kBitsPerWord - 1) / kBitsPerWord),
        words(static_cast<size_t>(row_count * row_words)) {}

  bool is_weighted() const { return !weight_start.empty(); }
  // The bits of word `index` of a row that are columns.
  uint64_t columns_of_word(int64_t index) const {
    const int64_t left = columns - index * kBitsPerWord;
    return left >= kBitsPerWord ? ~uint64_t{0} : (uint64_t{1} << left) - 1;
  }
  // The weights of a word's active columns in ascending order, or null where all are 1.
  const float* weights_of(size_t word) const {
    if (weight_start.empty() || weight_start[word] == kAllOne) return nullptr;
    return weights.data() + weight_start[word];
  }

  // Sets the next word in order, from the weights of its active columns (null: all 1).
  void append_weights(size_t word, const float* from);
  int64_t active() const;
};

// visit(column) for each bit, ascending.
template <typename Visit>
void for_each_bit(uint64_t bits, const Visit& visit) {
  for (; bits != 0; bits &= bits - 1) visit(std::countr_zero(bits));
}

}  // namespace maskjit
