// Products and quotients of a tensor with the weights of a mask.
#include <fmt/ranges.h>

#include "runtime/mask/entries.h"
#include "runtime/mask/mask.h"
#include "runtime/mask/rows.h"
#include "runtime/plan/views.h"

namespace maskjit {
namespace {

std::optional<Error> check_operands(const Mask& mask, const TensorView& values,
                                    const TensorView& result) {
  const std::string name = describe_shape(mask.shape());
  for (const auto& [role, view] : {std::pair{"values", &values}, std::pair{"result", &result}}) {
    if (!is_floating(view->type)) {
      return plan::invalid(
          fmt::format("{} {} have element type {}; f16, bf16, f32 and f64 are possible", role,
                      view->describe(), name_of(view->type)));
    }
    if (view->shape != mask.shape()) {
      return plan::invalid(
          fmt::format("{} and {} {} differ in shape", name, role, view->describe()));
    }
  }
  if (values.type != result.type) {
    return plan::invalid(fmt::format("values {} and result {} differ in element type",
                                     values.describe(), result.describe()));
  }
  if (auto error = plan::check_view("values", values)) return error;
  return plan::check_writable("result", result);
}

// result = scaled(value, weight) on active entries, 0 elsewhere. Entry by entry in order, so that
// the operands may be one.
template <typename Scaled>
void write(const Mask::Storage& storage, const TensorView& values, const TensorView& result,
           const Scaled& scaled) {
  const Entries entries(storage);
  std::vector<int64_t> rows;
  for_each_row(values, [&](int64_t, int64_t first) { rows.push_back(first); });
  for_each_row(result, [&](int64_t row, int64_t to) {
    const int64_t from = rows[static_cast<size_t>(row)];
    int64_t next = 0;
    const auto clear_to = [&](int64_t column) {
      for (; next < column; ++next) store_real(result, to + next * result.strides.back(), 0.0);
    };
    entries.visit_row(row, [&](int64_t column, float weight) {
      clear_to(column);
      const double value = load_real(values, from + column * values.strides.back());
      store_real(result, to + column * result.strides.back(),
                 scaled(value, static_cast<double>(weight)));
      next = column + 1;
    });
    clear_to(storage.columns);
  });
}

}  // namespace

Status Mask::apply(const TensorView& values, const TensorView& result) const {
  if (auto error = check_operands(*this, values, result)) return std::move(*error);
  write(*storage_, values, result, [](double value, double weight) { return value * weight; });
  return Done{};
}

Status Mask::apply_inverse(const TensorView& values, const TensorView& result) const {
  if (auto error = check_operands(*this, values, result)) return std::move(*error);
  write(*storage_, values, result, [](double value, double weight) { return value / weight; });
  return Done{};
}

}  // namespace maskjit
