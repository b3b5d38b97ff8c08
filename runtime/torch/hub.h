#pragma once
// The surface of xAlg-ai/sparse-attention-hub's masked attention in C++; Python's is maskjit.hub.
//
// Parameters come in that code's order, the training flag in the place of the module. Numerator and
// denominator are relative to the row maximum over all keys that the additive mask allows, as
// there. In training, dropout is applied before normalisation, as there, with a seed drawn from
// torch's generator. Different on purpose: inverse weights are exact, a mask without active entries
// excludes every key, rows without keys are 0, a Boolean additive mask means "True takes part",
// weights are float32. Nothing of size queries x keys is built unless weights are asked for. Errors
// as in attention.h.
//
// Queries [B, H, Lq, D], keys [B, Hkv, Lk, D], values [B, Hkv, Lk, Dv]; attention_mask undefined or
// [B|1, H|1, Lq|1, >= Lk]; sparse mask [B, H, Lq, Lk], or none: every key.
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "runtime/torch/hub_configs.h"

namespace maskjit::torch::hub {

// Query heads for each key head.
MASKJIT_TORCH_API int64_t get_num_key_value_groups(const at::Tensor& queries,
                                                   const at::Tensor& keys);

// [B, H, Lq, 1] of the queries' type: sum over the active keys of exp(logit - maximum) / weight.
MASKJIT_TORCH_API at::Tensor get_attention_denominator(bool training, const at::Tensor& queries,
                                                       const at::Tensor& keys,
                                                       const at::Tensor& attention_mask,
                                                       double scaling, double dropout,
                                                       const std::optional<Mask>& sparse_mask = {});

// [B, H, Lq, Dv] of the queries' type: the same terms times the values.
MASKJIT_TORCH_API at::Tensor get_attention_numerator(bool training, const at::Tensor& queries,
                                                     const at::Tensor& keys,
                                                     const at::Tensor& values,
                                                     const at::Tensor& attention_mask,
                                                     double scaling, double dropout,
                                                     const std::optional<Mask>& sparse_mask = {});

struct MaskedOutput {
  at::Tensor output;   // [B, Lq, H, Dv]
  at::Tensor weights;  // float32 [B, H, Lq, Lk]; undefined unless asked for
};

MASKJIT_TORCH_API MaskedOutput get_masked_attention_output(
    bool training, const at::Tensor& queries, const at::Tensor& keys, const at::Tensor& values,
    const at::Tensor& attention_mask, double scaling, double dropout,
    const std::optional<Mask>& sparse_mask = {}, bool return_attention_weights = false);

// What maskers know of each layer's keys, kept from one call to the next and extended as keys are
// appended.
struct SparseMetaData {
  // By a digest of the program with its tensors, and layer.
  std::map<std::pair<std::string, int64_t>, KeyIndex> indexes;
};

// Attention over the keys that maskers select one after the other; they become one kernel. Copies
// are the same; calls may come from several threads, if their meta data are different ones.
class MASKJIT_TORCH_API ResearchAttention {
 public:
  static ResearchAttention create_from_config(const std::vector<MaskerConfig>& maskers);

  // `layer_idx` names the layer. Without meta data or a layer, what maskers know of the keys is
  // made at each call.
  MaskedOutput custom_attention(bool training, const at::Tensor& queries, const at::Tensor& keys,
                                const at::Tensor& values, const at::Tensor& attention_mask,
                                double scaling, double dropout,
                                SparseMetaData* sparse_meta_data = nullptr,
                                bool return_attention_weights = false,
                                std::optional<int64_t> layer_idx = {}) const;
  // What is compiled for `heads` query heads of `head_dim` channels, kv_len keys and a layer.
  std::string program(int64_t heads, int64_t head_dim, int64_t kv_len,
                      std::optional<int64_t> layer_idx = {}) const;

 private:
  struct State;
  explicit ResearchAttention(std::shared_ptr<State> state) : state_(std::move(state)) {}
  std::shared_ptr<State> state_;
};

}  // namespace maskjit::torch::hub
