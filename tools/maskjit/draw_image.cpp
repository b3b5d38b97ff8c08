#include <fmt/format.h>

#include "tools/maskjit/raster.h"

namespace maskjit::cli {
namespace {

using analysis::TileClass;
using io::Color;

// The ground that a tile is drawn on and the colour of its active elements.
struct Shade {
  Color ground, active;
};

Shade shade_of(TileClass tile) {
  switch (tile) {
    case TileClass::Empty:
      return {{0xf3, 0xf3, 0xf1}, {0xf3, 0xf3, 0xf1}};
    case TileClass::Partial:
      return {{0xfb, 0xe6, 0xc4}, {0xc9, 0x6f, 0x1e}};
    case TileClass::Full:
      return {{0x2f, 0x7d, 0x62}, {0x2f, 0x7d, 0x62}};
  }
  return {};
}
constexpr Color kBorder = {0x80, 0x80, 0x80};
constexpr Color kGrid = {0xd9, 0xd9, 0xd5};

Color blend(Color from, Color to, float share) {
  const auto mix = [share](uint8_t a, uint8_t b) {
    return static_cast<uint8_t>(static_cast<float>(a) +
                                (static_cast<float>(b) - static_cast<float>(a)) * share + 0.5F);
  };
  return {mix(from.red, to.red), mix(from.green, to.green), mix(from.blue, to.blue)};
}

Color color_of(const Cell& cell) {
  const Shade shade = shade_of(cell.tile);
  return blend(shade.ground, shade.active, cell.active);
}

int pixels_a_cell(int cells) { return std::max(1, 512 / std::max(cells, 1)); }

std::string hex(Color color) {
  return fmt::format("#{:02x}{:02x}{:02x}", color.red, color.green, color.blue);
}

}  // namespace

io::Image draw_image(const Raster& raster) {
  const int scale = std::min(pixels_a_cell(std::max(raster.rows, raster.columns)), 24);
  io::Image image(raster.columns * scale + 2, raster.rows * scale + 2, kBorder);
  for (int row = 0; row < raster.rows; ++row) {
    for (int column = 0; column < raster.columns; ++column) {
      image.fill(1 + column * scale, 1 + row * scale, scale, scale,
                 color_of(raster.at(row, column)));
    }
  }
  // Lines between tiles where a tile is large enough to see.
  const int64_t tile_rows = raster.tile_q / raster.cell_q * scale;
  const int64_t tile_columns = raster.tile_k / raster.cell_k * scale;
  if (tile_rows >= 12) {
    for (int64_t y = tile_rows; y < image.height - 2; y += tile_rows) {
      image.fill(1, static_cast<int>(y) + 1, image.width - 2, 1, kGrid);
    }
  }
  if (tile_columns >= 12) {
    for (int64_t x = tile_columns; x < image.width - 2; x += tile_columns) {
      image.fill(static_cast<int>(x) + 1, 1, 1, image.height - 2, kGrid);
    }
  }
  return image;
}

std::string draw_svg(const Raster& raster, const std::string& title, const std::string& caption) {
  const int scale = std::min(pixels_a_cell(std::max(raster.rows, raster.columns)), 24);
  const int width = raster.columns * scale, height = raster.rows * scale;
  constexpr int kLeft = 60, kTop = 48, kBottom = 30;
  const auto escaped = [](const std::string& text) {
    std::string out;
    for (const char c : text) {
      out += c == '<'   ? "&lt;"
             : c == '&' ? "&amp;"
             : c == '>' ? "&gt;"
             : c == '"' ? "&quot;"
                        : std::string(1, c);
    }
    return out;
  };
  std::string svg = fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{0}\" height=\"{1}\" viewBox=\"0 0 {0} "
      "{1}\" "
      "font-family=\"sans-serif\" font-size=\"12\" shape-rendering=\"crispEdges\">\n"
      "<title>{2}</title>\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n",
      std::max(width + kLeft + 12, 360), height + kTop + kBottom, escaped(title));
  svg += fmt::format("<text x=\"{}\" y=\"18\" font-weight=\"bold\">{}</text>\n", kLeft,
                     escaped(title));
  svg += fmt::format("<text x=\"{}\" y=\"40\">keys 0 to {}</text>\n", kLeft, raster.kv_len - 1);
  svg +=
      fmt::format("<text x=\"4\" y=\"{}\">queries</text>\n<text x=\"4\" y=\"{}\">0 to {}</text>\n",
                  kTop + 12, kTop + 26, raster.q_len - 1);
  svg += fmt::format("<text x=\"{}\" y=\"{}\">{}</text>\n", kLeft, height + kTop + 20,
                     escaped(caption));
  svg += fmt::format("<g transform=\"translate({},{})\">\n", kLeft, kTop);
  for (int row = 0; row < raster.rows; ++row) {
    for (int column = 0; column < raster.columns;) {
      const Color color = color_of(raster.at(row, column));
      int end = column + 1;
      while (end < raster.columns && color_of(raster.at(row, end)) == color) ++end;
      svg += fmt::format("<rect x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" fill=\"{}\"/>\n",
                         column * scale, row * scale, (end - column) * scale, scale, hex(color));
      column = end;
    }
  }
  svg +=
      fmt::format("<rect width=\"{}\" height=\"{}\" fill=\"none\" stroke=\"{}\"/>\n</g>\n</svg>\n",
                  width, height, hex(kBorder));
  return svg;
}

}  // namespace maskjit::cli
