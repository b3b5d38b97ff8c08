#include "runtime/torch/hub.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

#include <ATen/ops/empty.h>
#include <c10/util/Exception.h>

#include "runtime/torch/spec_cache.h"

namespace maskjit::torch::hub {
namespace {

std::string text_of(double value) {
  std::array<char, 32> buffer;
  const auto end = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value).ptr;
  return {buffer.data(), end};
}

// The shortest decimals that stand for the share, their point moved by two places: the language
// takes the number nearest to a percentage.
std::string percent_of(double share) {
  std::array<char, 1100> buffer;
  const auto end =
      std::to_chars(buffer.data(), buffer.data() + buffer.size(), share, std::chars_format::fixed)
          .ptr;
  std::string digits(buffer.data(), end);
  size_t point = std::min(digits.find('.'), digits.size());
  if (point < digits.size()) digits.erase(point, 1);
  point += 2;
  if (digits.size() <= point) digits.append(point + 1 - digits.size(), '0');
  digits.insert(point, ".");
  return digits.substr(std::min(digits.find_first_not_of('0'), point - 1));
}

std::string size_of(const char* name, const Size& size) {
  const bool positive = std::visit([](auto number) { return number > 0; }, size);
  TORCH_CHECK_VALUE(positive, name, " must be > 0, got ",
                    std::visit([](auto number) { return c10::str(number); }, size));
  if (const auto* keys = std::get_if<int64_t>(&size)) return std::to_string(*keys);
  TORCH_CHECK_VALUE(std::isfinite(std::get<double>(size)), name, " must be finite");
  return percent_of(std::get<double>(size)) + "%";
}

std::string within(const char* name, double value, bool zero) {
  const bool fits = value <= 1 && (zero ? value >= 0 : value > 0);
  TORCH_CHECK_VALUE(fits, name, " must be in range ", zero ? "[0, 1]" : "(0, 1]", ", got ", value);
  return text_of(value);
}

std::string stage_of(const MaskerConfig& masker) {
  struct Visitor {
    std::string operator()(const Sink& m) {
      return "sink(" + size_of("sink_size", m.sink_size) + ")";
    }
    std::string operator()(const Local& m) {
      return "local(" + size_of("window_size", m.window_size) + ")";
    }
    std::string operator()(const Causal&) { return "causal()"; }
    std::string operator()(const OracleTopK& m) {
      return "top_k(" + size_of("heavy_size", m.heavy_size) + ")";
    }
    std::string operator()(const OracleTopP& m) {
      return "top_p(" + within("top_p", m.top_p, true) + ")";
    }
    std::string operator()(const RandomSampling& m) {
      return "random(" + within("sampling_rate", m.sampling_rate, false) + ")";
    }
    std::string operator()(const std::string& expression) { return "(" + expression + ")"; }
  };
  return std::visit(Visitor(), masker);
}

bool is_static(const MaskerConfig& masker) {
  return std::holds_alternative<Sink>(masker) || std::holds_alternative<Local>(masker) ||
         std::holds_alternative<Causal>(masker) || std::holds_alternative<std::string>(masker);
}

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
  double dropout;      // 0 unless training
  bool draws = false;  // some masker samples
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
  if (call.draws) options.sampling.seed = draw_seed();
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

ResearchAttention ResearchAttention::create_from_config(const std::vector<MaskerConfig>& maskers) {
  const auto samplers = std::count_if(maskers.begin(), maskers.end(), [](const auto& masker) {
    return std::holds_alternative<RandomSampling>(masker);
  });
  TORCH_CHECK_VALUE(samplers <= 1, "Only one sampling masker supported for efficiency; got ",
                    samplers);
  const bool all_static = std::all_of(maskers.begin(), maskers.end(), is_static);
  std::string spec;
  for (const MaskerConfig& masker : maskers) {
    if (!spec.empty()) spec += all_static ? " | " : " then ";
    spec += stage_of(masker);
  }
  if (spec.empty()) spec = "full()";
  (void)attention_of(spec, false);  // what is wrong with it is said here
  return ResearchAttention(std::move(spec), samplers > 0);
}

MaskedOutput ResearchAttention::custom_attention(bool training, const at::Tensor& queries,
                                                 const at::Tensor& keys, const at::Tensor& values,
                                                 const at::Tensor& attention_mask, double scaling,
                                                 double dropout,
                                                 bool return_attention_weights) const {
  const Call call = {queries, keys, values, attention_mask, scaling, training ? dropout : 0.0,
                     draws_};
  return masked_output(call, spec_, std::nullopt, return_attention_weights);
}

}  // namespace maskjit::torch::hub
