#pragma once
// Blocks of transposed rows (include/index_layout.h) for each head: what grows with the keys.
#include <cstdint>

#include "kernels_templates/include/index_layout.h"
#include "runtime/index/aligned.h"
#include "runtime/index/bytes.h"

namespace maskjit::index {

class Blocks {
 public:
  Blocks() = default;
  // A block has `strips` strips of lane_bytes for each row.
  Blocks(int64_t batch, int64_t heads, int64_t strips, int64_t lane_bytes)
      : batch_(batch), heads_(heads), strips_(strips), lane_bytes_(lane_bytes) {}

  // Makes room, geometrically; throws std::bad_alloc or std::length_error, and then is as before.
  void reserve(int64_t rows);
  // Rows that are cut off become 0. At most as many as there is room for.
  void resize(int64_t rows);

  MjIndexRows view() const;
  int64_t bytes() const { return static_cast<int64_t>(data_.size()); }
  // What write() writes of `rows` rows.
  uint64_t bytes_for(int64_t rows) const;

  void write(Writer& writer) const;
  // Of as many rows as it has been resized to.
  bool read(Reader& reader);

 private:
  int64_t block_bytes() const { return strips_ * lane_bytes_ * mj_index_block; }
  int64_t head_bytes() const { return capacity_ * block_bytes(); }

  int64_t batch_ = 0, heads_ = 0, strips_ = 0, lane_bytes_ = 0;
  int64_t rows_ = 0;
  int64_t capacity_ = 0;  // blocks of each head
  AlignedVector<char> data_;
};

}  // namespace maskjit::index
