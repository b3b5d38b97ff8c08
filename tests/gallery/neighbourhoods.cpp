// Masks of images and videos: places are listed in the order in which they are stored, and a window
// of the definition is found by trying all.
#include <array>
#include <cstdlib>

#include "tests/gallery/check.h"

namespace maskjit::gallery {
namespace {

using Place = std::array<int64_t, 3>;  // z, y, x
using Values = std::map<std::string, std::string>;

std::vector<Place> row_major(const Place& size) {
  std::vector<Place> places;
  for (int64_t z = 0; z < size[0]; ++z) {
    for (int64_t y = 0; y < size[1]; ++y) {
      for (int64_t x = 0; x < size[2]; ++x) places.push_back({z, y, x});
    }
  }
  return places;
}

std::vector<Place> tile_by_tile(const Place& size, const Place& tile) {
  std::vector<Place> places;
  for (const Place& t : row_major({size[0] / tile[0], size[1] / tile[1], size[2] / tile[2]})) {
    for (const Place& inner : row_major(tile)) {
      places.push_back(
          {t[0] * tile[0] + inner[0], t[1] * tile[1] + inner[1], t[2] * tile[2] + inner[2]});
    }
  }
  return places;
}

// Bit by bit, x first, then y, then z if the volume has a depth.
std::vector<Place> morton(const Place& size) {
  std::vector<Place> places(static_cast<size_t>(size[0] * size[1] * size[2]));
  const bool deep = size[0] > 1;
  for (const Place& place : row_major(size)) {
    size_t code = 0;
    int at = 0;
    for (int bit = 0; bit < 16; ++bit) {
      for (const size_t axis : {2U, 1U, 0U}) {
        if (axis == 0 && !deep) continue;
        code += static_cast<size_t>(place[axis] >> bit & 1) << at++;
      }
    }
    places[code] = place;
  }
  return places;
}

// The first place of the window that is nearest to `at`: of those inside of the axis the one with
// the nearest centre, the lower of two.
int64_t nearest_window(int64_t at, int64_t size, int64_t kernel) {
  int64_t best = 0, best_distance = INT64_MAX;
  for (int64_t start = 0; start + kernel <= size; ++start) {
    const int64_t twice = std::abs(2 * start + kernel - 1 - 2 * at);
    if (twice < best_distance) best = start, best_distance = twice;
  }
  return best;
}

bool near(const Place& query, const Place& key, const Place& size, const Place& kernel) {
  for (size_t axis = 0; axis < 3; ++axis) {
    const int64_t start = nearest_window(query[axis], size[axis], kernel[axis]);
    if (key[axis] < start || key[axis] >= start + kernel[axis]) return false;
  }
  return true;
}

Case neighbourhood(const std::vector<Place>& places, const Place& size, const Place& kernel,
                   const Values& values) {
  const int64_t length = static_cast<int64_t>(places.size());
  // By coordinates once, so that elements cost a look.
  std::vector<char> active(places.size() * places.size());
  for (size_t q = 0; q < places.size(); ++q) {
    for (size_t k = 0; k < places.size(); ++k)
      active[q * places.size() + k] = near(places[q], places[k], size, kernel);
  }
  return {{length, length}, values, {}, [active, length](const Element& e) {
            return active[static_cast<size_t>(e.q * length + e.k)] != 0;
          }};
}

Values numbers(const std::vector<std::pair<const char*, int64_t>>& values) {
  Values result;
  for (const auto& [name, value] : values) result[name] = std::to_string(value);
  return result;
}

Case natten_1d(int64_t length, int64_t kernel) {
  const Place size = {1, 1, length};
  return neighbourhood(row_major(size), size, {1, 1, kernel}, numbers({{"kernel", kernel}}));
}

Case natten_2d(int64_t height, int64_t width, int64_t kernel) {
  const Place size = {1, height, width};
  return neighbourhood(row_major(size), size, {1, kernel, kernel},
                       numbers({{"height", height}, {"width", width}, {"kernel", kernel}}));
}

Case natten_3d(const Place& size, int64_t kernel_depth, int64_t kernel) {
  return neighbourhood(row_major(size), size, {kernel_depth, kernel, kernel},
                       numbers({{"depth", size[0]},
                                {"height", size[1]},
                                {"width", size[2]},
                                {"kernel_depth", kernel_depth},
                                {"kernel", kernel}}));
}

Case natten_2d_tiled(int64_t height, int64_t width, int64_t tile, int64_t kernel) {
  const Place size = {1, height, width};
  return neighbourhood(
      tile_by_tile(size, {1, tile, tile}), size, {1, kernel, kernel},
      numbers({{"height", height}, {"width", width}, {"tile", tile}, {"kernel", kernel}}));
}

Case natten_3d_tiled(const Place& size, const Place& tile, int64_t kernel_depth, int64_t kernel) {
  return neighbourhood(tile_by_tile(size, tile), size, {kernel_depth, kernel, kernel},
                       numbers({{"depth", size[0]},
                                {"height", size[1]},
                                {"width", size[2]},
                                {"tile_depth", tile[0]},
                                {"tile", tile[1]},
                                {"kernel_depth", kernel_depth},
                                {"kernel", kernel}}));
}

Case natten_morton(const Place& size, const Place& kernel) {
  return neighbourhood(morton(size), size, kernel,
                       numbers({{"size", size[2]}, {"kernel", kernel[2]}}));
}

// Tiles of the grid are stored one after the other; whole tiles see each other.
Case sliding_tile(const Place& grid, int64_t volume, const Place& window, const Values& values) {
  std::vector<Place> places;
  for (const Place& tile : row_major(grid)) {
    for (int64_t i = 0; i < volume; ++i) places.push_back(tile);
  }
  return neighbourhood(places, grid, window, values);
}

Case sliding_tile_2d(int64_t down, int64_t across, int64_t area, int64_t window) {
  return sliding_tile(
      {1, down, across}, area, {1, window, window},
      numbers({{"down", down}, {"across", across}, {"area", area}, {"window", window}}));
}

Case sliding_tile_3d(const Place& grid, int64_t volume, int64_t window_depth, int64_t window) {
  return sliding_tile(grid, volume, {window_depth, window, window},
                      numbers({{"deep", grid[0]},
                               {"down", grid[1]},
                               {"across", grid[2]},
                               {"volume", volume},
                               {"window_depth", window_depth},
                               {"window", window}}));
}

}  // namespace

std::vector<Check> neighbourhood_checks() {
  // Ranges of keys bound the slowest axis only, and none in Morton order; the classes of tiles do
  // the rest.
  return {
      {"natten_1d", {natten_1d(50, 7), natten_1d(7, 7), natten_1d(20, 6), natten_1d(256, 13)}},
      {"natten_2d",
       {natten_2d(8, 8, 3), natten_2d(5, 11, 5), natten_2d(7, 6, 4), natten_2d(16, 32, 5)}},
      {"natten_3d",
       {natten_3d({3, 4, 5}, 3, 3), natten_3d({4, 3, 3}, 2, 3), natten_3d({8, 8, 8}, 3, 3)},
       {0, 0, 0.2}},
      {"natten_2d_tiled",
       {natten_2d_tiled(8, 12, 4, 3), natten_2d_tiled(9, 6, 3, 5), natten_2d_tiled(8, 8, 8, 3),
        natten_2d_tiled(32, 16, 4, 5)},
       {0, 0, 0.2}},
      {"natten_3d_tiled",
       {natten_3d_tiled({2, 4, 6}, {1, 2, 2}, 1, 3), natten_3d_tiled({6, 3, 6}, {2, 3, 3}, 3, 3),
        natten_3d_tiled({4, 8, 16}, {2, 4, 4}, 3, 3)},
       {0, 0, 1},
       {0, 0, 1}},
      {"natten_2d_morton",
       {natten_morton({1, 8, 8}, {1, 3, 3}), natten_morton({1, 2, 2}, {1, 1, 1}),
        natten_morton({1, 16, 16}, {1, 4, 4}), natten_morton({1, 32, 32}, {1, 5, 5})},
       {0, 0, 1},
       {0, 0, 1}},
      {"natten_3d_morton",
       {natten_morton({4, 4, 4}, {3, 3, 3}), natten_morton({2, 2, 2}, {2, 2, 2}),
        natten_morton({8, 8, 8}, {3, 3, 3})},
       {0, 0, 1},
       {0, 0, 1}},
      {"sliding_tile_2d",
       {sliding_tile_2d(4, 3, 4, 3), sliding_tile_2d(5, 5, 3, 5), sliding_tile_2d(4, 4, 64, 3)},
       {0, 0, 0.45},
       {0, 0, 0.45}},
      {"sliding_tile_3d",
       {sliding_tile_3d({3, 3, 4}, 4, 3, 3), sliding_tile_3d({2, 4, 3}, 3, 2, 1),
        sliding_tile_3d({4, 3, 2}, 64, 3, 1)},
       {0, 0, 0.75},
       {0, 0, 0.75}},
  };
}

}  // namespace maskjit::gallery
