#pragma once
// An image of 8-bit RGB -> a PNG file.
#include <cstdint>
#include <string>
#include <vector>

#include "runtime/api/result.h"

namespace maskjit::io {

struct Color {
  uint8_t red = 0, green = 0, blue = 0;
  bool operator==(const Color&) const = default;
};

struct Image {
  int width = 0;
  int height = 0;
  std::vector<Color> pixels;  // row-major

  Image(int w, int h, Color fill)
      : width(w), height(h), pixels(static_cast<size_t>(w) * static_cast<size_t>(h), fill) {}
  Color& at(int x, int y) {
    return pixels[static_cast<size_t>(y) * static_cast<size_t>(width) + static_cast<size_t>(x)];
  }
  // Clipped to the image.
  void fill(int x, int y, int w, int h, Color color);
};

Status write_png(const std::string& path, const Image& image);

}  // namespace maskjit::io
