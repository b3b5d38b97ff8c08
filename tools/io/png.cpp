#include "tools/io/png.h"

#include <png.h>

#include <algorithm>

#include "tools/io/file.h"

namespace maskjit::io {

void Image::fill(int x, int y, int w, int h, Color color) {
  const int right = std::min(x + w, width), bottom = std::min(y + h, height);
  for (int row = std::max(y, 0); row < bottom; ++row) {
    for (int column = std::max(x, 0); column < right; ++column) at(column, row) = color;
  }
}

Status write_png(const std::string& path, const Image& image) {
  static_assert(sizeof(Color) == 3);
  png_image png = {};
  png.version = PNG_IMAGE_VERSION;
  png.width = static_cast<png_uint_32>(image.width);
  png.height = static_cast<png_uint_32>(image.height);
  png.format = PNG_FORMAT_RGB;
  png_alloc_size_t size = 0;
  if (!png_image_write_get_memory_size(png, size, 0, image.pixels.data(), 0, nullptr)) {
    return file_error(path, std::string("cannot make a PNG: ") + png.message);
  }
  std::vector<std::byte> bytes(size);
  if (!png_image_write_to_memory(&png, bytes.data(), &size, 0, image.pixels.data(), 0, nullptr)) {
    return file_error(path, std::string("cannot make a PNG: ") + png.message);
  }
  return write_bytes(path, {std::span<const std::byte>(bytes.data(), size)});
}

}  // namespace maskjit::io
