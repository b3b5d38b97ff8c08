#pragma once
// What a device kernel has to move and multiply for a mask: the measure of `maskjit profile`.
#include <cstdint>
#include <optional>
#include <string>

#include "codegen/spec/kernel_spec.h"
#include "tools/maskjit/mask_view.h"

namespace maskjit::cli {

struct Ideal {
  uint64_t bytes_read = 0;                    // queries once, keys and values of each visited tile
  uint64_t bytes_written = 0;                 // the output once
  std::optional<uint64_t> matrix_operations;  // where the kernel's products are mma.sync
  uint64_t visited_tiles = 0;                 // not empty, over batches and heads
  uint64_t tiles = 0;
  int64_t tile_q = 0, tile_k = 0;
  std::string basis;  // what a tile of keys is read once for
};

Ideal ideal_of(MaskView& view, const codegen::KernelSpec& spec, const Lengths& lengths);

}  // namespace maskjit::cli
