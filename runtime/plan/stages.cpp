#include "runtime/plan/stages.h"

#include "masker_dsl/interp/selection.h"
#include "masker_dsl/ir/internal_error.h"
#include "runtime/plan/views.h"

namespace maskjit::plan {
namespace {

KeyIndex::Shape shape_of(const AttentionInputs& inputs) {
  return {inputs.key.type, inputs.key.shape[0], inputs.query.shape[1], inputs.key.shape[1],
          inputs.key.shape[3]};
}

// Gives a part its tensors by what they are called in the scorer.
Result<KeyIndex::Part> with_tensors(const StageParameter& stage, const AttentionInputs& inputs) {
  KeyIndex::Part part = *stage.part;
  for (const auto& [name, tensor] : stage.tensors) {
    const auto given = inputs.tensors.find(tensor);
    if (given == inputs.tensors.end()) {
      return invalid(
          fmt::format("tensor '{}', the {} of {}, is missing", tensor, name, stage.scorer_name));
    }
    if (auto* channels = std::get_if<KeyIndex::Channels>(&part)) channels->table = given->second;
    if (auto* hash = std::get_if<KeyIndex::HashBits>(&part))
      (name == "query_mlp" ? hash->query_mlp : hash->key_mlp) = given->second;
  }
  return part;
}

void fill_scorers(const Signature& signature, const KeyIndex& index,
                  const std::vector<size_t>& parts, Launch& launch) {
  for (size_t i = 0; i < signature.stages.size(); ++i) {
    if (signature.stages[i].part) launch.stages[i].scorer = index.scorer(parts[i]);
  }
}

std::optional<Error> check_index(const KeyIndex& index, const AttentionInputs& inputs) {
  const KeyIndex::Shape shape = shape_of(inputs);
  if (index.shape() == shape && index.size() == inputs.key.shape[2]) return std::nullopt;
  if (index.shape() == shape) {
    return invalid(fmt::format(
        "the index has {} keys, but key {} has {}: call update(keys) after keys are appended",
        index.size(), inputs.key.describe(), inputs.key.shape[2]));
  }
  return invalid(fmt::format("the {} is not one of query {} and key {}", index.describe(),
                             inputs.query.describe(), inputs.key.describe()));
}

}  // namespace

std::optional<Error> take_stages(const Signature& signature, const AttentionInputs& inputs,
                                 Launch& launch) {
  const size_t count = signature.stages.size();
  if (count == 0) return std::nullopt;
  launch.stages.resize(count);
  launch.args.stages = launch.stages.data();
  const auto key = [&](size_t stage, interp::Draw draw, uint32_t (&into)[2]) {
    const interp::PhiloxKey words = interp::stage_key(inputs.sampling.seed, inputs.sampling.offset,
                                                      static_cast<int64_t>(stage), draw);
    std::copy(words.begin(), words.end(), into);
  };
  std::vector<size_t> parts(count);
  for (size_t i = 0; i < count; ++i) {
    const StageParameter& stage = signature.stages[i];
    key(i, interp::Draw::Sample, launch.stages[i].sample_key);
    key(i, interp::Draw::BaseSample, launch.stages[i].base_key);
    launch.stages[i].min_pages = stage.min_pages;
    if (!stage.part || !inputs.index) continue;
    const auto found = inputs.index->find(*stage.part);
    if (!found) {
      return invalid(fmt::format("the index {} has no part for {}; make it for this spec",
                                 inputs.index->describe(), stage.scorer_name));
    }
    parts[i] = *found;
  }
  if (!inputs.index || !signature.needs_index()) return std::nullopt;
  if (auto e = check_index(*inputs.index, inputs)) return e;
  launch.index = inputs.index;
  fill_scorers(signature, *launch.index, parts, launch);
  return std::nullopt;
}

std::optional<Error> make_index(const Signature& signature, const AttentionInputs& inputs,
                                const KeyIndex::Execution& execution, Launch& launch) {
  if (!signature.needs_index() || launch.index) return std::nullopt;
  auto index = index_of(signature, inputs, execution);
  if (!index) return index.error();
  launch.index = *index;
  std::vector<size_t> parts(signature.stages.size());
  for (size_t i = 0; i < parts.size(); ++i) {
    if (!signature.stages[i].part) continue;
    const auto part = launch.index->find(*signature.stages[i].part);
    MASKJIT_CHECK(part.has_value(), "an index without a part that it was made with");
    parts[i] = *part;
  }
  fill_scorers(signature, *launch.index, parts, launch);
  return std::nullopt;
}

Result<KeyIndex> index_of(const Signature& signature, const AttentionInputs& inputs,
                          const KeyIndex::Execution& execution) {
  if (!signature.needs_index())
    return invalid("no selector of the spec ranks keys by per-key data: there is nothing to index");
  if (auto e = check_operand("query", inputs.query, "[batch, num_heads, q_len, head_dim]", 4))
    return std::move(*e);
  if (auto e = check_operand("key", inputs.key, "[batch, num_kv_heads, kv_len, head_dim]", 4))
    return std::move(*e);
  std::vector<KeyIndex::Part> parts;
  for (const StageParameter& stage : signature.stages) {
    if (!stage.part) continue;
    auto part = with_tensors(stage, inputs);
    if (!part) return part.error();
    parts.push_back(std::move(*part));
  }
  auto index = KeyIndex::create(shape_of(inputs), parts, inputs.sampling.seed, execution);
  if (!index) return index;
  if (auto updated = index->update(inputs.key); !updated) return updated.error();
  return index;
}

}  // namespace maskjit::plan
