#include "runtime/index/check.h"

#include <fmt/ranges.h>

#include "runtime/index/tensors.h"
#include "runtime/plan/views.h"

namespace maskjit::index {
namespace {

using plan::invalid;

constexpr int64_t kMostHeads = 1 << 16;
constexpr int64_t kMostChannels = 1 << 16;

std::optional<Error> out_of_range(std::string_view name, int64_t value, int64_t lo, int64_t hi) {
  if (value >= lo && value <= hi) return std::nullopt;
  return invalid(fmt::format("{} must be in [{}, {}], found {}", name, lo, hi, value));
}

std::optional<Error> check_matrix(std::string_view name, const TensorView& view, ElementType type) {
  if (view.shape.size() != 2 || view.type != type) {
    return invalid(fmt::format("{} is {}; {} of two dimensions is needed", name,
                               view.defined() ? view.describe() : "missing", name_of(type)));
  }
  return plan::check_view(name, view);
}

std::optional<Error> check(const KeyIndex::PageBound& part, const KeyIndex::Shape&, bool) {
  if (auto error = out_of_range("page of page_bound", part.page, 1, 1 << 20)) return error;
  return out_of_range("bits of page_bound", part.bits, 1, 16);
}

std::optional<Error> check(const KeyIndex::Channels& part, const KeyIndex::Shape& shape,
                           bool needs_tensors) {
  if (auto error = out_of_range("bits of channels", part.bits, 1, 16)) return error;
  if (!needs_tensors && !part.table.defined()) return std::nullopt;
  if (auto error = check_matrix("table of channels", part.table, ElementType::I32)) return error;
  const int64_t rows = part.table.shape[0];
  if (rows != shape.num_heads && rows != shape.num_kv_heads && rows != 1) {
    return invalid(
        fmt::format("table of channels {} has {} rows; there are {} heads and {} key heads",
                    part.table.describe(), rows, shape.num_heads, shape.num_kv_heads));
  }
  if (auto error = out_of_range("the number of channels", part.table.shape[1], 1, kMostChannels))
    return error;
  const Tensor<int32_t> table = copy_ints(part.table);
  for (const int32_t channel : table.values) {
    if (channel >= 0 && channel < shape.head_dim) continue;
    return invalid(
        fmt::format("table of channels has the channel {}; keys have {}", channel, shape.head_dim));
  }
  return std::nullopt;
}

std::optional<Error> check(const KeyIndex::HashBits& part, const KeyIndex::Shape& shape,
                           bool needs_tensors) {
  if (auto error = out_of_range("bits of hash_bits", part.bits, 1, 1024)) return error;
  if (auto error = out_of_range("layers of hash_bits", part.layers, 1, 16)) return error;
  if (auto error = out_of_range("hidden of hash_bits", part.hidden, 1, 8192)) return error;
  if (auto error = out_of_range("activation of hash_bits", static_cast<int64_t>(part.activation), 0,
                                static_cast<int64_t>(KeyIndex::Activation::Tanh))) {
    return error;
  }
  const int64_t parameters = hash_parameters(part, shape.head_dim);
  for (const auto& [name, view] : {std::pair{"query_mlp of hash_bits", &part.query_mlp},
                                   {"key_mlp of hash_bits", &part.key_mlp}}) {
    if (!needs_tensors && !view->defined()) continue;
    if (auto error = check_matrix(name, *view, ElementType::F32)) return error;
    if (view->shape[0] == shape.num_heads && view->shape[1] == parameters) continue;
    return invalid(fmt::format(
        "{} is {}; {} bits of {} layers ({} hidden) of {} heads of {} channels need f32[{}, {}]",
        name, view->describe(), part.bits, part.layers, part.hidden, shape.num_heads,
        shape.head_dim, shape.num_heads, parameters));
  }
  return std::nullopt;
}

std::optional<Error> check(const KeyIndex::PqCodes& part, const KeyIndex::Shape&, bool) {
  if (auto error = out_of_range("sub_dims of pq_codes", part.sub_dims, 1, 1024)) return error;
  return out_of_range("bits of pq_codes", part.bits, 1, 12);
}

std::optional<Error> check(const KeyIndex::Lsh& part, const KeyIndex::Shape&, bool) {
  if (auto error = out_of_range("tables of magic_pig", part.tables, 1, 1024)) return error;
  return out_of_range("bits of magic_pig", part.bits, 1, 64);
}

}  // namespace

std::optional<Error> check_shape(const KeyIndex::Shape& shape) {
  if (shape.element != ElementType::F32 && shape.element != ElementType::F16 &&
      shape.element != ElementType::BF16) {
    return invalid(
        fmt::format("keys of an index are f32, f16 or bf16, not {}", name_of(shape.element)));
  }
  if (auto error = out_of_range("batch", shape.batch, 0, kMostHeads)) return error;
  if (auto error = out_of_range("num_heads", shape.num_heads, 1, kMostHeads)) return error;
  if (auto error = out_of_range("num_kv_heads", shape.num_kv_heads, 1, kMostHeads)) return error;
  if (auto error = out_of_range("head_dim", shape.head_dim, 1, kMostChannels)) return error;
  if (shape.num_heads % shape.num_kv_heads != 0) {
    return invalid(fmt::format("{} heads cannot share {} key heads evenly", shape.num_heads,
                               shape.num_kv_heads));
  }
  return std::nullopt;
}

std::optional<Error> check_part(const KeyIndex::Part& part, const KeyIndex::Shape& shape,
                                bool needs_tensors) {
  return std::visit([&](const auto& p) { return check(p, shape, needs_tensors); }, part);
}

Result<codegen::Target> target_of(const KeyIndex::Execution& execution) {
  if (execution.target.empty()) return codegen::Target::host();
  const auto target = codegen::Target::parse(execution.target);
  if (!target || !target->is_host()) {
    return invalid(fmt::format("an index has no target '{}'; there are {}", execution.target,
                               fmt::join(codegen::Target::names(), ", ")));
  }
  if (!codegen::Target::executable(*target)) {
    return Error{ErrorKind::Unsupported,
                 fmt::format("this CPU cannot execute code for {}; it supports {}", target->print(),
                             codegen::Target::host().print())};
  }
  return *target;
}

}  // namespace maskjit::index
