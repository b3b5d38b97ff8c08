#include <fmt/format.h>

#include "tools/maskjit/console.h"
#include "tools/maskjit/raster.h"

namespace maskjit::cli {
namespace {

char glyph(float active) { return active <= 0 ? '.' : active >= 1 ? '#' : '+'; }

Style style_of(analysis::TileClass tile) {
  switch (tile) {
    case analysis::TileClass::Empty:
      return Style::Dim;
    case analysis::TileClass::Partial:
      return Style::Yellow;
    case analysis::TileClass::Full:
      return Style::Green;
  }
  return Style::Dim;
}

// Positions above the columns, wherever one fits.
std::string ruler(const Raster& raster, int width_of_cell) {
  std::string line;
  for (int column = 0; column < raster.columns; ++column) {
    const auto at = static_cast<size_t>(column * width_of_cell);
    const bool marked = column % 8 == 0;
    if (marked && line.size() + (line.empty() ? 0 : 1) <= at) {
      line.resize(at, ' ');
      line += fmt::format("{}", column * raster.cell_k);
    }
  }
  return line;
}

}  // namespace

std::string draw_ascii(const Raster& raster) {
  const int width_of_cell = raster.columns <= 32 ? 2 : 1;  // small masks are drawn square
  const size_t label = fmt::format("{}", (raster.rows - 1) * raster.cell_q).size();
  std::string text = fmt::format("{:>{}}  {}\n", "", label, ruler(raster, width_of_cell));
  for (int row = 0; row < raster.rows; ++row) {
    text += fmt::format("{:>{}}  ", row * raster.cell_q, label);
    std::string run;
    for (int column = 0; column < raster.columns; ++column) {
      run += glyph(raster.at(row, column).active);
      const bool last = column + 1 == raster.columns;
      if (width_of_cell == 2 && !last) run += ' ';
      if (last || raster.at(row, column + 1).tile != raster.at(row, column).tile) {
        text += styled(run, style_of(raster.at(row, column).tile));
        run.clear();
      }
    }
    text += '\n';
  }
  const bool elements = raster.cell_q == 1 && raster.cell_k == 1;
  text += elements
              ? "# active   . not\n"
              : fmt::format(
                    "a character is {} x {} (queries x keys):  # all active   + some   . none{}\n",
                    raster.cell_q, raster.cell_k, raster.exact ? "" : "   (sampled)");
  return text;
}

}  // namespace maskjit::cli
