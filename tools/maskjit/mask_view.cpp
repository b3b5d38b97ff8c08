#include "tools/maskjit/mask_view.h"

#include <fmt/format.h>

#include <random>

#include "tools/maskjit/console.h"

namespace maskjit::cli {
namespace {

using analysis::TileClass;

// Elements of partial tiles that are looked at before sampling begins, and samples a tile from then
// on.
constexpr int64_t kExactElements = 20'000'000;
constexpr int64_t kSamples = 64;

Error invalid(std::string message) { return {ErrorKind::InvalidInput, std::move(message)}; }

int64_t extent_of(const ir::Dim& dim, const Lengths& lengths) {
  switch (dim.kind) {
    case ir::Dim::Kind::Batch:
      return lengths.batch;
    case ir::Dim::Kind::NumHeads:
      return lengths.heads;
    case ir::Dim::Kind::NumKvHeads:
      return lengths.kv_heads;
    case ir::Dim::Kind::QLen:
      return lengths.q_len;
    case ir::Dim::Kind::KvLen:
      return lengths.kv_len;
    case ir::Dim::Kind::HeadDim:
      return lengths.head_dim;
    case ir::Dim::Kind::Constant:
      return dim.constant;
  }
  return 0;
}

interp::TensorValue tensor_value(const TensorView& view) {
  return {view.data, element_of(view.type), view.shape, view.strides};
}

std::vector<std::pair<interp::Evaluator, interp::Evaluator>> range_evaluators(
    const analysis::TileFunctions& tiles) {
  std::vector<std::pair<interp::Evaluator, interp::Evaluator>> result;
  for (int i = 0; i < tiles.range_count; ++i) {
    const ir::Function& f = tiles.ranges;
    result.emplace_back(interp::Evaluator(f, f.result(fmt::format("lo{}", i))),
                        interp::Evaluator(f, f.result(fmt::format("hi{}", i))));
  }
  return result;
}

}  // namespace

void add_length_options(CLI::App& command, Lengths& lengths) {
  command.add_option("--q-len", lengths.q_len, "Queries (default: as many as keys)");
  command.add_option("--kv-len", lengths.kv_len, "Keys");
  command.add_option("--batch-size", lengths.batch, "Batch size")->capture_default_str();
  command.add_option("--heads", lengths.heads, "Query heads")->capture_default_str();
  command.add_option("--kv-heads", lengths.kv_heads, "Key heads (default: as many as query heads)");
  command.add_option("--head-dim", lengths.head_dim, "Head dimension")->capture_default_str();
  command.add_option("--q-offset", lengths.q_offset,
                     "Position of the first query (default: keys - queries)");
}

Status complete(Lengths& lengths, int64_t kv_len) {
  if (lengths.kv_len == 0) lengths.kv_len = lengths.q_len != 0 ? lengths.q_len : kv_len;
  if (lengths.q_len == 0) lengths.q_len = lengths.kv_len;
  if (lengths.kv_heads == 0) lengths.kv_heads = lengths.heads;
  const std::pair<const char*, int64_t> sizes[] = {
      {"--kv-len", lengths.kv_len},     {"--q-len", lengths.q_len},
      {"--batch-size", lengths.batch},  {"--heads", lengths.heads},
      {"--kv-heads", lengths.kv_heads}, {"--head-dim", lengths.head_dim}};
  for (const auto& [name, size] : sizes) {
    if (size < 1 || size > ir::kMaxPosition) {
      return invalid(fmt::format("{} {}: 1 to {} is possible", name, size, ir::kMaxPosition));
    }
  }
  if (lengths.heads % lengths.kv_heads != 0) {
    return invalid(fmt::format("--heads {} is not a multiple of --kv-heads {}", lengths.heads,
                               lengths.kv_heads));
  }
  const int64_t offset = lengths.q_offset.value_or(0);
  if (offset < -ir::kMaxPosition || offset > ir::kMaxPosition) {
    return invalid(fmt::format("--q-offset {}: positions go up to {}", offset, ir::kMaxPosition));
  }
  return Done{};
}

Result<LaunchValues> launch_values(const SpecOptions& options, const Spec& spec,
                                   const Lengths& lengths) {
  LaunchValues values;
  auto scalars = runtime_values(spec);
  if (!scalars) return scalars.error();
  values.scalars = std::move(*scalars);
  auto tensors = read_tensors(options, spec);
  if (!tensors) return tensors.error();
  values.tensors = std::move(*tensors);
  for (const ir::Tensor& tensor : spec.bound.program.function.tensors()) {
    const auto found = values.tensors.find(tensor.name);
    if (found == values.tensors.end()) {
      return invalid(
          fmt::format("the tensor '{}' is not given: --tensor {}=FILE", tensor.name, tensor.name));
    }
    const TensorView& view = found->second.view();
    std::string expected;
    bool fits = view.shape.size() == tensor.dims.size();
    for (size_t d = 0; d < tensor.dims.size(); ++d) {
      const int64_t extent = extent_of(tensor.dims[d], lengths);
      expected += fmt::format("{}{} = {}", d == 0 ? "" : ", ", ir::name_of(tensor.dims[d]), extent);
      fits = fits && (view.shape[d] == extent || view.shape[d] == 1);
    }
    if (!fits) {
      return invalid(fmt::format("the tensor '{}' is {}, expected [{}] (1 broadcasts)", tensor.name,
                                 view.describe(), expected));
    }
  }
  return values;
}

MaskView::MaskView(const Spec& spec, const LaunchValues& values, const Lengths& lengths)
    : lengths_(lengths),
      mask_(spec.bound.program.function, spec.bound.program.function.result("mask")),
      may_(spec.bound.tiles.tile, spec.bound.tiles.tile.result("may")),
      must_(spec.bound.tiles.tile, spec.bound.tiles.tile.result("must")),
      ranges_(range_evaluators(spec.bound.tiles)),
      offset_(lengths.q_offset.value_or(lengths.kv_len - lengths.q_len)) {
  const ir::Function& function = spec.bound.program.function;
  const uint32_t variables = function.variables_of(function.result("mask"));
  depends_on_batch_ = (variables & ir::bit(ir::Var::Batch)) != 0;
  depends_on_head_ = (variables & (ir::bit(ir::Var::Head) | ir::bit(ir::Var::KvHead))) != 0;
  environment_[ir::Var::QLen] = lengths_.q_len;
  environment_[ir::Var::KvLen] = lengths_.kv_len;
  environment_[ir::Var::QOffset] = offset_;
  environment_[ir::Var::BatchSize] = lengths_.batch;
  environment_[ir::Var::NumHeads] = lengths_.heads;
  environment_[ir::Var::NumKvHeads] = lengths_.kv_heads;
  environment_[ir::Var::HeadDim] = lengths_.head_dim;
  environment_.params = values.scalars;
  for (const ir::Tensor& tensor : function.tensors()) {
    environment_.tensors.push_back(tensor_value(values.tensors.at(tensor.name).view()));
  }
}

void MaskView::select(int64_t batch, int64_t head) {
  environment_[ir::Var::Batch] = batch;
  environment_[ir::Var::Head] = head;
  environment_[ir::Var::KvHead] = head / (lengths_.heads / lengths_.kv_heads);
}

bool MaskView::active(int64_t q_index, int64_t k) {
  environment_[ir::Var::Query] = q_index + offset_;
  environment_[ir::Var::Key] = k;
  return mask_(environment_).integer != 0;
}

TileClass MaskView::classify(const TileRect& rect) {
  environment_[ir::Var::QueryLo] = rect.q0 + offset_;
  environment_[ir::Var::QueryHi] = rect.q1 + offset_;
  environment_[ir::Var::KeyLo] = rect.k0;
  environment_[ir::Var::KeyHi] = rect.k1;
  if (may_(environment_).integer == 0) return TileClass::Empty;
  return must_(environment_).integer != 0 ? TileClass::Full : TileClass::Partial;
}

std::vector<std::pair<int64_t, int64_t>> MaskView::key_ranges(int64_t q0, int64_t q1) {
  environment_[ir::Var::QueryLo] = q0 + offset_;
  environment_[ir::Var::QueryHi] = q1 + offset_;
  std::vector<std::pair<int64_t, int64_t>> found;
  for (auto& [lo, hi] : ranges_) {
    const int64_t first = std::max<int64_t>(lo(environment_).integer, 0);
    const int64_t last = std::min(hi(environment_).integer, lengths_.kv_len - 1);
    if (first <= last) found.emplace_back(first, last);
  }
  std::sort(found.begin(), found.end());
  std::vector<std::pair<int64_t, int64_t>> merged;
  for (const auto& range : found) {
    if (!merged.empty() && range.first <= merged.back().second + 1) {
      merged.back().second = std::max(merged.back().second, range.second);
    } else {
      merged.push_back(range);
    }
  }
  return merged;
}

namespace {

// Counts tile after tile; what it has looked at decides when sampling begins.
class TileCounter {
 public:
  TileCounter(MaskView& view, int64_t tile_q, int64_t tile_k)
      : view_(view), lengths_(view.lengths()), tile_q_(tile_q), tile_k_(tile_k) {}

