#pragma once
// A mask as kernels read it: its bits and weights, and the classes of its tiles.
#include "runtime/mask/bit_rows.h"

namespace maskjit {

// Rows and columns of a tile; kernels call it mj_summary_block.
inline constexpr int64_t kTileSide = 64;

struct KernelMask {
  // Of an empty or full mask one row, which stands for all of them.
  const BitRows* bits = nullptr;
  bool one_row = false;
  // 0 no bit, 1 some, 2 all: [leading dimensions..., row blocks, column blocks], contiguous. Row
  // blocks never cross into another group of the last but one dimension.
  std::vector<uint8_t> tiles;
  int64_t tile_columns = 0;
};

// `group`: rows of the last but one dimension.
void classify_tiles(const BitRows& bits, int64_t group, KernelMask& mask);

}  // namespace maskjit
