#pragma once
// An explicit mask over a tensor of any rank of at least 1, usually [batch, num_heads, q_len,
// kv_len]: each entry is inactive (0) or active with a weight w in (0, 1], the probability with
// which it was kept. Attention divides the exponentials by w.
//
// A mask is one of four representations: Empty and Full have no storage, Dense has a bit for each
// entry, Index the sorted columns of each row. Weights are stored only where some are not 1. What a
// mask is follows from its entries alone: one without active entries is Empty, one with all of them
// and no weight but 1 is Full, however it was made. In attention an empty mask excludes every key.
//
// Masks are immutable values that share their storage: copies are cheap, and all members may be
// used from several threads at once. Functions that take a caller's tensors copy what they need.
// Cost is linear in the storage of the operands, and in the size of dense tensors that are read or
// written.
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/api/result.h"
#include "runtime/api/tensor_view.h"

namespace maskjit {

struct BitRows;
struct KernelMask;

// Compressed sparse rows. Entry i of row r = row_pointers[r] .. row_pointers[r + 1] - 1 is at the
// flat row-major position indices[i] of the whole tensor: r * shape.back() + column.
struct MaskIndex {
  std::vector<int64_t> indices;       // ascending
  std::vector<int64_t> row_pointers;  // one more than there are rows
  std::vector<float> weights;         // one an index
};

class Mask {
 public:
  enum class Representation : uint8_t { Empty, Full, Dense, Index };

  // A shape has at least one dimension; its last one counts the columns (keys), the others are
  // rows. Extents are 0 to 2^30.
  static Result<Mask> empty(std::vector<int64_t> shape);
  static Result<Mask> full(std::vector<int64_t> shape);

  // Bool, or weights in 0 to 1 of a floating type; any strides. Dense, unless empty or full.
  static Result<Mask> from_dense(const TensorView& values);

  // Flat positions i64 or i32 [n], in row order but in any order within a row, with row pointers
  // i64 or i32 [rows + 1] that agree with them; weights floating [n], or without shape: all 1.
  // A position given several times gets the sum of its weights, at most 1. Index, unless empty or
  // full; likewise the next one.
  static Result<Mask> from_indices(std::vector<int64_t> shape, const TensorView& indices,
                                   const TensorView& row_pointers, const TensorView& weights = {});

  // Columns of each row, i64 or i32 [shape without its last dimension..., n], n at least 1, and
  // weights of the same shape, or without shape: all 1. With padding, negative columns are not
  // there; without, they are an error. Columns given several times as above.
  static Result<Mask> from_row_indices(std::vector<int64_t> shape, const TensorView& columns,
                                       const TensorView& weights = {}, bool padding = false);

  const std::vector<int64_t>& shape() const;
  Representation representation() const;
  bool is_empty() const { return representation() == Representation::Empty; }
  bool is_full() const { return representation() == Representation::Full; }
  // Some weight of an active entry is not 1.
  bool is_weighted() const;
  int64_t entries() const;
  int64_t active() const;
  // active / entries; 0 for a mask without entries.
  double density() const;
  std::string describe() const;  // "dense mask[1, 2, 8, 8], 12 of 128 active, weighted"

  // The same mask with the storage of Dense or Index. An empty mask stays Empty and a full one
  // Full: their entries need no storage.
  // Fails only for want of memory: bits need 8 bytes for each 64 columns of each row.
  Result<Mask> dense() const;
  Mask index() const;

  // The entries as compressed sparse rows, whatever the representation.
  MaskIndex to_index() const;
  // Writes every entry: its weight, or whether it is active for a Bool tensor. Of the mask's shape.
  Status to_dense(const TensorView& values) const;

  // Weights add up, at most 1; in particular the union of masks without weights.
  Result<Mask> merge(const Mask& other) const;

  // result = values * w, and result = values / w where the entry is active and 0 elsewhere, also
  // where `values` is not finite. Both tensors are of one floating type and of the mask's shape;
  // they may be the same memory.
  Status apply(const TensorView& values, const TensorView& result) const;
  Status apply_inverse(const TensorView& values, const TensorView& result) const;

  // The same shape and the same entries with the same weights.
  bool operator==(const Mask& other) const;

  struct Storage;  // internal, likewise Access
  struct Access;

  // The bits of any mask, made once and kept with it. Fails only for want of memory.
  Result<const BitRows*> bits() const;
  // What kernels read of a mask of any rank, made once and kept with it; likewise.
  Result<const KernelMask*> for_kernel() const;

 private:
  explicit Mask(std::shared_ptr<const Storage> storage) : storage_(std::move(storage)) {}

  std::shared_ptr<const Storage> storage_;
};

std::string_view name_of(Mask::Representation representation);

}  // namespace maskjit
