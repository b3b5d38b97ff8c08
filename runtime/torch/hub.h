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
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "runtime/torch/attention.h"

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

// Keys, or a share of them.
using Size = std::variant<int64_t, double>;
struct Sink {
  Size sink_size;
};
struct Local {
  Size window_size;
};
struct Causal {};
struct OracleTopK {
  Size heavy_size;
};
struct OracleTopP {
  double top_p;
};
struct RandomSampling {
  double sampling_rate;
};
// A string is a mask expression of the language.
using MaskerConfig =
    std::variant<Sink, Local, Causal, OracleTopK, OracleTopP, RandomSampling, std::string>;

// Attention over the keys that maskers select one after the other; they become one kernel.
class MASKJIT_TORCH_API ResearchAttention {
 public:
  static ResearchAttention create_from_config(const std::vector<MaskerConfig>& maskers);

  MaskedOutput custom_attention(bool training, const at::Tensor& queries, const at::Tensor& keys,
                                const at::Tensor& values, const at::Tensor& attention_mask,
                                double scaling, double dropout,
                                bool return_attention_weights = false) const;
  // The mask as an expression of the language.
  const std::string& spec() const { return spec_; }

 private:
  ResearchAttention(std::string spec, bool draws) : spec_(std::move(spec)), draws_(draws) {}
  std::string spec_;
  bool draws_;  // with a seed from torch's generator at each call
};

}  // namespace maskjit::torch::hub
