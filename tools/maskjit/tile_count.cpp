#include "tools/maskjit/tile_count.h"

#include <cmath>
#include <random>

#include "tools/maskjit/console.h"

namespace maskjit::cli {
namespace {

using analysis::TileClass;

// Tiles within the key ranges that are all looked at.
constexpr int64_t kExactTiles = 4'000'000;
// Rows of tiles that are looked at in any case.
constexpr int64_t kFewestRows = 8;
// Elements of partial tiles that are looked at before sampling begins, and samples a tile from then
// on.
constexpr int64_t kExactElements = 20'000'000;
constexpr int64_t kSamples = 64;

class TileCounter {
 public:
  TileCounter(MaskView& view, int64_t tile_q, int64_t tile_k)
      : view_(view), lengths_(view.lengths()), tile_q_(tile_q), tile_k_(tile_k) {}

  int64_t rows() const { return (lengths_.q_len + tile_q_ - 1) / tile_q_; }

  // Tiles of a row that count_row() looks at.
  int64_t reach_of(int64_t row) {
    int64_t tiles = 0;
    for_each_range(row, [&](int64_t first, int64_t last) { tiles += last - first + 1; });
    return tiles;
  }

  void count_row(int64_t row) {
    const auto [q0, q1] = queries(row);
    const int64_t before = count_.partial + count_.full;
    for_each_range(row, [&, q_first = q0, q_last = q1](int64_t first, int64_t last) {
      for (int64_t t = first; t <= last; ++t) {
        count_tile(
            {q_first, q_last, t * tile_k_, std::min((t + 1) * tile_k_, lengths_.kv_len) - 1});
      }
    });
    const int64_t k_tiles = (lengths_.kv_len + tile_k_ - 1) / tile_k_;
    count_.empty += k_tiles - (count_.partial + count_.full - before);
  }

  // What was counted, if it was `counted` of `all` rows, for one plane of `planes` on average.
  TileCount result(int64_t counted, int64_t all, int64_t planes) const {
    TileCount count = count_;
    count.q_len = lengths_.q_len;
    count.kv_len = lengths_.kv_len;
    count.tile_q = tile_q_;
    count.tile_k = tile_k_;
    count.active /= static_cast<double>(planes);
    if (counted == all) return count;
    const double factor = static_cast<double>(all) / static_cast<double>(counted);
    count.exact = false;
    count.active *= factor;
    for (int64_t* tiles : {&count.empty, &count.partial, &count.full}) {
      *tiles = std::llround(static_cast<double>(*tiles) * factor);
    }
    return count;
  }

 private:
  std::pair<int64_t, int64_t> queries(int64_t row) const {
    return {row * tile_q_, std::min((row + 1) * tile_q_, lengths_.q_len) - 1};
  }

  // Calls visit(first, last) for disjoint ranges of tiles, in order.
  template <typename Visit>
  void for_each_range(int64_t row, const Visit& visit) {
    const auto [q0, q1] = queries(row);
    int64_t next = 0;  // tiles below were visited: two ranges of keys may share one
    for (const auto& [first, last] : view_.key_ranges(q0, q1)) {
      const int64_t first_tile = std::max(first / tile_k_, next), last_tile = last / tile_k_;
      if (first_tile <= last_tile) visit(first_tile, last_tile);
      next = std::max(next, last_tile + 1);
    }
  }

  void count_tile(const TileRect& rect) {
    const int64_t rows = rect.q1 - rect.q0 + 1, columns = rect.k1 - rect.k0 + 1;
    switch (view_.classify(rect)) {
      case TileClass::Empty:
        return;
      case TileClass::Full:
        ++count_.full;
        count_.active += static_cast<double>(rows) * static_cast<double>(columns);
        return;
      case TileClass::Partial:
        ++count_.partial;
        count_.active += active_elements(rect, rows, columns);
        return;
    }
  }

  double active_elements(const TileRect& rect, int64_t rows, int64_t columns) {
    const double area = static_cast<double>(rows) * static_cast<double>(columns);
    int64_t hits = 0;
    if (static_cast<double>(looked_at_) + area <= static_cast<double>(kExactElements)) {
      looked_at_ += rows * columns;
      for (int64_t q = rect.q0; q <= rect.q1; ++q) {
        for (int64_t k = rect.k0; k <= rect.k1; ++k) hits += view_.active(q, k) ? 1 : 0;
      }
      return static_cast<double>(hits);
    }
    count_.exact = false;
    for (int64_t i = 0; i < kSamples; ++i) {
      const auto q = static_cast<int64_t>(random_() % static_cast<uint64_t>(rows));
      const auto k = static_cast<int64_t>(random_() % static_cast<uint64_t>(columns));
      hits += view_.active(rect.q0 + q, rect.k0 + k) ? 1 : 0;
    }
    return static_cast<double>(hits) / kSamples * area;
  }

  MaskView& view_;
  const Lengths& lengths_;
  int64_t tile_q_, tile_k_;
  TileCount count_;
  int64_t looked_at_ = 0;
  std::mt19937_64 random_{1};
};

// Rows of tiles from one that is counted to the next, over all planes.
int64_t stride_of(TileCounter& counter, int64_t planes) {
  const int64_t rows = counter.rows();
  const int64_t probes = std::min<int64_t>(rows, 32);
  double reach = 0;
  for (int64_t i = 0; i < probes; ++i) {
    reach += static_cast<double>(counter.reach_of((2 * i + 1) * rows / (2 * probes)));
  }
  const double all = static_cast<double>(rows) * static_cast<double>(planes);
  const double work = reach / static_cast<double>(probes) * all;
  const double stride = std::ceil(work / static_cast<double>(kExactTiles));
  return std::max<int64_t>(
      1, std::min(static_cast<int64_t>(stride), static_cast<int64_t>(all) / kFewestRows));
}

TileCount count_planes(MaskView& view, int64_t tile_q, int64_t tile_k, int64_t batches,
                       int64_t heads) {
  TileCounter counter(view, tile_q, tile_k);
  Progress progress("counting tiles");
  const int64_t rows = counter.rows(), all = batches * heads * rows;
  const int64_t stride = stride_of(counter, batches * heads);
  int64_t counted = 0;
  for (int64_t i = stride / 2; i < all; i += stride, ++counted) {
    const int64_t plane = i / rows;
    if (batches * heads > 1) view.select(plane / heads, plane % heads);
    counter.count_row(i % rows);
    progress.update(i, all);
  }
  return counter.result(counted, all, batches * heads);
}

}  // namespace

TileCount count_selected(MaskView& view, int64_t tile_q, int64_t tile_k) {
  return count_planes(view, tile_q, tile_k, 1, 1);
}

TileCount count_tiles(MaskView& view, int64_t tile_q, int64_t tile_k) {
  view.select(0, 0);
  return count_planes(view, tile_q, tile_k, view.depends_on_batch() ? view.lengths().batch : 1,
                      view.depends_on_head() ? view.lengths().heads : 1);
}

}  // namespace maskjit::cli
