// merge_partials: partial results over disjoint keys -> the result over all of them, row by row in
// f64.
#include <cmath>

#include "runtime/api/engine.h"
#include "runtime/plan/elements.h"
#include "runtime/plan/views.h"

namespace maskjit {
namespace {

using plan::invalid;

bool is_result_type(ElementType type) {
  return type == ElementType::F32 || type == ElementType::F16 || type == ElementType::BF16;
}

// Every view is what its place needs; `rows` is the shape of lse.
std::optional<Error> check(const std::vector<TensorView>& outputs,
                           const std::vector<TensorView>& lses, const TensorView& output,
                           const TensorView& lse) {
  if (outputs.empty() || outputs.size() != lses.size()) {
    return invalid(fmt::format(
        "{} partial outputs and {} partial lse are given; at least one of each is needed, "
        "and as many of one as of the other",
        outputs.size(), lses.size()));
  }
  if (output.shape.size() < 2) {
    return invalid(fmt::format("output {} has {} dimensions; [..., q_len, head_dim_v] is needed",
                               output.describe(), output.shape.size()));
  }
  const std::span rows(output.shape.data(), output.shape.size() - 1);
  const auto check_input = [&](const std::string& name, const TensorView& view, bool element_ok,
                               std::span<const int64_t> shape) -> std::optional<Error> {
    if (!std::ranges::equal(view.shape, shape)) {
      return invalid(fmt::format("{} {} does not have the shape of output {}", name,
                                 view.describe(), output.describe()));
    }
    if (!element_ok) {
      return invalid(fmt::format("{} {} has element type {}, which partial results cannot have",
                                 name, view.describe(), name_of(view.type)));
    }
    return plan::check_view(name, view);
  };
  for (size_t i = 0; i < outputs.size(); ++i) {
    if (auto e = check_input(fmt::format("partial output {}", i), outputs[i],
                             is_result_type(outputs[i].type), output.shape)) {
      return e;
    }
    if (auto e = check_input(fmt::format("partial lse {}", i), lses[i],
                             lses[i].type == ElementType::F32, rows)) {
      return e;
    }
  }
  if (auto e = check_input("output", output, is_result_type(output.type), output.shape)) return e;
  return check_input("lse", lse, lse.type == ElementType::F32, rows);
}

// Where row number `row` (row-major over all but the last dimension of `shape`) starts, in
// elements.
int64_t row_offset(const TensorView& view, std::span<const int64_t> shape, int64_t row) {
  int64_t offset = 0;
  for (size_t d = shape.size(); d-- > 0;) {
    offset += row % shape[d] * view.strides[d];
    row /= shape[d];
  }
  return offset;
}

}  // namespace

Status merge_partials(const std::vector<TensorView>& outputs, const std::vector<TensorView>& lses,
                      const TensorView& output, const TensorView& lse) {
  if (auto error = check(outputs, lses, output, lse)) return std::move(*error);
  const std::span<const int64_t> rows_shape(output.shape.data(), output.shape.size() - 1);
  const int64_t columns = output.shape.back();
  int64_t rows = 1;
  for (int64_t extent : rows_shape) rows *= extent;
  std::vector<double> weights(outputs.size());
  std::vector<double> sums(static_cast<size_t>(columns));
  for (int64_t row = 0; row < rows; ++row) {
    double maximum = -INFINITY;
    for (size_t i = 0; i < lses.size(); ++i) {
      weights[i] = static_cast<const float*>(lses[i].data)[row_offset(lses[i], rows_shape, row)];
      // A NaN must not be lost.
      maximum = weights[i] > maximum || std::isnan(weights[i]) ? weights[i] : maximum;
    }
    double total = 0;
    for (double& weight : weights) {
      // A part without active keys counts for nothing, whatever its output holds.
      weight = weight == -INFINITY ? 0.0 : std::exp(weight - maximum);
      total += weight;
    }
    std::fill(sums.begin(), sums.end(), 0.0);
    for (size_t i = 0; i < outputs.size(); ++i) {
      if (weights[i] == 0.0) continue;
      const TensorView& part = outputs[i];
      const int64_t at = row_offset(part, rows_shape, row);
      const double weight = weights[i] / total;
      for (int64_t d = 0; d < columns; ++d) {
        sums[static_cast<size_t>(d)] +=
            weight * plan::load_floating(part.data, part.type, at + d * part.strides.back());
      }
    }
    const int64_t at = row_offset(output, rows_shape, row);
    for (int64_t d = 0; d < columns; ++d) {
      plan::store_floating(output.data, output.type, at + d * output.strides.back(),
                           static_cast<float>(sums[static_cast<size_t>(d)]));
    }
    static_cast<float*>(lse.data)[row_offset(lse, rows_shape, row)] =
        total == 0.0 ? -INFINITY : static_cast<float>(maximum + std::log(total));
  }
  return Done{};
}

}  // namespace maskjit
