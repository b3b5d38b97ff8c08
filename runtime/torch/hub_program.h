#pragma once
// Maskers, one after the other -> a program of the language.
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "runtime/torch/hub_configs.h"

namespace maskjit::torch::hub {

// What a stage may depend on beside its config.
struct Problem {
  int64_t heads, head_dim;
  std::optional<int64_t> layer;
};

struct Program {
  std::string text;
  std::map<std::string, at::Tensor> tensors;
  std::optional<int64_t> seed;  // of what it draws; without one: from torch's generator
  // Equal for programs whose indexes of the same keys are: of the text, the seed and the tensors.
  std::string digest;
};

struct Traits {
  bool needs_layer = false;      // a call must name the layer
  bool needs_meta_data = false;  // and give sparse_meta_data
  bool is_static = false;        // selects by position alone
  bool is_sampling = false;
  bool indexes_keys = false;  // ranks by per-key data
};
Traits traits_of(const MaskerConfig& config);

// A config that was checked, with what its files contain.
class Masker {
 public:
  explicit Masker(MaskerConfig config);  // throws what is wrong with it
  const MaskerConfig& config() const { return config_; }
  const Traits& traits() const { return traits_; }
  const SortedChannels& channels() const { return *channels_; }
  const HashWeights& hash_weights() const { return *hash_weights_; }

 private:
  MaskerConfig config_;
  Traits traits_;
  std::shared_ptr<const SortedChannels> channels_;
  std::shared_ptr<const HashWeights> hash_weights_;
};

// Adaptive sampling must be kept from keys that its offsets exclude: unless earlier maskers choose
// those anyway. Throws where that cannot be said beside other selectors.
bool leaves_range(const std::vector<Masker>& maskers, int64_t kv_len);

// `limited`: adaptive sampling keeps to its range.
Program program_of(const std::vector<Masker>& maskers, const Problem& problem, bool limited);

// int32 [heads, count]: the first `count` channels of each head of the layer.
at::Tensor channel_table(const SortedChannels& channels, int64_t layer,
                         const std::string& selection, int64_t count, int64_t heads,
                         int64_t head_dim);

// The perceptrons of a layer, as hash_bits takes them: float32 [heads, parameters], of each layer
// the matrix [in, out], then the bias [out].
struct HashMlps {
  at::Tensor query, key;
  int64_t layers, hidden, bits;
};
HashMlps hash_mlps(const HashWeights& weights, int64_t layer, int64_t heads, int64_t head_dim);

}  // namespace maskjit::torch::hub
