#include "runtime/index/key_index.h"

#include "masker_dsl/ir/internal_error.h"
#include "masker_dsl/ir/types.h"
#include "runtime/index/check.h"
#include "runtime/index/state.h"
#include "runtime/plan/views.h"

namespace maskjit {

using index::PartData;
using plan::invalid;

Result<KeyIndex> KeyIndex::create(const Shape& shape, std::span<const Part> parts, uint64_t seed,
                                  const Execution& execution) {
  if (auto error = index::check_shape(shape)) return std::move(*error);
  if (parts.empty()) return invalid("an index has at least one part");
  for (size_t i = 0; i < parts.size(); ++i) {
    if (auto error = index::check_part(parts[i], shape, /*needs_tensors=*/true)) {
      if (parts.size() > 1) error->message = fmt::format("part {}: {}", i, error->message);
      return std::move(*error);
    }
  }
  const auto target = index::target_of(execution);
  if (!target) return target.error();
  try {
    auto state = std::make_shared<State>(shape, seed, *target, execution);
    for (const Part& part : parts) state->add(part);
    return KeyIndex(std::move(state));
  } catch (const std::exception& error) {
    return Error{ErrorKind::Unsupported, fmt::format("no memory for an index: {}", error.what())};
  }
}

Status KeyIndex::update(const TensorView& keys, int64_t unchanged) {
  State& state = *state_;
  if (auto error = plan::check_operand("key", keys, "[batch, num_kv_heads, kv_len, head_dim]", 4))
    return std::move(*error);
  const Shape& shape = state.shape;
  if (keys.type != shape.element || keys.shape[0] != shape.batch ||
      keys.shape[1] != shape.num_kv_heads || keys.shape[3] != shape.head_dim) {
    return invalid(fmt::format("key is {}; this index is of {}[{}, {}, n, {}]", keys.describe(),
                               name_of(shape.element), shape.batch, shape.num_kv_heads,
                               shape.head_dim));
  }
  if (unchanged < 0) {
    return invalid(fmt::format("unchanged is {}: it is a number of keys", unchanged));
  }
  try {
    return state.update(index::Keys(keys), std::min(unchanged, keys.shape[2]));
  } catch (const std::exception& error) {
    state.clear();
    return Error{ErrorKind::Unsupported,
                 fmt::format("no memory for an index of {}, which is empty now: {}",
                             keys.describe(), error.what())};
  }
}

int64_t KeyIndex::size() const { return state_->size; }
const KeyIndex::Shape& KeyIndex::shape() const { return state_->shape; }
uint64_t KeyIndex::seed() const { return state_->seed; }
size_t KeyIndex::parts() const { return state_->parts.size(); }

std::optional<size_t> KeyIndex::find(const Part& part) const {
  if (index::check_part(part, state_->shape, /*needs_tensors=*/false)) return std::nullopt;
  for (size_t i = 0; i < state_->parts.size(); ++i) {
    if (state_->parts[i]->matches(part)) return i;
  }
  return std::nullopt;
}

int64_t KeyIndex::bytes() const {
  int64_t total = 0;
  for (const auto& part : state_->parts) total += part->bytes();
  return total;
}

std::string KeyIndex::describe() const {
  const Shape& s = state_->shape;
  std::string text = fmt::format(
      "index of {}[{}, {}, {}, {}] for {} heads, seed {}, {} bytes:", name_of(s.element), s.batch,
      s.num_kv_heads, size(), s.head_dim, s.num_heads, seed(), bytes());
  for (size_t i = 0; i < parts(); ++i)
    text += fmt::format("{} {}", i == 0 ? "" : ",", state_->parts[i]->describe());
  return text;
}

MjScorer KeyIndex::scorer(size_t part) const {
  MASKJIT_CHECK(part < parts(), fmt::format("an index of {} parts has no part {}", parts(), part));
  return state_->parts[part]->scorer();
}

std::string_view name_of(KeyIndex::Activation activation) {
  switch (activation) {
    case KeyIndex::Activation::Relu:
      return "relu";
    case KeyIndex::Activation::Silu:
      return "silu";
    case KeyIndex::Activation::Gelu:
      return "gelu";
    case KeyIndex::Activation::Tanh:
      return "tanh";
  }
  return "";
}

}  // namespace maskjit
