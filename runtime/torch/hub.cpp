#include "runtime/torch/hub.h"

#include <algorithm>
#include <map>
#include <mutex>

#include <ATen/ops/empty.h>
#include <c10/util/Exception.h>

#include "runtime/torch/checks.h"
#include "runtime/torch/hub_program.h"
#include "runtime/torch/spec_cache.h"
#include "runtime/torch/view.h"

namespace maskjit::torch::hub {
namespace {

const CompiledSpec& attention_of(const std::string& mask, bool explicit_mask) {
  const std::string program = c10::str(
      "attention hub(", explicit_mask ? "m: tensor<bit>[batch, num_heads, q_len, kv_len]" : "",
      ") { mask ", mask, " }");
  return find_spec({program, "", "", ""});
}

// From torch's generator, so that torch::manual_seed repeats what is dropped and drawn.
uint64_t draw_seed() {
  return static_cast<uint64_t>(at::empty({1}, at::kLong).random_().item<int64_t>());
}

struct Call {
  const at::Tensor &queries, &keys, &values, &attention_mask;
  double scaling;
  double dropout;  // 0 unless training
};

std::vector<at::Tensor> results(const Call& call, const std::string& spec,
                                const std::optional<Mask>& mask,
                                const std::vector<ResultKind>& kinds, bool row_max_over_all) {
  (void)get_num_key_value_groups(call.queries, call.keys);
  Options options;
  options.attn_mask = call.attention_mask;
  options.scale = call.scaling;
  options.transposed = true;
  options.row_max_over_all = row_max_over_all;
  // Before normalisation, as that code does.
  if (call.dropout > 0) {
    options.dropout = Dropout{draw_seed(), 0, call.dropout, true};
  }
  if (mask) {
    const std::vector<int64_t> wanted = {call.queries.size(0), call.queries.size(1),
                                         call.queries.size(2), call.keys.size(2)};
    TORCH_CHECK_VALUE(mask->shape() == wanted, "the mask has shape ",
                      at::IntArrayRef(mask->shape()), ", but the queries and keys need ",
                      at::IntArrayRef(wanted));
    options.masks.emplace("m", *mask);
  }
  return attention_results(attention_of(spec, mask.has_value()), call.queries, call.keys,
                           call.values, kinds, options);
}

MaskedOutput masked_output(const Call& call, const std::string& spec,
                           const std::optional<Mask>& mask, bool with_weights) {
  std::vector<ResultKind> kinds = {ResultKind::Output};
  if (with_weights) kinds.push_back(ResultKind::Weights);
  std::vector<at::Tensor> tensors = results(call, spec, mask, kinds, false);
  return {tensors[0], with_weights ? tensors[1] : at::Tensor()};
}

const char* spec_of(const std::optional<Mask>& mask) { return mask ? "explicit(m)" : "full()"; }

}  // namespace

int64_t get_num_key_value_groups(const at::Tensor& queries, const at::Tensor& keys) {
  TORCH_CHECK_VALUE(queries.dim() == 4 && keys.dim() == 4, "queries ", queries.sizes(),
                    " and keys ", keys.sizes(), ": 4 dimensions are needed");
  const int64_t heads = queries.size(1), kv_heads = keys.size(1);
  TORCH_CHECK_VALUE(kv_heads > 0 && heads % kv_heads == 0, "num_attention_heads (", heads,
                    ") must be divisible by num_key_value_heads (", kv_heads, "): queries ",
                    queries.sizes(), ", keys ", keys.sizes());
  return heads / kv_heads;
}

at::Tensor get_attention_denominator(bool training, const at::Tensor& queries,
                                     const at::Tensor& keys, const at::Tensor& attention_mask,
                                     double scaling, double dropout,
                                     const std::optional<Mask>& sparse_mask) {
  const Call call = {queries, keys, keys, attention_mask, scaling, training ? dropout : 0.0};
  return results(call, spec_of(sparse_mask), sparse_mask, {ResultKind::Denominator}, true)[0]
      .unsqueeze(-1)
      .to(queries.scalar_type());
}

at::Tensor get_attention_numerator(bool training, const at::Tensor& queries, const at::Tensor& keys,
                                   const at::Tensor& values, const at::Tensor& attention_mask,
                                   double scaling, double dropout,
                                   const std::optional<Mask>& sparse_mask) {
  const Call call = {queries, keys, values, attention_mask, scaling, training ? dropout : 0.0};
  return results(call, spec_of(sparse_mask), sparse_mask, {ResultKind::Numerator}, true)[0].to(
      queries.scalar_type());
}

MaskedOutput get_masked_attention_output(bool training, const at::Tensor& queries,
                                         const at::Tensor& keys, const at::Tensor& values,
                                         const at::Tensor& attention_mask, double scaling,
                                         double dropout, const std::optional<Mask>& sparse_mask,
                                         bool return_attention_weights) {
  const Call call = {queries, keys, values, attention_mask, scaling, training ? dropout : 0.0};
  return masked_output(call, spec_of(sparse_mask), sparse_mask, return_attention_weights);
}

namespace {

// Tensors of maskers are made in host memory.
std::map<std::string, at::Tensor> moved(const std::map<std::string, at::Tensor>& tensors,
                                        c10::Device device) {
  std::map<std::string, at::Tensor> there;
  for (const auto& [name, tensor] : tensors) there.emplace(name, tensor.to(device));
  return there;
}

}  // namespace

struct ResearchAttention::State {
  explicit State(const std::vector<MaskerConfig>& configs) {
    for (const MaskerConfig& config : configs) maskers.emplace_back(config);
    const auto samplers = std::count_if(maskers.begin(), maskers.end(), [](const Masker& masker) {
      return masker.traits().is_sampling;
    });
    TORCH_CHECK_VALUE(samplers <= 1,
                      "Only one sampling masker supported for efficiency; consider implementing "
                      "all sampling logic in one masker: got ",
                      samplers);
  }

