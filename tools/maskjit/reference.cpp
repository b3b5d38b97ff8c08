#include "tools/maskjit/reference.h"

#include <fmt/format.h>

#include <cmath>

#include "masker_dsl/interp/attention.h"

namespace maskjit::cli {
namespace {

// What rounding to the element type may cost, with room for the order of sums.
double allowed_error(ElementType type) {
  switch (type) {
    case ElementType::F16:
      return 2e-3;
    case ElementType::BF16:
      return 1e-2;
    default:
      return 1e-5;
  }
}

Result<std::vector<double>> doubles(const TensorView& view) {
  const Result<io::Tensor> wide = io::convert(view, ElementType::F64);
  if (!wide) return wide.error();
  const auto* first = wide->data<double>();
  return std::vector<double>(first, first + wide->view().elements());
}

Deviation deviation(const char* name, const std::vector<double>& computed,
                    const std::vector<double>& reference, double allowed) {
  Deviation result{.result = name, .allowed = allowed};
  double difference = 0, norm = 0;
  for (size_t i = 0; i < reference.size(); ++i) {
    if (!std::isfinite(reference[i]) || !std::isfinite(computed[i])) {
      result.infinities_agree = result.infinities_agree && computed[i] == reference[i];
      continue;
    }
    difference += (computed[i] - reference[i]) * (computed[i] - reference[i]);
    norm += reference[i] * reference[i];
  }
  result.relative = norm > 0 ? std::sqrt(difference / norm) : std::sqrt(difference);
  return result;
}

}  // namespace

Result<std::vector<Deviation>> compare_with_reference(const Spec& spec, const AttentionData& data,
                                                      const LaunchValues& values,
                                                      const AttentionInputs& inputs,
                                                      const AttentionOutputs& outputs) {
  const auto query = doubles(data.query_view);
  const auto key = doubles(data.key_view);
  const auto value = doubles(data.value_view);
  for (const auto* operand : {&query, &key, &value}) {
    if (!*operand) return operand->error();
  }
  const Lengths lengths = data.lengths();
  interp::AttentionInputs reference;
  reference.shape = {lengths.batch,  lengths.heads,    lengths.kv_heads,        lengths.q_len,
                     lengths.kv_len, lengths.head_dim, data.value_view.shape[3]};
  reference.query = *query;
  reference.key = *key;
  reference.value = *value;
  if (inputs.scale.has_value()) reference.scale = static_cast<double>(*inputs.scale);
  reference.q_offset = inputs.q_offset;
  std::vector<double> additive;
  if (inputs.additive_mask.defined()) {
    auto wide = doubles(inputs.additive_mask);
    if (!wide) return wide.error();
    additive = std::move(*wide);
    interp::AdditiveMask mask;
    mask.values = additive;
    mask.boolean = inputs.additive_mask.type == ElementType::Bool;
    std::copy(inputs.additive_mask.shape.begin(), inputs.additive_mask.shape.end(),
              mask.extents.begin());
    reference.additive = mask;
  }
  reference.params = values.scalars;
  for (const ir::Tensor& tensor : spec.bound.program.function.tensors()) {
    const TensorView& view = values.tensors.at(tensor.name).view();
    reference.tensors.push_back({view.data, element_of(view.type), view.shape, view.strides});
  }
  interp::AttentionOptions options;
  options.dense_weights = outputs.weights.defined();
  options.row_max_over_all = inputs.row_max_over_all;
  const interp::AttentionResults expected =
      interp::reference_attention(spec.bound.program.function, reference, options);

  const double allowed = allowed_error(data.query_view.type);
  const struct {
    const char* name;
    const TensorView& view;
    const std::vector<double>& expected;
  } results[] = {{"output", outputs.output, expected.output},
                 {"lse", outputs.lse, expected.lse},
                 {"row_max", outputs.row_max, expected.row_max},
                 {"numerator", outputs.numerator, expected.numerator},
                 {"denominator", outputs.denominator, expected.denominator},
                 {"weights", outputs.weights, expected.weights}};
  std::vector<Deviation> deviations;
  for (const auto& result : results) {
    if (!result.view.defined()) continue;
    const auto computed = doubles(result.view);
    if (!computed) return computed.error();
    deviations.push_back(deviation(result.name, *computed, result.expected, allowed));
  }
  return deviations;
}

}  // namespace maskjit::cli
