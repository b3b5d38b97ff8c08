#pragma once
// How many tiles of a mask are empty, partial and full, and how many elements are active. Work
// grows with the tiles within the key ranges; beyond a few million of them, rows of tiles are
// sampled, and beyond a few million elements those of partial tiles.
#include <cstdint>

#include "tools/maskjit/mask_view.h"

namespace maskjit::cli {

struct TileCount {
  int64_t empty = 0, partial = 0, full = 0;
  double active = 0;  // elements of one batch and head, on average
  bool exact = true;  // false: sampled
  int64_t q_len = 0, kv_len = 0;
  int64_t tile_q = 0, tile_k = 0;
  double density() const {
    const double area = static_cast<double>(q_len) * static_cast<double>(kv_len);
    return area == 0 ? 0 : active / area;
  }
};

// Of the selected batch and head.
TileCount count_selected(MaskView& view, int64_t tile_q, int64_t tile_k);
// Over every batch and head (once, if the mask does not depend on them).
TileCount count_tiles(MaskView& view, int64_t tile_q, int64_t tile_k);

}  // namespace maskjit::cli
