#include "runtime/torch/hub_program.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <filesystem>
#include <functional>
#include <string_view>

#include <c10/util/Exception.h>

#include "runtime/torch/spec_cache.h"

namespace maskjit::torch::hub {
namespace {

struct Stage {
  std::string text;
  // Parameters: names, their types in the language, values.
  std::vector<std::pair<std::string, std::string>> types = {};
  std::map<std::string, at::Tensor> tensors = {};
  std::optional<int64_t> seed = {};
};

std::string formatted(double value, std::chars_format format) {
  std::array<char, 1100> buffer;
  return {buffer.data(),
          std::to_chars(buffer.data(), buffer.data() + buffer.size(), value, format).ptr};
}

// As Python prints it: the shortest decimals, with a point.
std::string text_of(double value) {
  if (!std::isfinite(value)) return c10::str(value);
  const std::string scientific = formatted(value, std::chars_format::scientific);
  const int exponent = std::stoi(scientific.substr(scientific.find('e') + 1));
  if (value != 0 && (exponent < -4 || exponent >= 16)) return scientific;
  std::string fixed = formatted(value, std::chars_format::fixed);
  return fixed.find('.') == std::string::npos ? fixed + ".0" : fixed;
}
std::string text_of(int64_t value) { return std::to_string(value); }
std::string text_of(const Size& size) {
  return std::visit([](auto number) { return text_of(number); }, size);
}

// The shortest decimals that stand for the share, their point moved by two places: the language
// takes the number nearest to a percentage.
std::string percent_of(double share) {
  std::string digits = formatted(share, std::chars_format::fixed);
  size_t point = std::min(digits.find('.'), digits.size());
  if (point < digits.size()) digits.erase(point, 1);
  point += 2;
  if (digits.size() < point) digits.append(point - digits.size(), '0');
  digits.insert(point, ".");
  digits.erase(0, std::min(digits.find_first_not_of('0'), point - 1));
  digits.erase(digits.find_last_not_of('0') + 1);
  if (digits.back() == '.') digits.pop_back();
  return digits + "%";
}

std::string size_text(const Size& size) {
  if (const auto* keys = std::get_if<int64_t>(&size)) return std::to_string(*keys);
  return percent_of(std::get<double>(size));
}

// At most 2^62: there is no greatest share.
int64_t keys_of(const Size& size, int64_t kv_len) {
  if (const auto* keys = std::get_if<int64_t>(&size)) return *keys;
  return static_cast<int64_t>(
      std::min(std::get<double>(size) * static_cast<double>(kv_len), 0x1p62));
}

void check_size(const char* name, const Size& size) {
  const bool positive = std::visit([](auto number) { return number > 0; }, size);
  TORCH_CHECK_VALUE(positive, name, " must be > 0, got ", text_of(size));
  const auto* share = std::get_if<double>(&size);
  TORCH_CHECK_VALUE(share == nullptr || std::isfinite(*share), name, " must be finite, got ",
                    text_of(size));
}

void check_label_bits(int64_t bits) {
  TORCH_CHECK_VALUE(bits > 0 && bits <= 16, "label_bits must be in range (0, 16], got ", bits);
}

// `one`: a share of 1 is possible.
void check_share(const char* name, const Size& size, bool one) {
  if (const auto* keys = std::get_if<int64_t>(&size)) {
    TORCH_CHECK_VALUE(*keys >= 0, name, " must be non-negative if int, got ", *keys);
    return;
  }
  const double share = std::get<double>(size);
  TORCH_CHECK_VALUE(share >= 0 && (share < 1 || (one && share == 1)), name, " must be in [0, 1",
                    one ? "]" : ")", " if float, got ", text_of(share));
}

bool is_zero(const Size& size) {
  return std::visit([](auto number) { return number == 0; }, size);
}

struct Check {
  void operator()(const SinkMaskerConfig& c) const { check_size("sink_size", c.sink_size); }
  void operator()(const LocalMaskerConfig& c) const { check_size("window_size", c.window_size); }
  void operator()(const FixedMaskerConfig&) const {}
  void operator()(const OracleTopKConfig& c) const { check_size("heavy_size", c.heavy_size); }
  void operator()(const OracleTopPMaskerConfig& c) const {
    TORCH_CHECK_VALUE(c.top_p >= 0 && c.top_p <= 1, "top_p must be in range [0, 1], got ",
                      text_of(c.top_p));
  }
  void operator()(const HashAttentionTopKMaskerConfig& c) const {
    check_size("heavy_size", c.heavy_size);
    TORCH_CHECK_VALUE(!c.hat_weights || c.hat_weight_file.empty(),
                      "Only one of hat_weights or hat_weight_file should be provided");
    TORCH_CHECK_VALUE(c.hat_weights || !c.hat_weight_file.empty(),
                      "Either hat_weights or hat_weight_file must be provided");
  }
  void operator()(const DoubleSparsityTopKMaskerConfig& c) const {
    check_size("heavy_size", c.heavy_size);
    TORCH_CHECK_VALUE(c.group_factor > 0, "group_factor must be > 0, got ", c.group_factor);
    check_label_bits(c.label_bits);
    std::error_code ignored;
    TORCH_CHECK_VALUE(std::filesystem::exists(c.sorted_channel_file, ignored),
                      "sorted_channel_file does not exist: ", c.sorted_channel_file);
  }
  void operator()(const PQCacheConfig& c) const { check_size("heavy_size", c.heavy_size); }
  void operator()(const QuestTopKMaskerConfig& c) const {
    check_size("heavy_size", c.heavy_size);
    TORCH_CHECK_VALUE(c.page_size > 0, "page_size must be greater than 0");
    check_label_bits(c.label_bits);
  }
  void operator()(const RandomSamplingMaskerConfig& c) const {
    TORCH_CHECK_VALUE(c.sampling_rate > 0 && c.sampling_rate <= 1,
                      "sampling_rate must be in range (0, 1], got ", text_of(c.sampling_rate));
  }
  void operator()(const AdaptiveSamplingMaskerConfig& c) const {
    check_share("base_rate_sampling", c.base_rate_sampling, false);
    for (const auto& [name, value] : {std::pair{"epsilon", c.epsilon}, {"delta", c.delta}}) {
      TORCH_CHECK_VALUE(value > 0 && value < 1, name, " must be in (0, 1), got ", text_of(value));
    }
    check_share("init_offset", c.init_offset, true);
    check_share("local_offset", c.local_offset, true);
  }
  void operator()(const MagicPigConfig& c) const {
    for (const auto& [name, value] : {std::pair{"lsh_l", c.lsh_l}, {"lsh_k", c.lsh_k}}) {
      TORCH_CHECK_VALUE(value > 0, name, " must be positive, got ", value);
    }
    TORCH_CHECK_VALUE(c.packing == "int64" || c.packing == "float32",
                      "packing must be 'int64' or 'float32', got ", c.packing);
    TORCH_CHECK_VALUE(c.packing != "int64" || c.lsh_k <= 64,
                      "For 'int64' packing, lsh_k must be <= 64, but got ", c.lsh_k);
  }
  void operator()(const std::string& expression) const {
    (void)find_spec({c10::str("attention hub { mask ", expression, " }"), "", "", ""});
  }
};

int64_t layer_of(const Problem& problem) {
  TORCH_CHECK_VALUE(problem.layer, "layer_idx must be provided in kwargs");
  return *problem.layer;
}

std::string top_k(const Size& size, const std::string& by) {
  return c10::str("top_k(", size_text(size), by.empty() ? "" : ", by = ", by, ")");
}

// `name` makes names of parameters that no other stage has. None: the masker selects nothing.
struct MakeStage {
  const Masker& masker;
  const Problem& problem;
  const std::string name;

