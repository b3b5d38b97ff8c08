// The maskers' configs in C++: the programs are those of Python (hub_programs.txt), the errors are
// that code's.
#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>

#include <ATen/Context.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/eye.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/zeros.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/csrc/jit/serialization/pickle.h>

#include "runtime/torch/hub.h"

namespace maskjit::torch::hub {
namespace {

using ::testing::HasSubstr;

constexpr int64_t kHeads = 4, kHeadDim = 16, kKeys = 40, kLayer = 1;

// A file that is gone with the object.
class TemporaryFile {
 public:
  TemporaryFile(const std::string& name, const std::string& content)
      : path_(std::filesystem::temp_directory_path() /
              (std::to_string(::getpid()) + "_maskjit_" + name)) {
    std::ofstream(path_, std::ios::binary) << content;
  }
  ~TemporaryFile() { std::filesystem::remove(path_); }
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;
  std::string path() const { return path_.string(); }

 private:
  const std::filesystem::path path_;
};

std::string channels_json() {
  std::string head;
  for (int64_t i = 0; i < kHeadDim; ++i) head += (i == 0 ? "" : ",") + std::to_string(i);
  std::string heads;
  for (int64_t i = 0; i < kHeads; ++i) heads += (i == 0 ? "[" : ",[") + head + "]";
  return "{\"model.layers.1.self_attn.q_proj\": [" + heads + "]}";
}

HashWeights hash_weights() {
  HashWeights weights;
  HashPerceptrons& of = weights[kLayer];
  of.query_matrix = {at::zeros({kHeads, kHeadDim, 8}), at::zeros({kHeads, 8, 6})};
  of.query_bias = {at::zeros({kHeads, 8}), at::zeros({kHeads, 6})};
  of.key_matrix = {at::zeros({kHeads, kHeadDim, 5}), at::zeros({kHeads, 5, 6})};
  of.key_bias = {at::zeros({kHeads, 5}), at::zeros({kHeads, 6})};
  return weights;
}

using Case = std::pair<std::string, std::vector<MaskerConfig>>;
std::vector<Case> cases(const std::string& file) {
  const auto sink = [](Size size) { return SinkMaskerConfig{size}; };
  const auto local = [](Size size) { return LocalMaskerConfig{size}; };
  const auto keys = [](int64_t n) { return Size(n); };
  return {
      {"none", {}},
      {"streaming", {sink(keys(128)), local(0.1)}},
      {"shares", {sink(0.00188), local(0.145), OracleTopKConfig{2e-7}, OracleTopKConfig{1.0}}},
      {"expression", {FixedMaskerConfig{}, std::string("strided(8)"), OracleTopKConfig{keys(5)}}},
      {"top_p",
       {OracleTopPMaskerConfig{0.9}, OracleTopPMaskerConfig{1.0}, OracleTopPMaskerConfig{0.00005}}},
      {"hash",
       {sink(keys(4)), HashAttentionTopKMaskerConfig{0.25, 6, 2, 8, "silu", hash_weights(), ""}}},
      {"channels", {local(keys(4)), DoubleSparsityTopKMaskerConfig{keys(8), file, 4, 2, "q_proj"}}},
      {"pq", {PQCacheConfig{0.2, 4, 3}}},
      {"quest",
       {sink(keys(2)), QuestTopKMaskerConfig{keys(12), 4}, QuestTopKMaskerConfig{keys(12), 8, 6}}},
      {"random", {sink(keys(2)), RandomSamplingMaskerConfig{0.02}}},
      {"adaptive",
       {sink(keys(2)), local(keys(3)),
        AdaptiveSamplingMaskerConfig{0.05, 0.1, 0.2, keys(2), keys(3)}}},
      {"adaptive keys",
       {sink(keys(2)), local(keys(3)), OracleTopKConfig{keys(4)},
        AdaptiveSamplingMaskerConfig{keys(1), 0.25, 0.5, keys(0), keys(0)}}},
      {"adaptive range",
       {sink(keys(2)), AdaptiveSamplingMaskerConfig{keys(5), 0.1, 0.2, 0.1, keys(6)}}},
      {"adaptive off",
       {sink(keys(2)), AdaptiveSamplingMaskerConfig{keys(0), 0.1, 0.2, keys(9), keys(9)}}},
      {"magic", {MagicPigConfig{9, 7}}},
      {"magic plain", {sink(keys(2)), MagicPigConfig{9, 7, false, "float32", 3}}},
  };
}

TEST(TorchHubConfigs, ProgramsAreThoseOfPython) {
  const TemporaryFile file("channels.json", channels_json());
  std::string programs;
  for (const auto& [name, maskers] : cases(file.path())) {
    std::string text =
        ResearchAttention::create_from_config(maskers).program(kHeads, kHeadDim, kKeys, kLayer);
    if (const size_t end = text.find('\n'); end != std::string::npos) text.replace(end, 1, "\\n");
    programs += name + ": " + text + "\n";
  }
  std::ifstream expected(MASKJIT_SOURCE_DIR "/tests/torch/hub_programs.txt");
  EXPECT_EQ(programs, std::string(std::istreambuf_iterator<char>(expected), {}));
}

struct Tensors {
  at::Tensor queries = at::randn({1, kHeads, 3, kHeadDim});
  at::Tensor keys = at::randn({1, 2, kKeys, kHeadDim});
  at::Tensor values = at::randn({1, 2, kKeys, kHeadDim});
  at::Tensor keys_of_heads() const { return keys.repeat_interleave(2, 1); }
  at::Tensor weights(const ResearchAttention& attention, SparseMetaData* meta_data = nullptr,
                     int64_t layer = kLayer) const {
    return attention
        .custom_attention(false, queries, keys, values, {}, 0.25, 0.0, meta_data, true, layer)
        .weights;
  }
};

// Of each row, `count` keys have a weight, and none of the others a larger score.
void expect_best(const at::Tensor& weights, const at::Tensor& scores, int64_t count) {
  const at::Tensor chosen = weights.ne(0);
  EXPECT_TRUE(chosen.sum(-1).eq(count).all().item<bool>());
  const at::Tensor worst = scores.masked_fill(chosen.logical_not(), INFINITY).amin(-1);
  const at::Tensor best = scores.masked_fill(chosen, -INFINITY).amax(-1);
  EXPECT_TRUE(worst.ge(best.sub(1e-3)).all().item<bool>());
}

TEST(TorchHubConfigs, HashWeightsAreThoseOfTheLayer) {
  // A bit for each channel's sign: of layer 1 of the channels, of layer 0 of none.
  const Tensors t;
  HashWeights weights;
  for (const int64_t layer : {0, 1}) {
    const at::Tensor matrix =
        at::eye(kHeadDim).expand({kHeads, kHeadDim, kHeadDim}).mul(layer).contiguous();
    const at::Tensor bias = at::zeros({kHeads, kHeadDim}).add(layer == 0 ? 1 : 0);
    weights[layer] = {{matrix}, {bias}, {matrix}, {bias}};
  }
  SparseMetaData kept;
  const auto attention = ResearchAttention::create_from_config(
      {HashAttentionTopKMaskerConfig{int64_t{9}, 16, 1, 16, "relu", weights, ""}});
  const at::Tensor agreement = t.queries.sign().matmul(t.keys_of_heads().sign().transpose(2, 3));
  expect_best(t.weights(attention, &kept), agreement, 9);
  EXPECT_EQ(kept.indexes.size(), 1U);
  // All keys agree: the first ones are taken.
  const at::Tensor of_none = t.weights(attention, &kept, 0).ne(0);
  EXPECT_TRUE(of_none.slice(3, 0, 9).all().item<bool>());
  EXPECT_FALSE(of_none.slice(3, 9).any().item<bool>());
  EXPECT_EQ(kept.indexes.size(), 2U);
}

TEST(TorchHubConfigs, HashWeightsOfFiles) {
  c10::impl::GenericDict file(c10::AnyType::get(), c10::AnyType::get()),
      layer(c10::AnyType::get(), c10::AnyType::get());
  for (const char* name : {"query_matrix", "query_bias", "key_matrix", "key_bias"}) {
    c10::impl::GenericList tensors(c10::AnyType::get());
    const bool matrix = std::string_view(name).ends_with("matrix");
    tensors.push_back(matrix ? at::randn({kHeads, kHeadDim, 8}) : at::randn({kHeads, 8}));
    layer.insert(name, tensors);
  }
  file.insert(int64_t{1}, layer);
  const std::vector<char> bytes = ::torch::jit::pickle_save(file);
  const TemporaryFile saved("weights.pt", std::string(bytes.begin(), bytes.end()));
  const HashWeights read = load_hash_weights(saved.path());
  ASSERT_EQ(read.size(), 1U);
  EXPECT_TRUE(read.at(1).key_bias[0].equal(layer.at("key_bias").toListRef()[0].toTensor()));
  const auto of_file = ResearchAttention::create_from_config(
      {HashAttentionTopKMaskerConfig{int64_t{9}, 8, 1, 8, "relu", {}, saved.path()}});
  const auto given = ResearchAttention::create_from_config(
      {HashAttentionTopKMaskerConfig{int64_t{9}, 8, 1, 8, "relu", read, ""}});
  const Tensors t;
  SparseMetaData one, other;
  EXPECT_TRUE(t.weights(of_file, &one).equal(t.weights(given, &other)));
}

TEST(TorchHubConfigs, ChannelsAreThoseOfTheLayer) {
  const TemporaryFile file("channels.json", channels_json());
  const auto attention = ResearchAttention::create_from_config(
      {DoubleSparsityTopKMaskerConfig{int64_t{9}, file.path(), 4, 16, "q_proj"}});
  const Tensors t;
  const at::Tensor partial =
      t.queries.slice(3, 0, 4).matmul(t.keys_of_heads().slice(3, 0, 4).transpose(2, 3));
  expect_best(t.weights(attention), partial, 9);
}

TEST(TorchHubConfigs, WhatIsKnownOfTheKeysIsExtended) {
  const auto attention = ResearchAttention::create_from_config(
      {SinkMaskerConfig{int64_t{2}}, PQCacheConfig{int64_t{9}, 4, 3}});
  SparseMetaData kept;
  Tensors t;
  for (int step = 0; step < 3; ++step) {
    EXPECT_TRUE(t.weights(attention, &kept).equal(t.weights(attention))) << step;
    EXPECT_EQ(kept.indexes.size(), 1U);
    EXPECT_EQ(kept.indexes.begin()->second.size(), kKeys + step);
    t.keys = at::cat({t.keys, at::randn({1, 2, 1, kHeadDim})}, 2);
    t.values = at::cat({t.values, at::randn({1, 2, 1, kHeadDim})}, 2);
  }
  // Another sequence.
  const Tensors fresh;
  EXPECT_TRUE(fresh.weights(attention, &kept).equal(fresh.weights(attention)));
}

// Of the same program text: what differs are the weights.
TEST(TorchHubConfigs, OtherWeightsHaveAnIndexOfTheirOwn) {
  const Tensors t;
  SparseMetaData kept;
  for (int round = 0; round < 2; ++round) {
    const at::Tensor matrix = at::randn({kHeads, kHeadDim, 8}), bias = at::zeros({kHeads, 8});
    const HashWeights weights = {{kLayer, {{matrix}, {bias}, {matrix}, {bias}}}};
    const auto attention = ResearchAttention::create_from_config(
        {HashAttentionTopKMaskerConfig{int64_t{9}, 8, 1, 8, "relu", weights, ""}});
    SparseMetaData fresh;
    EXPECT_TRUE(t.weights(attention, &kept).equal(t.weights(attention, &fresh))) << round;
  }
  EXPECT_EQ(kept.indexes.size(), 2U);
}

TEST(TorchHubConfigs, LayersOfMagicPigDrawOtherProjections) {
  const Tensors t;
  const auto attention = ResearchAttention::create_from_config({MagicPigConfig{5, 3}});
  SparseMetaData kept, again;
  const at::Tensor first = t.weights(attention, &kept, 0);
  EXPECT_TRUE(first.equal(t.weights(attention, &again, 0)));
  EXPECT_FALSE(first.equal(t.weights(attention, &kept, 1)));
}

TEST(TorchHubConfigs, Errors) {
  const TemporaryFile text("text.json", "{"), list("list.json", "[]"),
      table("a.json", R"({"model.layers.1.self_attn.q_proj": [["a"]]})");
  const auto channels = [](const std::string& path) {
    return DoubleSparsityTopKMaskerConfig{int64_t{9}, path};
  };
  const auto hash = [](std::optional<HashWeights> weights, const std::string& file) {
    return HashAttentionTopKMaskerConfig{int64_t{9}, 8, 1, 8, "relu", std::move(weights), file};
  };
  const auto adaptive = [](Size base, double epsilon, Size first) {
    return AdaptiveSamplingMaskerConfig{base, epsilon, 0.1, first, int64_t{0}};
  };
  const std::vector<char> bytes = ::torch::jit::pickle_save(c10::List<int64_t>({1, 2}));
  const TemporaryFile numbers("numbers.pt", std::string(bytes.begin(), bytes.end())),
      damaged("damaged.pt", std::string(bytes.begin(), bytes.begin() + 40));
  const std::pair<std::string, std::vector<MaskerConfig>> wrong[] = {
      {"cannot be read: it holds a GenericList; {layer: {\"query_matrix\": [tensor, ...], ...}} is "
       "needed",
       {hash({}, numbers.path())}},
      {"damaged.pt cannot be read: ", {hash({}, damaged.path())}},
      {"sink_size must be > 0, got 0", {SinkMaskerConfig{int64_t{0}}}},
      {"window_size must be > 0, got -0.5", {LocalMaskerConfig{-0.5}}},
      {"heavy_size must be finite, got inf", {OracleTopKConfig{double{INFINITY}}}},
      {"top_p must be in range [0, 1], got 1.5", {OracleTopPMaskerConfig{1.5}}},
      {"sampling_rate must be in range (0, 1], got 0.0", {RandomSamplingMaskerConfig{0}}},
      {"base_rate_sampling must be in [0, 1) if float, got 1.0", {adaptive(1.0, 0.1, 0.1)}},
      {"base_rate_sampling must be non-negative if int, got -1", {adaptive(int64_t{-1}, 0.1, 0.1)}},
      {"epsilon must be in (0, 1), got 1.0", {adaptive(int64_t{1}, 1, 0.1)}},
      {"init_offset must be in [0, 1] if float, got 1.5", {adaptive(int64_t{1}, 0.1, 1.5)}},
      {"lsh_k must be positive, got 0", {MagicPigConfig{1, 0}}},
      {"packing must be 'int64' or 'float32', got int8", {MagicPigConfig{1, 1, true, "int8"}}},
      {"For 'int64' packing, lsh_k must be <= 64, but got 65", {MagicPigConfig{1, 65}}},
      {"page_size must be greater than 0", {QuestTopKMaskerConfig{int64_t{9}, 0}}},
      {"label_bits must be in range (0, 16], got 17", {QuestTopKMaskerConfig{int64_t{9}, 4, 17}}},
      {"group_factor must be > 0, got 0", {DoubleSparsityTopKMaskerConfig{int64_t{9}, "x", 0}}},
      {"sorted_channel_file does not exist: no such file", {channels("no such file")}},
      {"Invalid JSON in channel file", {channels(text.path())}},
      {"Channel file must contain a JSON object", {channels(list.path())}},
      {"Channel indices for model.layers.1.self_attn.q_proj[0] must be integers",
       {channels(table.path())}},
      {"Either hat_weights or hat_weight_file must be provided", {hash({}, "")}},
      {"Only one of hat_weights or hat_weight_file should be provided",
       {hash(HashWeights{}, "file")}},
      {"cannot be read: no such file", {hash({}, "no such file")}},
      {"it is not a file of torch.save", {hash({}, list.path())}},
      {"Only one sampling masker supported for efficiency",
       {RandomSamplingMaskerConfig{0.5}, MagicPigConfig{1, 1}}},
  };
  for (const auto& [message, maskers] : wrong) {
    try {
      (void)ResearchAttention::create_from_config(maskers);
      ADD_FAILURE() << message;
    } catch (const c10::ValueError& error) {
      EXPECT_THAT(error.what_without_backtrace(), HasSubstr(message));
    }
  }
}

TEST(TorchHubConfigs, ErrorsOfCalls) {
  const Tensors t;
  const TemporaryFile file("channels.json", channels_json());
  SparseMetaData kept;
  const auto message = [&](const MaskerConfig& masker, SparseMetaData* meta_data,
                           std::optional<int64_t> layer) -> std::string {
    try {
      (void)ResearchAttention::create_from_config({masker}).custom_attention(
          false, t.queries, t.keys, t.values, {}, 0.25, 0.0, meta_data, false, layer);
    } catch (const c10::Error& error) {
      return error.what_without_backtrace();
    }
    return "nothing was thrown";
  };
  const HashAttentionTopKMaskerConfig hash{int64_t{9}, 6, 2, 8, "silu", hash_weights(), ""};
  EXPECT_EQ(message(hash, nullptr, 1), "sparse_meta_data cannot be None");
  EXPECT_EQ(message(hash, &kept, {}), "layer_idx must be provided in kwargs");
  EXPECT_EQ(message(hash, &kept, 2), "the hash weights have no layer 2; they have 1");
  HashAttentionTopKMaskerConfig wrong = hash;
  wrong.hat_mlp_activation = "sign";
  EXPECT_EQ(message(wrong, &kept, 1), "Unsupported activation function: sign");
  wrong = hash;
  wrong.hat_weights->at(1).key_bias[0] = at::zeros({kHeads, 9});
  EXPECT_EQ(message(wrong, &kept, 1),
            "the hash weights of layer 1: key_bias[0] is [4, 9]; [4, 5] is needed");
  const DoubleSparsityTopKMaskerConfig channels{int64_t{9}, file.path(), 4, 4, "q_proj"};
  EXPECT_EQ(message(channels, nullptr, 0),
            "No sorted channels found for model.layers.0.self_attn.q_proj");
  EXPECT_THAT(
      message(DoubleSparsityTopKMaskerConfig{int64_t{9}, file.path(), 17, 4, "q_proj"}, nullptr, 1),
      HasSubstr("group_factor is 17: no channel is left of head_dim 16"));
}

}  // namespace
}  // namespace maskjit::torch::hub
