#pragma once
// Tiles of rows in shared memory, padded as include/device_layout.h says: copies from global memory
// by a team of threads (a block or a warp), and the zeros of the padding.
#include "kernels_templates/include/device_layout.h"
#include "kernels_templates/nvptx/common/operands.h"

namespace mj {

MJ_INLINE bool single() { return mj_element == MJ_F32; }
MJ_INLINE int padded(int columns) { return padded_columns(columns, single()); }
MJ_INLINE int pitch_of(int columns) { return tile_pitch(columns, single()); }

// The threads that work on a tile together.
struct Team {
  int thread, threads;
};
MJ_INLINE Team whole_block() { return {thread_index(), mj_warps * kWarp}; }
MJ_INLINE Team own_warp() { return {thread_index() % kWarp, kWarp}; }

MJ_INLINE void store_zero(uint32_t at) {
  if (single()) {
    store_shared<uint32_t>(at, 0);
  } else {
    store_shared<uint16_t>(at, 0);
  }
}

// Zeros in the columns of a tile that pad the head dimension; copies leave them alone.
MJ_INLINE void clear_padding(Team team, uint32_t to, int pitch, int rows, int columns) {
  const int missing = padded(columns) - columns;
  if (missing == 0) return;
  const int bytes = element_bytes(mj_element);
  MJ_ROLL
  for (int i = team.thread; i < rows * missing; i += team.threads)
    store_zero(to + static_cast<uint32_t>(i / missing * pitch + (columns + i % missing) * bytes));
}

// One element from global to shared memory, zero if not `present`.
MJ_INLINE void copy_element(uint32_t to, const char* from, bool present) {
  if (single()) {
    store_shared<uint32_t>(to, present ? *reinterpret_cast<const uint32_t*>(from) : 0);
  } else {
    store_shared<uint16_t>(to, present ? *reinterpret_cast<const uint16_t*>(from) : 0);
  }
}

// Starts to copy `rows` rows (zeros past `present`) of `columns` elements.
MJ_INLINE void load_tile(Team team, uint32_t to, int pitch, const char* from, int64_t row_stride,
                         int rows, int present, int columns, bool wide) {
  const int bytes = element_bytes(mj_element);
  const int64_t stride = row_stride * bytes;
  const int threads = team.threads;
  const int thread = team.thread;
  if (columns * bytes % 16 == 0 && wide) {
    const int chunks = columns * bytes / 16;
    if (threads % chunks == 0) {
      // A thread keeps its chunk of the row and steps down the rows: one address to carry.
      const int step = threads / chunks;
      int row = thread / chunks;
      const char* source = from + row * stride + thread % chunks * 16;
      uint32_t at = to + static_cast<uint32_t>(row * pitch + thread % chunks * 16);
      MJ_UNROLL
      for (int first = 0; first < rows; first += step) {
        if (rows % step != 0 && row >= rows) break;
        copy_async(at, source, row < present);
        row += step;
        source += step * stride;
        at += static_cast<uint32_t>(step * pitch);
      }
      return;
    }
    if (chunks % threads == 0) {
      // Some chunks of every row.
      const char* source = from + thread * 16;
      uint32_t at = to + static_cast<uint32_t>(thread * 16);
      MJ_UNROLL
      for (int row = 0; row < rows; ++row) {
        MJ_UNROLL
        for (int chunk = 0; chunk < chunks; chunk += threads)
          copy_async(at + static_cast<uint32_t>(chunk * 16), source + chunk * 16, row < present);
        source += stride;
        at += static_cast<uint32_t>(pitch);
      }
      return;
    }
    MJ_UNROLL
    for (int start = 0; start < rows * chunks; start += threads) {
      const int i = start + thread;
      if (rows * chunks % threads != 0 && i >= rows * chunks) break;
      const int row = i / chunks;
      const int chunk = i % chunks;
      copy_async(to + static_cast<uint32_t>(row * pitch + chunk * 16),
                 from + row * stride + chunk * 16, row < present);
    }
    return;
  }
  MJ_ROLL
  for (int i = thread; i < rows * columns; i += threads) {
    const int row = i / columns;
    const int column = i % columns;
    copy_element(to + static_cast<uint32_t>(row * pitch + column * bytes),
                 from + row * stride + column * bytes, row < present);
  }
}

}  // namespace mj
