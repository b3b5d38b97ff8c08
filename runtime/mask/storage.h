#pragma once
// What a Mask shares between its copies, and how masks are made of rows of bits or indices. Not
// part of the public API.
#include <mutex>
#include <optional>

#include "runtime/mask/kernel_mask.h"
#include "runtime/mask/mask.h"

namespace maskjit {

// Compressed sparse rows with columns instead of flat positions, ascending and without repetition.
struct IndexRows {
  std::vector<int64_t> row_pointers;  // rows + 1
  std::vector<int32_t> columns;
  std::vector<float> weights;  // one a column; empty: all 1

  float weight(size_t i) const { return weights.empty() ? 1.0f : weights[i]; }
};

struct Mask::Storage {
  std::vector<int64_t> shape;
  int64_t rows = 0;
  int64_t columns = 0;
  Representation representation = Representation::Empty;
  int64_t active = 0;
  std::optional<BitRows> bits;     // Dense
  std::optional<IndexRows> index;  // Index
  // The bits of other masks, once they were asked for.
  mutable std::once_flag converting;
  mutable std::optional<BitRows> converted;
  // What kernels read, once one did.
  mutable std::once_flag preparing;
  mutable std::optional<BitRows> single_row;
  mutable std::optional<KernelMask> kernel;
};

struct Mask::Access {
  // Each takes a checked shape. Masks of rows without active entries are Empty, masks with all of
  // them and no weight but 1 Full.
  static Mask of(std::vector<int64_t> shape, Representation empty_or_full);
  static Mask of(std::vector<int64_t> shape, BitRows bits);
  static Mask of(std::vector<int64_t> shape, IndexRows index);
  static const Storage& storage(const Mask& mask) { return *mask.storage_; }

 private:
  static std::shared_ptr<Storage> storage_of(std::vector<int64_t> shape);
};

// Why no mask can have this shape, if so.
std::optional<Error> check_mask_shape(const std::vector<int64_t>& shape);
int64_t rows_of(const std::vector<int64_t>& shape);
std::string describe_shape(const std::vector<int64_t>& shape);  // "mask[2, 8]"

// The bits of the mask cannot be allocated.
Error no_memory(const Mask::Storage& storage);

// "[0, 1, 2]": the subscripts of an entry.
std::string subscripts_of(const std::vector<int64_t>& shape, int64_t row, int64_t column);

// All rows of one bit pattern.
void fill(BitRows& bits);
BitRows bits_of(const IndexRows& index, int64_t rows, int64_t columns);
IndexRows index_of(const BitRows& bits);

}  // namespace maskjit