  bool any(bool Traits::* trait) const {
    return std::any_of(maskers.begin(), maskers.end(),
                       [&](const Masker& masker) { return masker.traits().*trait; });
  }

  // Made at the first call with a layer (where it matters), number of heads and head dimension.
  const Program& program(const Problem& problem, int64_t kv_len, c10::Device device) const {
    Problem needed = problem;
    if (!any(&Traits::needs_layer)) needed.layer.reset();
    const bool limited = leaves_range(maskers, kv_len);
    const auto key = std::tuple(needed.heads, needed.head_dim, needed.layer, limited,
                                static_cast<int>(device.type()), device.index());
    const std::lock_guard lock(mutex);
    auto found = made.find(key);
    if (found == made.end()) {
      Program program = program_of(maskers, needed, limited);
      program.tensors = moved(program.tensors, device);
      found = made.emplace(key, std::move(program)).first;
    }
    return found->second;
  }

  std::vector<Masker> maskers;

 private:
  using Key = std::tuple<int64_t, int64_t, std::optional<int64_t>, bool, int, c10::DeviceIndex>;
  mutable std::mutex mutex;
  mutable std::map<Key, Program> made;
};

ResearchAttention ResearchAttention::create_from_config(const std::vector<MaskerConfig>& maskers) {
  return ResearchAttention(std::make_shared<State>(maskers));
}

std::string ResearchAttention::program(int64_t heads, int64_t head_dim, int64_t kv_len,
                                       std::optional<int64_t> layer_idx) const {
  return state_->program({heads, head_dim, layer_idx}, kv_len, at::kCPU).text;
}

namespace {

// The index of `keys` for a layer: what is kept, extended, or a new one.
KeyIndex index_of(SparseMetaData& kept, const Program& program, int64_t layer,
                  const at::Tensor& queries, const at::Tensor& keys) {
  const auto key = std::pair(program.digest, layer);
  if (const auto found = kept.indexes.find(key); found != kept.indexes.end()) {
    const at::Tensor rows = with_unit_stride(keys.cpu());
    const Status done = found->second.update(view_of("keys", rows));
    if (done) return found->second;
    if (done.error().kind != ErrorKind::InvalidInput) raise(done.error());
    kept.indexes.erase(found);  // other keys than before: another sequence
  }
  Options options;
  options.tensors = program.tensors;
  options.sampling.seed = static_cast<uint64_t>(program.seed.value_or(0));
  KeyIndex index = make_index(find_spec({program.text, "", "", ""}), queries, keys, options);
  return kept.indexes.emplace(key, std::move(index)).first->second;
}

}  // namespace

MaskedOutput ResearchAttention::custom_attention(bool training, const at::Tensor& queries,
                                                 const at::Tensor& keys, const at::Tensor& values,
                                                 const at::Tensor& attention_mask, double scaling,
                                                 double dropout, SparseMetaData* sparse_meta_data,
                                                 bool return_attention_weights,
                                                 std::optional<int64_t> layer_idx) const {
  (void)get_num_key_value_groups(queries, keys);
  for (const Masker& masker : state_->maskers) {
    TORCH_CHECK_VALUE(!masker.traits().needs_meta_data || sparse_meta_data != nullptr,
                      "sparse_meta_data cannot be None");
    TORCH_CHECK_VALUE(!masker.traits().needs_layer || layer_idx,
                      "layer_idx must be provided in kwargs");
  }
  const Program& program = state_->program({queries.size(1), queries.size(3), layer_idx},
                                           keys.size(2), queries.device());
  Options options;
  options.attn_mask = attention_mask;
  options.scale = scaling;
  options.transposed = true;
  options.tensors = program.tensors;
  if (training && dropout > 0) options.dropout = Dropout{draw_seed(), 0, dropout, true};
  if (state_->any(&Traits::is_sampling)) {
    options.sampling.seed = program.seed ? static_cast<uint64_t>(*program.seed) : draw_seed();
  }
  if (sparse_meta_data != nullptr && layer_idx && state_->any(&Traits::indexes_keys)) {
    options.index = index_of(*sparse_meta_data, program, *layer_idx, queries, keys);
  }
  std::vector<ResultKind> kinds = {ResultKind::Output};
  if (return_attention_weights) kinds.push_back(ResultKind::Weights);
  std::vector<at::Tensor> results = attention_results(find_spec({program.text, "", "", ""}),
                                                      queries, keys, values, kinds, options);
  return {results[0], return_attention_weights ? results[1] : at::Tensor()};
}

}  // namespace maskjit::torch::hub
