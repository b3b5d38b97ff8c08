#pragma once
// A mask at given lengths -> a grid of cells, each with its share of active elements and its tile's
// class: what the ASCII, PNG and SVG pictures are drawn from.
#include <string>
#include <vector>

#include "tools/io/png.h"
#include "tools/maskjit/mask_view.h"

namespace maskjit::cli {

struct Cell {
  analysis::TileClass tile = analysis::TileClass::Empty;  // of the tile that holds the cell
  float active = 0;                                       // share, 0 to 1
};

struct Raster {
  int64_t q_len = 0, kv_len = 0;
  int64_t cell_q = 1, cell_k = 1;  // elements a cell
  int64_t tile_q = 64, tile_k = 64;
  int rows = 0, columns = 0;
  bool exact = true;        // false: shares of large cells were sampled
  std::vector<Cell> cells;  // row-major

  const Cell& at(int row, int column) const {
    return cells[static_cast<size_t>(row) * static_cast<size_t>(columns) +
                 static_cast<size_t>(column)];
  }
};

// Cells of powers of two elements, no more than so many of them.
Raster rasterise(MaskView& view, int64_t tile_q, int64_t tile_k, int max_rows, int max_columns);

std::string draw_ascii(const Raster& raster);
io::Image draw_image(const Raster& raster);
std::string draw_svg(const Raster& raster, const std::string& title, const std::string& caption);

}  // namespace maskjit::cli
