#include "runtime/index/blocks.h"

#include <cstring>
#include <stdexcept>

namespace maskjit::index {
namespace {

int64_t blocks_for(int64_t rows) { return (rows + mj_index_block - 1) / mj_index_block; }

}  // namespace

void Blocks::reserve(int64_t rows) {
  const int64_t needed = blocks_for(rows);
  if (needed <= capacity_) return;
  const int64_t capacity = std::max(needed, capacity_ + capacity_ / 2);
  const __int128 bytes =
      static_cast<__int128>(batch_) * heads_ * capacity * strips_ * lane_bytes_ * mj_index_block;
  if (bytes > INT64_MAX) throw std::length_error("too many bytes");
  AlignedVector<char> grown(static_cast<size_t>(bytes));
  const size_t used = static_cast<size_t>(blocks_for(rows_) * block_bytes());
  for (int64_t head = 0; used != 0 && head < batch_ * heads_; ++head) {
    std::memcpy(grown.data() + head * capacity * block_bytes(), data_.data() + head * head_bytes(),
                used);
  }
  data_ = std::move(grown);
  capacity_ = capacity;
}

void Blocks::resize(int64_t rows) {
  if (rows < rows_) {
    const int64_t whole = blocks_for(rows);
    const int64_t first = rows % mj_index_block;
    for (int64_t head = 0; head < batch_ * heads_; ++head) {
      char* base = data_.data() + head * head_bytes();
      std::memset(base + whole * block_bytes(), 0,
                  static_cast<size_t>((blocks_for(rows_) - whole) * block_bytes()));
      if (first == 0) continue;
      char* last = base + (whole - 1) * block_bytes();
      for (int64_t s = 0; s < strips_; ++s) {
        std::memset(last + (s * mj_index_block + first) * lane_bytes_, 0,
                    static_cast<size_t>((mj_index_block - first) * lane_bytes_));
      }
    }
  }
  rows_ = rows;
}

uint64_t Blocks::bytes_for(int64_t rows) const {
  const __int128 bytes = static_cast<__int128>(batch_) * heads_ * blocks_for(rows) * block_bytes();
  return bytes > INT64_MAX ? UINT64_MAX : static_cast<uint64_t>(bytes);
}

MjIndexRows Blocks::view() const {
  return {data_.data(), heads_ * head_bytes(), head_bytes(), block_bytes()};
}

void Blocks::write(Writer& writer) const {
  const size_t used = static_cast<size_t>(blocks_for(rows_) * block_bytes());
  for (int64_t head = 0; head < batch_ * heads_; ++head)
    writer.bytes(data_.data() + head * head_bytes(), used);
}

bool Blocks::read(Reader& reader) {
  const size_t used = static_cast<size_t>(blocks_for(rows_) * block_bytes());
  for (int64_t head = 0; head < batch_ * heads_; ++head) {
    if (!reader.bytes(data_.data() + head * head_bytes(), used)) return false;
  }
  return true;
}

}  // namespace maskjit::index
