#pragma once
// A mask as plain arrays, for callers that carry masks in a form of their own (tensors of a traced
// program, files), and back. pack() gives views of the mask's storage: nothing is copied.
#include <span>

#include "runtime/mask/mask.h"

namespace maskjit {

struct PackedMask {
  Mask::Representation representation = Mask::Representation::Empty;
  std::vector<int64_t> shape;
  // Dense: [rows, ceil(columns / 64)], column c is bit c % 64 of word c / 64, bits past the last
  // column are 0. Empty otherwise.
  std::span<const uint64_t> words;
  // Dense, if some weight is not 1: where the weights of a word's active columns start in
  // `weights`, in ascending order, or -1 where all of them are 1. As many as there are words.
  std::span<const int64_t> weight_start;
  // Index: the columns of row r, ascending, are those of row_pointers[r] .. row_pointers[r + 1]
  // - 1.
  std::span<const int64_t> row_pointers;
  std::span<const int32_t> columns;
  // In (0, 1]. Dense: as weight_start says. Index: one a column, or none if all are 1.
  std::span<const float> weights;
};

// Views that live as long as some copy of the mask does.
PackedMask pack(const Mask& mask);

// The mask that packed to these arrays. They are copied and checked: InvalidInput says what is
// wrong with arrays that no mask packs to.
Result<Mask> unpack(const PackedMask& packed);

}  // namespace maskjit
