#include "runtime/plan/views.h"

#include <fmt/ranges.h>

#include "masker_dsl/ir/types.h"

namespace maskjit::plan {

Error invalid(std::string message) { return {ErrorKind::InvalidInput, std::move(message)}; }

std::optional<Error> check_view(std::string_view name, const TensorView& view) {
  if (view.strides.size() != view.shape.size()) {
    return invalid(fmt::format("{} {} has {} strides for {} dimensions", name, view.describe(),
                               view.strides.size(), view.shape.size()));
  }
  bool empty = false;
  for (int64_t extent : view.shape) {
    if (extent < 0 || extent > ir::kMaxPosition) {
      return invalid(fmt::format("{} {} has a dimension outside of 0 to {}", name, view.describe(),
                                 ir::kMaxPosition));
    }
    empty = empty || extent == 0;
  }
  if (empty) return std::nullopt;
  if (view.data == nullptr) return invalid(fmt::format("{} {} has no data", name, view.describe()));
  if (reinterpret_cast<uintptr_t>(view.data) % static_cast<uintptr_t>(size_of(view.type)) != 0) {
    return invalid(fmt::format("the data of {} {} is not aligned to its elements of {} bytes", name,
                               view.describe(), size_of(view.type)));
  }
  return std::nullopt;
}

std::optional<Error> check_writable(std::string_view name, const TensorView& view) {
  if (auto error = check_view(name, view)) return error;
  for (size_t d = 0; d < view.shape.size(); ++d) {
    if (view.shape[d] > 1 && view.strides[d] == 0) {
      return invalid(
          fmt::format("{} {} has stride 0 in dimension {}: results would overwrite each other",
                      name, view.describe(), d));
    }
  }
  return std::nullopt;
}

std::optional<Error> check_operand(std::string_view name, const TensorView& view,
                                   std::string_view dims, size_t rank) {
  if (view.shape.size() != rank) {
    return invalid(view.defined() ? fmt::format("{} {} has {} dimensions; {} are needed: {}", name,
                                                view.describe(), view.shape.size(), rank, dims)
                                  : fmt::format("{} is missing: {}", name, dims));
  }
  if (auto error = check_view(name, view)) return error;
  if (view.shape.back() > 1 && view.strides.back() != 1) {
    return invalid(fmt::format("{} {} has stride {} in its last dimension; it must be 1", name,
                               view.describe(), view.strides.back()));
  }
  return std::nullopt;
}

std::optional<Error> check_result(std::string_view name, const TensorView& view, ElementType type,
                                  std::span<const int64_t> shape, bool contiguous) {
  const auto expected = [&] {
    return fmt::format("{}[{}]", name_of(type), fmt::join(shape, ", "));
  };
  if (view.type != type || !std::ranges::equal(view.shape, shape)) {
    return invalid(fmt::format("{} is {}; this call gives {}", name, view.describe(), expected()));
  }
  if (auto error = check_writable(name, view)) return error;
  uint64_t stride = 1;  // wraps for shapes that no memory can have
  for (size_t d = shape.size(); d-- > 0;) {
    if (shape[d] > 1) {
      if (contiguous ? view.strides[d] != static_cast<int64_t>(stride)
                     : d + 1 == shape.size() && view.strides[d] != 1) {
        return invalid(
            fmt::format("{} {} has strides [{}]; {} is needed", name, view.describe(),
                        fmt::join(view.strides, ", "),
                        contiguous ? "a contiguous view" : "a unit stride on its last dimension"));
      }
    }
    stride *= static_cast<uint64_t>(std::max<int64_t>(shape[d], 1));
  }
  return std::nullopt;
}

MjOperand operand_of(const TensorView& view) {
  const auto stride = [&](size_t d) { return view.shape[d] == 1 ? 0 : view.strides[d]; };
  return {view.data, stride(0), stride(1), stride(2)};
}

}  // namespace maskjit::plan
