#pragma once
// The maskers' configs: names, parameters in their order and defaults as sparse-attention-hub and
// maskjit.hub have them. create_from_config says what is wrong with one.
#include <map>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include <ATen/core/Tensor.h>

#include "runtime/torch/attention.h"

namespace maskjit::torch::hub {

// Keys, or a share of them.
using Size = std::variant<int64_t, double>;

// The first sink_size keys.
struct SinkMaskerConfig {
  Size sink_size;
};

// The last window_size keys up to the query's own position.
struct LocalMaskerConfig {
  Size window_size;
};

// That code's causal masker.
struct FixedMaskerConfig {};

// The heavy_size keys of the largest logits.
struct OracleTopKConfig {
  Size heavy_size;
};

// The best keys until their share of the softmax exceeds top_p.
struct OracleTopPMaskerConfig {
  double top_p;
};

// The perceptrons of one layer that hash queries and keys: matrices [heads, in, out] and biases
// [heads, out]; the first `in` is the head dimension, the last `out` the number of bits.
struct HashPerceptrons {
  std::vector<at::Tensor> query_matrix, query_bias, key_matrix, key_bias;
};
using HashWeights = std::map<int64_t, HashPerceptrons>;  // by layer

// The weights in a file of torch.save. Other files Python's maskjit.hub.load_hash_weights reads.
MASKJIT_TORCH_API HashWeights load_hash_weights(const std::string& path);

// The heavy_size keys whose hash agrees best with the query's: signs of a perceptron's outputs. The
// perceptrons' sizes are those of the weights; the other sizes have no effect, as in that code.
struct HashAttentionTopKMaskerConfig {
  Size heavy_size;
  int64_t hat_bits = 0;
  int64_t hat_mlp_layers = 0;
  int64_t hat_mlp_hidden_size = 0;
  std::string hat_mlp_activation;               // relu, silu, gelu, tanh
  std::optional<HashWeights> hat_weights = {};  // these, or
  std::string hat_weight_file = {};             // those in a file
};

// "model.layers.<layer>.self_attn.<q_proj | k_proj | qk_proj>" -> for each head the channels, the
// most important first.
using SortedChannels = std::map<std::string, std::vector<std::vector<int64_t>>>;

// The JSON file of such an object.
MASKJIT_TORCH_API SortedChannels load_sorted_channels(const std::string& path);

// The heavy_size keys of the largest products over the head_dim / group_factor channels that matter
// most.
struct DoubleSparsityTopKMaskerConfig {
  Size heavy_size;
  std::string sorted_channel_file;
  int64_t group_factor = 16;
  int64_t label_bits = 4;
  std::string channel_selection = "qk_proj";
};

// The heavy_size keys of the largest products after product quantisation of the keys: groups of
// pq_sub_dim channels, each coded by the nearest of 2^pq_bits centroids.
struct PQCacheConfig {
  Size heavy_size;
  int64_t pq_sub_dim;
  int64_t pq_bits;
};

// The pages of page_size keys with the largest upper bounds of a product.
struct QuestTopKMaskerConfig {
  Size heavy_size;
  int64_t page_size;
  int64_t label_bits = 16;
};

// Every key with probability sampling_rate, which is its weight.
struct RandomSamplingMaskerConfig {
  double sampling_rate;
};

// vAttention: as many keys of each row as keep the relative error of its denominator below epsilon
// with probability 1 - delta, judged by a base sample. Base 0 turns the masker off. Candidates are
// the keys from init_offset on, without the last local_offset.
struct AdaptiveSamplingMaskerConfig {
  Size base_rate_sampling;  // a share is one of the candidates
  double epsilon;
  double delta;
  Size init_offset;
  Size local_offset;
};

// The keys that share one of lsh_l codes of lsh_k random projections with the query; the weight is
// the probability of that. How codes are packed changes nothing here. Layer i draws its projections
// with seed + i.
struct MagicPigConfig {
  int64_t lsh_l;
  int64_t lsh_k;
  bool center = true;
  std::string packing = "int64";
  int64_t seed = 42;
};

// A string is a mask expression of the language.
using MaskerConfig = std::variant<SinkMaskerConfig, LocalMaskerConfig, FixedMaskerConfig,
                                  OracleTopKConfig, OracleTopPMaskerConfig,
                                  HashAttentionTopKMaskerConfig, DoubleSparsityTopKMaskerConfig,
                                  PQCacheConfig, QuestTopKMaskerConfig, RandomSamplingMaskerConfig,
                                  AdaptiveSamplingMaskerConfig, MagicPigConfig, std::string>;

}  // namespace maskjit::torch::hub