  int64_t q_tiles() const { return (lengths_.q_len + tile_q_ - 1) / tile_q_; }

  void count_row(int64_t tile_row) {
    const int64_t q0 = tile_row * tile_q_, q1 = std::min(q0 + tile_q_, lengths_.q_len) - 1;
    const int64_t before = count_.partial + count_.full;
    int64_t next = 0;  // tiles below were looked at: ranges may share one
    for (const auto& [first, last] : view_.key_ranges(q0, q1)) {
      for (int64_t t = std::max(first / tile_k_, next); t <= last / tile_k_; ++t) {
        count_tile({q0, q1, t * tile_k_, std::min((t + 1) * tile_k_, lengths_.kv_len) - 1});
      }
      next = std::max(next, last / tile_k_ + 1);
    }
    const int64_t k_tiles = (lengths_.kv_len + tile_k_ - 1) / tile_k_;
    count_.empty += k_tiles - (count_.partial + count_.full - before);
  }

  TileCount average_over(int64_t planes) const {
    TileCount count = count_;
    count.q_len = lengths_.q_len;
    count.kv_len = lengths_.kv_len;
    count.tile_q = tile_q_;
    count.tile_k = tile_k_;
    count.active /= static_cast<double>(planes);
    return count;
  }

 private:
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
    int64_t hits = 0;
    if (looked_at_ + rows * columns <= kExactElements) {
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
    return static_cast<double>(hits) / kSamples * static_cast<double>(rows) *
           static_cast<double>(columns);
  }

