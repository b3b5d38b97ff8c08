#include "tools/maskjit/mask_view.h"

#include <fmt/format.h>

namespace maskjit::cli {
namespace {

using analysis::TileClass;

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

}  // namespace maskjit::cli
