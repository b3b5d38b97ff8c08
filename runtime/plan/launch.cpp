#include "runtime/plan/launch.h"

#include <cmath>
#include <cstring>

#include "masker_dsl/ir/internal_error.h"
#include "runtime/plan/parameters.h"
#include "runtime/plan/stages.h"
#include "runtime/plan/views.h"

namespace maskjit::plan {
namespace {

constexpr int64_t kMaxHeadDim = 1 << 16;
constexpr int64_t kShortQueryRows = 16;

std::optional<MjElement> kernel_element(ElementType type) {
  switch (type) {
    case ElementType::F32:
      return MJ_F32;
    case ElementType::F16:
      return MJ_F16;
    case ElementType::BF16:
      return MJ_BF16;
    case ElementType::Bool:
      return MJ_BOOL;
    case ElementType::I8:
    case ElementType::U8:
    case ElementType::I16:
    case ElementType::I32:
    case ElementType::I64:
    case ElementType::F64:
      return std::nullopt;
  }
  return std::nullopt;
}

// The first of two operands' dimensions that differ but must not.
std::optional<Error> check_equal(std::string_view name_a, const TensorView& a,
                                 std::string_view name_b, const TensorView& b, size_t dim,
                                 std::string_view what) {
  if (a.shape[dim] == b.shape[dim]) return std::nullopt;
  return invalid(fmt::format("{} {} and {} {} differ in {}: {} and {}", name_a, a.describe(),
                             name_b, b.describe(), what, a.shape[dim], b.shape[dim]));
}

std::optional<Error> check_head_dim(std::string_view name, const TensorView& view) {
  if (view.shape[3] >= 1 && view.shape[3] <= kMaxHeadDim) return std::nullopt;
  return invalid(fmt::format("{} {} has head dimension {}; 1 to {} are possible", name,
                             view.describe(), view.shape[3], kMaxHeadDim));
}

// Index arithmetic on the whole operand fits 64 bits with room to spare.
std::optional<Error> check_size(std::string_view name, const TensorView& view) {
  int64_t count = 1;
  for (int64_t extent : view.shape) {
    if (__builtin_mul_overflow(count, std::max<int64_t>(extent, 1), &count) || count > int64_t{1}
                                                                                           << 56) {
      return invalid(fmt::format("{} {} is too large", name, view.describe()));
    }
  }
  return std::nullopt;
}

std::optional<Error> check_inputs(const TensorView& query, const TensorView& key,
                                  const TensorView& value) {
  if (auto e = check_operand("query", query, "[batch, num_heads, q_len, head_dim]", 4)) return e;
  if (auto e = check_operand("key", key, "[batch, num_kv_heads, kv_len, head_dim]", 4)) return e;
  if (auto e = check_operand("value", value, "[batch, num_kv_heads, kv_len, head_dim_v]", 4))
    return e;
  const auto element = kernel_element(query.type);
  if (!element || *element == MJ_BOOL) {
    return invalid(fmt::format("query {} has element type {}; f32, f16 and bf16 are possible",
                               query.describe(), name_of(query.type)));
  }
  for (const auto& [name, view] : {std::pair{"key", &key}, std::pair{"value", &value}}) {
    if (view->type == query.type) continue;
    return invalid(fmt::format("query {} and {} {} differ in element type: {} and {}",
                               query.describe(), name, view->describe(), name_of(query.type),
                               name_of(view->type)));
  }
  if (auto e = check_equal("query", query, "key", key, 0, "batch")) return e;
  if (auto e = check_equal("query", query, "value", value, 0, "batch")) return e;
  if (auto e = check_equal("query", query, "key", key, 3, "head_dim")) return e;
  if (auto e = check_equal("key", key, "value", value, 1, "num_kv_heads")) return e;
  if (auto e = check_equal("key", key, "value", value, 2, "kv_len")) return e;
  if (auto e = check_head_dim("query", query)) return e;
  if (auto e = check_head_dim("value", value)) return e;
  if (key.shape[1] == 0) return invalid(fmt::format("key {} has no heads", key.describe()));
  if (query.shape[1] % key.shape[1] != 0) {
    return invalid(fmt::format("{} query heads are no multiple of {} key heads: query {}, key {}",
                               query.shape[1], key.shape[1], query.describe(), key.describe()));
  }
  if (auto e = check_size("query", query)) return e;
  if (auto e = check_size("key", key)) return e;
  return check_size("value", value);
}

std::optional<Error> take_additive(const AttentionInputs& inputs, Launch& launch) {
  const TensorView& additive = inputs.additive_mask;
  launch.problem.additive = MJ_NONE;
  if (!additive.defined()) return std::nullopt;
  constexpr std::string_view kDims = "[batch or 1, num_heads or 1, q_len or 1, kv_len or more]";
  if (auto e = check_operand("additive_mask", additive, kDims, 4)) return e;
  const auto element = kernel_element(additive.type);
  if (!element) {
    return invalid(
        fmt::format("additive_mask {} has element type {}; f32, f16, bf16 and bool are possible",
                    additive.describe(), name_of(additive.type)));
  }
  constexpr std::string_view kNames[] = {"batch", "num_heads", "q_len"};
  for (size_t d = 0; d < 3; ++d) {
    if (additive.shape[d] == 1 || additive.shape[d] == inputs.query.shape[d]) continue;
    return invalid(fmt::format(
        "additive_mask {} and query {} differ in {}: {} and {} (1 broadcasts)", additive.describe(),
        inputs.query.describe(), kNames[d], additive.shape[d], inputs.query.shape[d]));
  }
  if (additive.shape[3] < inputs.key.shape[2]) {
    return invalid(fmt::format("additive_mask {} has {} columns for {} keys", additive.describe(),
                               additive.shape[3], inputs.key.shape[2]));
  }
  launch.problem.additive = *element;
  launch.args.additive = operand_of(additive);
  return std::nullopt;
}

std::optional<Error> take_outputs(const AttentionOutputs& outputs, ElementType element,
                                  Launch& launch) {
  MjAttentionArgs& args = launch.args;
  const int64_t rows[] = {args.batch_size, args.num_heads, args.q_len};
  const int64_t values[] = {rows[0], rows[1], rows[2], launch.problem.head_dim_v};
  const int64_t keys[] = {rows[0], rows[1], rows[2], args.kv_len};
  const auto f32_rows = [&](std::string_view name, const TensorView& view,
                            float*& into) -> std::optional<Error> {
    if (!view.defined()) return std::nullopt;
    into = static_cast<float*>(view.data);
    return check_result(name, view, ElementType::F32, rows, true);
  };
  const auto operand = [&](std::string_view name, const TensorView& view, ElementType type,
                           std::span<const int64_t> shape,
                           MjOperand& into) -> std::optional<Error> {
    if (!view.defined()) return std::nullopt;
    if (auto e = check_result(name, view, type, shape, false)) return e;
    if (auto e = check_size(name, view)) return e;
    into = operand_of(view);
    return std::nullopt;
  };
  if (auto e = operand("output", outputs.output, element, values, args.output)) return e;
  if (auto e = f32_rows("lse", outputs.lse, args.lse)) return e;
  if (auto e = f32_rows("row_max", outputs.row_max, args.row_max)) return e;
  if (auto e = operand("numerator", outputs.numerator, ElementType::F32, values, args.numerator))
    return e;
  if (auto e = f32_rows("denominator", outputs.denominator, args.denominator)) return e;
  if (auto e = operand("weights", outputs.weights, ElementType::F32, keys, args.weights)) return e;
  for (const TensorView* view : {&outputs.output, &outputs.lse, &outputs.row_max,
                                 &outputs.numerator, &outputs.denominator, &outputs.weights}) {
    if (view->defined()) return std::nullopt;
  }
  return invalid(
      "no result is asked for: give output, lse, row_max, numerator, denominator or weights a "
      "shape");
}

std::optional<Error> take_positions(const AttentionInputs& inputs, MjAttentionArgs& args) {
  args.q_offset = inputs.q_offset.value_or(args.kv_len - args.q_len);
  const int64_t last = ir::kMaxPosition - std::max<int64_t>(args.q_len, 1) + 1;
  if (args.q_offset < -ir::kMaxPosition || args.q_offset > last) {
    return invalid(fmt::format("q_offset {} with q_len {}: positions go from -{} to {}",
                               args.q_offset, args.q_len, ir::kMaxPosition, ir::kMaxPosition));
  }
  return std::nullopt;
}

}  // namespace

std::optional<Error> make_launch(const Signature& signature, const AttentionInputs& inputs,
                                 const AttentionOutputs& outputs, Launch& launch) {
  if (auto e = check_inputs(inputs.query, inputs.key, inputs.value)) return e;
  MjAttentionArgs& args = launch.args;
  args.query = operand_of(inputs.query);
  args.key = operand_of(inputs.key);
  args.value = operand_of(inputs.value);
  args.batch_size = inputs.query.shape[0];
  args.num_heads = inputs.query.shape[1];
  args.q_len = inputs.query.shape[2];
  args.num_kv_heads = inputs.key.shape[1];
  args.kv_len = inputs.key.shape[2];
  launch.problem.element = *kernel_element(inputs.query.type);
  launch.problem.head_dim = static_cast<int>(inputs.query.shape[3]);
  launch.problem.head_dim_v = static_cast<int>(inputs.value.shape[3]);
  args.scale = inputs.scale.value_or(
      static_cast<float>(1.0 / std::sqrt(static_cast<double>(launch.problem.head_dim))));
  if (!std::isfinite(args.scale)) return invalid(fmt::format("scale is {}", args.scale));
  args.row_max_over_all = inputs.row_max_over_all ? 1 : 0;
  if (auto e = take_positions(inputs, args)) return e;
  if (auto e = take_additive(inputs, launch)) return e;
  if (auto e = take_outputs(outputs, inputs.query.type, launch)) return e;
  if (auto e = take_scalars(signature, inputs.runtime, launch)) return e;
  if (auto e = take_tensors(signature, inputs, launch)) return e;
  if (auto e = take_stages(signature, inputs, launch)) return e;
  if (auto e = take_dropout(signature, inputs, launch)) return e;
  args.scalars = launch.scalars.data();
  args.tensors = launch.tensors.data();
  launch.problem.short_queries =
      args.q_len * (args.num_heads / args.num_kv_heads) <= kShortQueryRows;
  launch.problem.dense_results = outputs.weights.defined() || inputs.row_max_over_all;
  return std::nullopt;
}

void write_results_without_keys(const Launch& launch) {
  const MjAttentionArgs& args = launch.args;
  MASKJIT_CHECK(args.kv_len == 0, "a launch with keys");
  const int64_t rows = args.batch_size * args.num_heads * args.q_len;
  if (args.lse != nullptr) std::fill_n(args.lse, rows, -INFINITY);
  if (args.row_max != nullptr) std::fill_n(args.row_max, rows, -INFINITY);
  if (args.denominator != nullptr) std::fill_n(args.denominator, rows, 0.0f);
  const auto clear = [&](const MjOperand& operand, int64_t bytes) {
    if (operand.data == nullptr) return;
    for (int64_t b = 0; b < args.batch_size; ++b) {
      for (int64_t h = 0; h < args.num_heads; ++h) {
        for (int64_t q = 0; q < args.q_len; ++q) {
          const int64_t at =
              b * operand.batch_stride + h * operand.head_stride + q * operand.row_stride;
          std::memset(static_cast<std::byte*>(operand.data) + at * bytes, 0,
                      static_cast<size_t>(launch.problem.head_dim_v * bytes));
        }
      }
    }
  };
  clear(args.output, launch.problem.element == MJ_F32 ? 4 : 2);
  clear(args.numerator, 4);
}

bool same_kernel(const codegen::ProblemSpec& a, const codegen::ProblemSpec& b) {
  return a.element == b.element && a.head_dim == b.head_dim && a.head_dim_v == b.head_dim_v &&
         a.additive == b.additive && a.dropout == b.dropout && a.short_queries == b.short_queries &&
         a.dense_results == b.dense_results && a.tensors == b.tensors;
}

}  // namespace maskjit::plan
