#include "tools/maskjit/raster.h"

#include <random>

#include "tools/maskjit/console.h"

namespace maskjit::cli {
namespace {

using analysis::TileClass;

// Larger cells are sampled.
constexpr int64_t kExactCell = 1024;
constexpr int64_t kSamples = 256;

int64_t cell_size(int64_t length, int max_cells) {
  int64_t cell = 1;
  while ((length + cell - 1) / cell > max_cells) cell *= 2;
  return cell;
}

// The tile (or, for cells larger than a tile, the cell) around an element.
std::pair<int64_t, int64_t> around(int64_t position, int64_t cell, int64_t tile, int64_t length) {
  const int64_t size = std::max(cell, tile);
  const int64_t first = position / size * size;
  return {first, std::min(first + size, length) - 1};
}

float share_of(MaskView& view, const TileRect& rect, bool& exact) {
  const int64_t rows = rect.q1 - rect.q0 + 1, columns = rect.k1 - rect.k0 + 1;
  int64_t hits = 0;
  if (rows * columns <= kExactCell) {
    for (int64_t q = rect.q0; q <= rect.q1; ++q) {
      for (int64_t k = rect.k0; k <= rect.k1; ++k) hits += view.active(q, k) ? 1 : 0;
    }
    return static_cast<float>(hits) / static_cast<float>(rows * columns);
  }
  exact = false;
  std::mt19937_64 random(static_cast<uint64_t>(rect.q0 * 31 + rect.k0));
  for (int64_t i = 0; i < kSamples; ++i) {
    const auto q = static_cast<int64_t>(random() % static_cast<uint64_t>(rows));
    const auto k = static_cast<int64_t>(random() % static_cast<uint64_t>(columns));
    hits += view.active(rect.q0 + q, rect.k0 + k) ? 1 : 0;
  }
  return static_cast<float>(hits) / static_cast<float>(kSamples);
}

}  // namespace

Raster rasterise(MaskView& view, int64_t tile_q, int64_t tile_k, int max_rows, int max_columns) {
  Raster raster;
  raster.q_len = view.lengths().q_len;
  raster.kv_len = view.lengths().kv_len;
  raster.tile_q = tile_q;
  raster.tile_k = tile_k;
  raster.cell_q = cell_size(raster.q_len, max_rows);
  raster.cell_k = cell_size(raster.kv_len, max_columns);
  raster.rows = static_cast<int>((raster.q_len + raster.cell_q - 1) / raster.cell_q);
  raster.columns = static_cast<int>((raster.kv_len + raster.cell_k - 1) / raster.cell_k);
  Progress progress("drawing");
  for (int row = 0; row < raster.rows; ++row) {
    progress.update(row, raster.rows);
    for (int column = 0; column < raster.columns; ++column) {
      TileRect rect;
      rect.q0 = row * raster.cell_q;
      rect.k0 = column * raster.cell_k;
      rect.q1 = std::min(rect.q0 + raster.cell_q, raster.q_len) - 1;
      rect.k1 = std::min(rect.k0 + raster.cell_k, raster.kv_len) - 1;
      const auto [tq0, tq1] = around(rect.q0, raster.cell_q, tile_q, raster.q_len);
      const auto [tk0, tk1] = around(rect.k0, raster.cell_k, tile_k, raster.kv_len);
      Cell cell;
      cell.tile = view.classify({tq0, tq1, tk0, tk1});
      switch (cell.tile) {
        case TileClass::Empty:
          break;
        case TileClass::Full:
          cell.active = 1;
          break;
        case TileClass::Partial:
          cell.active = share_of(view, rect, raster.exact);
          break;
      }
      raster.cells.push_back(cell);
    }
  }
  return raster;
}

}  // namespace maskjit::cli
