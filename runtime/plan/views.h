#pragma once
// Checks of one view of the caller's memory against what its place needs.
#include <array>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "kernels_templates/include/kernel_abi.h"
#include "runtime/api/result.h"
#include "runtime/api/tensor_view.h"

namespace maskjit::plan {

Error invalid(std::string message);

// One stride a dimension, extents within 0 .. 2^30, data where there are elements, alignment.
std::optional<Error> check_view(std::string_view name, const TensorView& view);

// check_view, and no two elements in one place for the lack of a stride.
std::optional<Error> check_writable(std::string_view name, const TensorView& view);

// check_view, the rank, and a unit stride on the last dimension. `dims` names the dimensions for
// messages.
std::optional<Error> check_operand(std::string_view name, const TensorView& view,
                                   std::string_view dims, size_t rank);

// A result that will be written: exactly of this type and shape, no two elements in one place for
// the lack of a stride; `contiguous`: row-major without gaps.
std::optional<Error> check_result(std::string_view name, const TensorView& view, ElementType type,
                                  std::span<const int64_t> shape, bool contiguous);

// [batch, head, row, element] as the kernel reads it; dimensions of extent 1 get stride 0.
MjOperand operand_of(const TensorView& view);

}  // namespace maskjit::plan
