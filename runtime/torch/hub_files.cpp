// Channel files of double sparsity and weights of HashAttention.
#include <filesystem>
#include <fstream>
#include <iterator>

#include <ATen/ops/cat.h>
#include <ATen/ops/constant_pad_nd.h>
#include <ATen/ops/empty.h>
#include <c10/util/Exception.h>
#include <torch/csrc/jit/serialization/pickle.h>
#if __has_include(<nlohmann/json.hpp>)
#include <nlohmann/json.hpp>
#define MASKJIT_READS_JSON 1
#endif

#include "runtime/torch/hub_program.h"

namespace maskjit::torch::hub {
namespace {

using at::Tensor;

std::optional<std::vector<char>> read_file(const std::string& path) {
  std::error_code ignored;
  if (std::filesystem::is_directory(path, ignored)) return std::nullopt;
  std::ifstream file(path, std::ios::binary);
  if (!file) return std::nullopt;
  return std::vector<char>(std::istreambuf_iterator<char>(file), {});
}

using Layers = std::vector<std::pair<Tensor, Tensor>>;

// The matrices and biases of one side, checked against the queries.
Layers layers_of(const std::vector<Tensor>& matrices, const std::vector<Tensor>& biases,
                 const char* side, const std::string& what, int64_t heads, int64_t head_dim) {
  for (const auto& [name, given] : {std::pair{"matrix", &matrices}, {"bias", &biases}}) {
    TORCH_CHECK_VALUE(!given->empty(), what, " have no list '", side, "_", name, "'");
  }
  TORCH_CHECK_VALUE(matrices.size() == biases.size(), what, " have ", matrices.size(),
                    " tensors in '", side, "_matrix' and ", biases.size(), " in '", side, "_bias'");
  Layers layers;
  int64_t width = head_dim;
  for (size_t i = 0; i < matrices.size(); ++i) {
    const Tensor& matrix = matrices[i];
    TORCH_CHECK_VALUE(matrix.dim() == 3 && matrix.size(0) == heads && matrix.size(1) == width, what,
                      ": ", side, "_matrix[", i, "] is ", matrix.sizes(), "; [", heads, ", ", width,
                      ", any] is needed for ", heads, " query heads of ", head_dim, " channels");
    width = matrix.size(2);
    TORCH_CHECK_VALUE(
        biases[i].dim() == 2 && biases[i].size(0) == heads && biases[i].size(1) == width, what,
        ": ", side, "_bias[", i, "] is ", biases[i].sizes(), "; [", heads, ", ", width,
        "] is needed");
    const auto plain = at::TensorOptions().dtype(at::kFloat).device(at::kCPU);
    layers.emplace_back(matrix.detach().to(plain), biases[i].detach().to(plain));
  }
  return layers;
}

// Narrower layers are filled up by zeros: every activation takes 0 to 0.
Tensor flat(const Layers& layers, int64_t hidden) {
  std::vector<Tensor> parts;
  for (size_t i = 0; i < layers.size(); ++i) {
    const auto& [matrix, bias] = layers[i];
    const int64_t rows = i == 0 ? 0 : hidden - matrix.size(1);
    const int64_t columns = i + 1 == layers.size() ? 0 : hidden - matrix.size(2);
    parts.push_back(at::constant_pad_nd(matrix, {0, columns, 0, rows}).flatten(1));
    parts.push_back(at::constant_pad_nd(bias, {0, columns}));
  }
  return at::cat(parts, 1).contiguous();
}

std::vector<Tensor> tensors_of(const c10::IValue& value) {
  std::vector<Tensor> tensors;
  TORCH_CHECK(value.isList(), "a ", value.tagKind(), " is in the place of a list");
  for (const c10::IValue& item : value.toListRef()) {
    TORCH_CHECK(item.isTensor(), "a ", item.tagKind(), " is in the place of a tensor");
    tensors.push_back(item.toTensor());
  }
  return tensors;
}

HashWeights weights_of(const c10::IValue& file) {
  HashWeights weights;
  TORCH_CHECK(file.isGenericDict(), "it holds a ", file.tagKind());
  for (const auto& layer : file.toGenericDict()) {
    TORCH_CHECK(layer.key().isInt() && layer.value().isGenericDict(), "it maps a ",
                layer.key().tagKind(), " to a ", layer.value().tagKind());
    HashPerceptrons& perceptrons = weights[layer.key().toInt()];
    for (const auto& list : layer.value().toGenericDict()) {
      TORCH_CHECK(list.key().isString(), "a layer has a ", list.key().tagKind(), " as a name");
      const std::string& name = list.key().toStringRef();
      if (name == "query_matrix") perceptrons.query_matrix = tensors_of(list.value());
      if (name == "query_bias") perceptrons.query_bias = tensors_of(list.value());
      if (name == "key_matrix") perceptrons.key_matrix = tensors_of(list.value());
      if (name == "key_bias") perceptrons.key_bias = tensors_of(list.value());
    }
  }
  return weights;
}

}  // namespace

HashWeights load_hash_weights(const std::string& path) {
  const auto data = read_file(path);
  TORCH_CHECK_VALUE(data, "the hash weights of ", path, " cannot be read: no such file");
  TORCH_CHECK_VALUE(
      data->size() > 4 && std::string_view(data->data(), 2) == "PK", "the hash weights of ", path,
      " cannot be read: it is not a file of torch.save; maskjit.hub.load_hash_weights "
      "of Python reads others, too");
  try {
    return weights_of(::torch::jit::pickle_load(*data));
  } catch (const std::exception& error) {
    const auto* of_torch = dynamic_cast<const c10::Error*>(&error);
    const std::string reason =
        of_torch != nullptr ? of_torch->what_without_backtrace() : error.what();
    C10_THROW_ERROR(ValueError, c10::str("the hash weights of ", path,
                                         " cannot be read: ", reason.substr(0, reason.find('\n')),
                                         "; {layer: {\"query_matrix\": [tensor, ...], ...}} is "
                                         "needed"));
  }
}

HashMlps hash_mlps(const HashWeights& weights, int64_t layer, int64_t heads, int64_t head_dim) {
  const auto found = weights.find(layer);
  if (found == weights.end()) {
    std::string some;
    for (const auto& [number, ignored] : weights) {
      some += c10::str(some.empty() ? "" : ", ", number);
    }
    C10_THROW_ERROR(ValueError, c10::str("the hash weights have no layer ", layer, "; they have ",
                                         some.empty() ? "none" : some));
  }
  const std::string what = c10::str("the hash weights of layer ", layer);
  const HashPerceptrons& of = found->second;
  const Layers query = layers_of(of.query_matrix, of.query_bias, "query", what, heads, head_dim);
  const Layers key = layers_of(of.key_matrix, of.key_bias, "key", what, heads, head_dim);
  const auto same = [&](const char* name, int64_t of_query, int64_t of_key) {
    TORCH_CHECK_VALUE(of_query == of_key, what, " have ", of_query, " ", name, " for queries and ",
                      of_key, " for keys");
  };
  const int64_t bits = query.back().first.size(2);
  same("layers", static_cast<int64_t>(query.size()), static_cast<int64_t>(key.size()));
  same("bits", bits, key.back().first.size(2));
  int64_t hidden = query.size() > 1 ? 0 : 1;
  for (const Layers* side : {&query, &key}) {
    for (size_t i = 0; i + 1 < side->size(); ++i) {
      hidden = std::max(hidden, (*side)[i].first.size(2));
    }
  }
  return {flat(query, hidden), flat(key, hidden), static_cast<int64_t>(query.size()), hidden, bits};
}

SortedChannels load_sorted_channels(const std::string& path) {
  const auto text = read_file(path);
  TORCH_CHECK_VALUE(text, "Channel file not found: ", path);
#if MASKJIT_READS_JSON
  nlohmann::json data;
  try {
    data = nlohmann::json::parse(text->begin(), text->end());
  } catch (const nlohmann::json::exception& error) {
    C10_THROW_ERROR(ValueError, c10::str("Invalid JSON in channel file: ", error.what()));
  }
  TORCH_CHECK_VALUE(data.is_object(), "Channel file must contain a JSON object");
  SortedChannels channels;
  for (const auto& [key, heads] : data.items()) {
    TORCH_CHECK_VALUE(heads.is_array(), "Channel data for ", key, " must be a list");
    auto& lists = channels[key];
    for (size_t i = 0; i < heads.size(); ++i) {
      TORCH_CHECK_VALUE(heads[i].is_array(), "Channel data for ", key, "[", i, "] must be a list");
      auto& list = lists.emplace_back();
      for (const auto& channel : heads[i]) {
        TORCH_CHECK_VALUE(channel.is_number_integer(), "Channel indices for ", key, "[", i,
                          "] must be integers");
        list.push_back(channel.get<int64_t>());
      }
    }
  }
  return channels;
#else
  TORCH_CHECK_NOT_IMPLEMENTED(false,
                              "this library reads no channel files: it was built without "
                              "nlohmann/json.hpp");
#endif
}

Tensor channel_table(const SortedChannels& channels, int64_t layer, const std::string& selection,
                     int64_t count, int64_t heads, int64_t head_dim) {
  const std::string key = c10::str("model.layers.", layer, ".self_attn.", selection);
  const auto found = channels.find(key);
  TORCH_CHECK_VALUE(found != channels.end(), "No sorted channels found for ", key);
  const auto& lists = found->second;
  TORCH_CHECK_VALUE(!lists.empty(), "Empty channel data for ", key);
  TORCH_CHECK_VALUE(static_cast<int64_t>(lists.size()) == heads,
                    "previous_dense_mask and scores must have the same shape. Check the channel "
                    "selection. (",
                    key, " has ", lists.size(), " heads, the queries have ", heads, ")");
  Tensor table = at::empty({heads, count}, at::kInt);
  auto* to = table.mutable_data_ptr<int32_t>();
  for (size_t i = 0; i < lists.size(); ++i) {
    TORCH_CHECK_VALUE(static_cast<int64_t>(lists[i].size()) >= count, key, "[", i, "] has ",
                      lists[i].size(), " channels; head_dim // group_factor = ", count,
                      " are needed");
    for (int64_t c = 0; c < count; ++c) {
      const int64_t channel = lists[i][static_cast<size_t>(c)];
      TORCH_CHECK_VALUE(channel >= 0 && channel < head_dim, key, "[", i, "] has channel ", channel,
                        ", but the heads have ", head_dim, " channels");
      *to++ = static_cast<int32_t>(channel);
    }
  }
  return table;
}

}  // namespace maskjit::torch::hub