  MaskView& view_;
  const Lengths& lengths_;
  int64_t tile_q_, tile_k_;
  TileCount count_;
  int64_t looked_at_ = 0;
  std::mt19937_64 random_{1};
};

}  // namespace

TileCount count_selected(MaskView& view, int64_t tile_q, int64_t tile_k) {
  TileCounter counter(view, tile_q, tile_k);
  Progress progress("counting tiles");
  for (int64_t row = 0; row < counter.q_tiles(); ++row) {
    counter.count_row(row);
    progress.update(row, counter.q_tiles());
  }
  return counter.average_over(1);
}

TileCount count_tiles(MaskView& view, int64_t tile_q, int64_t tile_k) {
  const int64_t batches = view.depends_on_batch() ? view.lengths().batch : 1;
  const int64_t heads = view.depends_on_head() ? view.lengths().heads : 1;
  TileCounter counter(view, tile_q, tile_k);
  Progress progress("counting tiles");
  for (int64_t plane = 0; plane < batches * heads; ++plane) {
    view.select(plane / heads, plane % heads);
    for (int64_t row = 0; row < counter.q_tiles(); ++row) {
      counter.count_row(row);
      progress.update(plane * counter.q_tiles() + row, batches * heads * counter.q_tiles());
    }
  }
  return counter.average_over(batches * heads);
}

}  // namespace maskjit::cli