  using Made = std::optional<Stage>;
  Made operator()(const SinkMaskerConfig& c) const {
    return Stage{"sink(" + size_text(c.sink_size) + ")"};
  }
  Made operator()(const LocalMaskerConfig& c) const {
    return Stage{"local(" + size_text(c.window_size) + ")"};
  }
  Made operator()(const FixedMaskerConfig&) const { return Stage{"causal()"}; }
  Made operator()(const OracleTopKConfig& c) const { return Stage{top_k(c.heavy_size, "")}; }
  Made operator()(const OracleTopPMaskerConfig& c) const {
    return Stage{"top_p(" + text_of(c.top_p) + ")"};
  }
  Made operator()(const HashAttentionTopKMaskerConfig& c) const {
    constexpr std::string_view kActivations[] = {"relu", "silu", "gelu", "tanh"};
    TORCH_CHECK_VALUE(
        std::ranges::find(kActivations, c.hat_mlp_activation) != std::end(kActivations),
        "Unsupported activation function: ", c.hat_mlp_activation);
    const HashMlps mlps =
        hash_mlps(masker.hash_weights(), layer_of(problem), problem.heads, problem.head_dim);
    const std::string query = "query_" + name, key = "key_" + name;
    const std::string type = c10::str("tensor<f32>[num_heads, ", mlps.query.size(1), "]");
    return Stage{
        top_k(c.heavy_size, c10::str("hash_bits(", query, ", ", key, ", layers = ", mlps.layers,
                                     ", hidden = ", mlps.hidden, ", bits = ", mlps.bits,
                                     ", activation = ", c.hat_mlp_activation, ")")),
        {{query, type}, {key, type}},
        {{query, mlps.query}, {key, mlps.key}}};
  }
  Made operator()(const DoubleSparsityTopKMaskerConfig& c) const {
    const int64_t count = problem.head_dim / c.group_factor;
    TORCH_CHECK_VALUE(count > 0, "group_factor is ", c.group_factor,
                      ": no channel is left of head_dim ", problem.head_dim);
    const std::string table = "table_" + name;
    return Stage{top_k(c.heavy_size, c10::str("channels(", table, ", bits = ", c.label_bits, ")")),
                 {{table, c10::str("tensor<i32>[num_heads, ", count, "]")}},
                 {{table, channel_table(masker.channels(), layer_of(problem), c.channel_selection,
                                        count, problem.heads, problem.head_dim)}}};
  }
  Made operator()(const PQCacheConfig& c) const {
    return Stage{top_k(
        c.heavy_size, c10::str("pq_codes(sub_dims = ", c.pq_sub_dim, ", bits = ", c.pq_bits, ")"))};
  }
  Made operator()(const QuestTopKMaskerConfig& c) const {
    return Stage{
        top_k(c.heavy_size, c10::str("page_bound(", c.page_size, ", bits = ", c.label_bits, ")"))};
  }
  Made operator()(const RandomSamplingMaskerConfig& c) const {
    return Stage{"random(" + text_of(c.sampling_rate) + ")"};
  }
  Made operator()(const AdaptiveSamplingMaskerConfig& c) const {
    if (is_zero(c.base_rate_sampling)) return std::nullopt;
    const auto* keys = std::get_if<int64_t>(&c.base_rate_sampling);
    const std::string base = keys != nullptr ? std::to_string(std::max<int64_t>(2, *keys))
                                             : text_of(c.base_rate_sampling);
    return Stage{c10::str("adaptive(base = ", base, ", epsilon = ", text_of(c.epsilon),
                          ", delta = ", text_of(c.delta), ")")};
  }
  Made operator()(const MagicPigConfig& c) const {
    return Stage{c10::str("magic_pig(tables = ", c.lsh_l, ", bits = ", c.lsh_k,
                          ", centre = ", c.center ? "true" : "false", ")"),
                 {},
                 {},
                 c.seed + layer_of(problem)};
  }
  Made operator()(const std::string& expression) const { return Stage{"(" + expression + ")"}; }
};

std::string joined(const std::vector<std::string>& parts, const char* between) {
  std::string text;
  for (const std::string& part : parts) text += (text.empty() ? "" : between) + part;
  return text;
}

// Where adaptive sampling may draw: what static maskers choose, and its own range.
std::string limit_of(const std::vector<Masker>& maskers,
                     const std::vector<std::optional<Stage>>& stages) {
  std::vector<std::string> parts;
  std::string within;
  for (size_t i = 0; i < maskers.size(); ++i) {
    const auto* adaptive = std::get_if<AdaptiveSamplingMaskerConfig>(&maskers[i].config());
    if (adaptive == nullptr) {
      parts.push_back(stages[i]->text);
    } else {
      within = c10::str("(!sink(", size_text(adaptive->init_offset), ") & before_last(",
                        size_text(adaptive->local_offset), "))");
    }
  }
  parts.push_back(within);
  return joined(parts, " | ");
}

}  // namespace

Traits traits_of(const MaskerConfig& config) {
  struct Visitor {
    Traits operator()(const SinkMaskerConfig&) { return {.is_static = true}; }
    Traits operator()(const LocalMaskerConfig&) { return {.is_static = true}; }
    Traits operator()(const FixedMaskerConfig&) { return {.is_static = true}; }
    Traits operator()(const OracleTopKConfig&) { return {}; }
    Traits operator()(const OracleTopPMaskerConfig&) { return {}; }
    Traits operator()(const HashAttentionTopKMaskerConfig&) {
      return {.needs_layer = true, .needs_meta_data = true, .indexes_keys = true};
    }
    Traits operator()(const DoubleSparsityTopKMaskerConfig&) {
      return {.needs_layer = true, .indexes_keys = true};
    }
    Traits operator()(const PQCacheConfig&) { return {.indexes_keys = true}; }
    Traits operator()(const QuestTopKMaskerConfig&) { return {.indexes_keys = true}; }
    Traits operator()(const RandomSamplingMaskerConfig&) { return {.is_sampling = true}; }
    Traits operator()(const AdaptiveSamplingMaskerConfig&) { return {.is_sampling = true}; }
    Traits operator()(const MagicPigConfig&) {
      return {
          .needs_layer = true, .needs_meta_data = true, .is_sampling = true, .indexes_keys = true};
    }
    Traits operator()(const std::string&) { return {}; }
  };
  return std::visit(Visitor(), config);
}

Masker::Masker(MaskerConfig config) : config_(std::move(config)), traits_(traits_of(config_)) {
  std::visit(Check(), config_);
  if (const auto* c = std::get_if<DoubleSparsityTopKMaskerConfig>(&config_)) {
    channels_ =
        std::make_shared<const SortedChannels>(load_sorted_channels(c->sorted_channel_file));
  }
  if (const auto* c = std::get_if<HashAttentionTopKMaskerConfig>(&config_)) {
    hash_weights_ = std::make_shared<const HashWeights>(
        c->hat_weights ? *c->hat_weights : load_hash_weights(c->hat_weight_file));
  }
}

bool leaves_range(const std::vector<Masker>& maskers, int64_t kv_len) {
  int64_t sinks = 0, window = 0;
  for (size_t i = 0; i < maskers.size(); ++i) {
    const MaskerConfig& config = maskers[i].config();
    if (const auto* sink = std::get_if<SinkMaskerConfig>(&config)) {
      sinks = std::max(sinks, keys_of(sink->sink_size, kv_len));
    }
    if (const auto* local = std::get_if<LocalMaskerConfig>(&config)) {
      window = std::max(window, keys_of(local->window_size, kv_len));
    }
    const auto* adaptive = std::get_if<AdaptiveSamplingMaskerConfig>(&config);
    if (adaptive == nullptr || is_zero(adaptive->base_rate_sampling)) continue;
    const int64_t first = keys_of(adaptive->init_offset, kv_len),
                  last = keys_of(adaptive->local_offset, kv_len);
    if (sinks >= first && window >= last) continue;
    for (size_t j = 0; j < maskers.size(); ++j) {
      TORCH_CHECK_NOT_IMPLEMENTED(
          j == i || maskers[j].traits().is_static,
          "AdaptiveSamplingMaskerConfig excludes the first ", first, " and the last ", last, " of ",
          kv_len, " keys, of which sink maskers before it choose ", sinks, " and local ones ",
          window, ": beside other selectors, they must choose all of them");
    }
    return true;
  }
  return false;
}

Program program_of(const std::vector<Masker>& maskers, const Problem& problem, bool limited) {
  Program program;
  std::vector<std::optional<Stage>> stages;
  std::vector<std::string> texts, declarations;
  for (size_t i = 0; i < maskers.size(); ++i) {
    stages.push_back(
        std::visit(MakeStage{maskers[i], problem, std::to_string(i)}, maskers[i].config()));
    if (!stages.back()) continue;
    const Stage& stage = *stages.back();
    texts.push_back(stage.text);
    for (const auto& [name, type] : stage.types) declarations.push_back(name + ": " + type);
    program.tensors.insert(stage.tensors.begin(), stage.tensors.end());
    if (stage.seed && !program.seed) program.seed = stage.seed;
  }
  std::string mask = texts.empty() ? "full()" : joined(texts, " then ");
  std::string before;
  if (limited) {
    before = "masker before_last(n: int) = k < kv_len - n\n";
    mask = c10::str("(", limit_of(maskers, stages), ") & (", mask, ")");
  }
  program.text =
      c10::str(before, "attention hub(", joined(declarations, ", "), ") { mask ", mask, " }");
  program.digest = c10::str(program.text, "\n", program.seed.value_or(0));
  for (const auto& [name, tensor] : program.tensors) {
    const std::string_view bytes(static_cast<const char*>(tensor.const_data_ptr()),
                                 tensor.nbytes());
    program.digest += c10::str(" ", name, " ", std::hash<std::string_view>()(bytes));
  }
  return program;
}

}  // namespace maskjit::torch::hub
