#include "runtime/torch/attention.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/logsumexp.h>
#include <ATen/ops/stack.h>

#include "runtime/torch/checks.h"
#include "runtime/torch/devices.h"
#include "runtime/torch/view.h"

namespace maskjit::torch {
namespace {

// A mask of fewer dimensions has the last ones.
TensorView four_dimensional(TensorView view) {
  while (view.shape.size() < 4) {
    view.shape.insert(view.shape.begin(), 1);
    view.strides.insert(view.strides.begin(), 0);
  }
  return view;
}

bool is_mask(const CompiledSpec& spec, const std::string& name) {
  const auto& all = spec.parameters();
  return std::any_of(all.begin(), all.end(), [&](const ParameterInfo& parameter) {
    return parameter.name == name && parameter.type.starts_with("bit[");
  });
}

// Explicit masks are made in host memory.
Mask mask_of_values(const char* name, const at::Tensor& values) {
  const at::Tensor on_host = values.cpu();
  Result<Mask> mask = Mask::from_dense(view_of(name, on_host));
  if (!mask) raise(mask.error());
  return std::move(*mask);
}

// The operands as a kernel takes them, and what keeps them alive.
struct Operands {
  at::Tensor query, key, value, attn_mask;
  AttentionInputs inputs;

  Operands(const CompiledSpec& spec, const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
           const Options& options) {
    const auto take = [&](const char* name, const at::Tensor& tensor) {
      check_operand(name, tensor, q);
      check_no_grad(name, tensor);
    };
    take("query", q);
    check_device("query", q);
    take("key", k);
    take("value", v);
    inputs.query = view_of("query", query = with_unit_stride(q));
    inputs.key = view_of("key", key = with_unit_stride(k));
    inputs.value = view_of("value", value = with_unit_stride(v));
    if (options.attn_mask.defined()) {
      take("attn_mask", options.attn_mask);
      attn_mask = with_unit_stride(options.attn_mask);
      inputs.additive_mask = four_dimensional(view_of("attn_mask", attn_mask));
    }
    inputs.masks = options.masks;
    for (const auto& [name, tensor] : options.tensors) {
      take(name.c_str(), tensor);
      if (!tensor.is_cpu() && is_mask(spec, name)) {
        inputs.masks.emplace(name, mask_of_values(name.c_str(), tensor));
      } else {
        inputs.tensors.emplace(name, view_of(name.c_str(), tensor));
      }
    }
    inputs.runtime = options.runtime;
    if (options.scale) inputs.scale = static_cast<float>(*options.scale);
    inputs.q_offset = options.q_offset;
    inputs.dropout = options.dropout;
    inputs.row_max_over_all = options.row_max_over_all;
    inputs.sampling = options.sampling;
    inputs.index = options.index;
    const CallPlace place = place_of(q.device());
    inputs.memory = place.memory;
    inputs.stream = place.stream;
  }
};

constexpr std::string_view kResultNames[] = {"output",    "lse",         "row_max",
                                             "numerator", "denominator", "weights"};

// Where a result goes, for operands that may still be wrong: the engine checks those.
at::Tensor allocate(ResultKind kind, const Operands& operands, bool transposed) {
  const auto size = [](const at::Tensor& tensor, int64_t dim) {
    return dim < tensor.dim() ? tensor.size(dim) : 0;
  };
  const auto& [q, k, v] = std::tie(operands.query, operands.key, operands.value);
  const int64_t batch = size(q, 0), heads = size(q, 1), rows = size(q, 2);
  const auto f32 = q.options().dtype(at::kFloat);
  switch (kind) {
    case ResultKind::Output:
      return transposed ? at::empty({batch, rows, heads, size(v, 3)}, q.options())
                        : at::empty({batch, heads, rows, size(v, 3)}, q.options());
    case ResultKind::Lse:
    case ResultKind::RowMax:
    case ResultKind::Denominator:
      return at::empty({batch, heads, rows}, f32);
    case ResultKind::Numerator:
      return at::empty({batch, heads, rows, size(v, 3)}, f32);
    case ResultKind::Weights:
      return at::empty({batch, heads, rows, size(k, 2)}, f32);
  }
  TORCH_CHECK(false, "unknown kind of result");
}

TensorView& place_of(ResultKind kind, AttentionOutputs& outputs) {
  switch (kind) {
    case ResultKind::Output:
      return outputs.output;
    case ResultKind::Lse:
      return outputs.lse;
    case ResultKind::RowMax:
      return outputs.row_max;
    case ResultKind::Numerator:
      return outputs.numerator;
    case ResultKind::Denominator:
      return outputs.denominator;
    case ResultKind::Weights:
      return outputs.weights;
  }
  TORCH_CHECK(false, "unknown kind of result");
}

at::Tensor add_result(ResultKind kind, const Operands& operands, bool transposed,
                      AttentionOutputs& outputs) {
  at::Tensor result = allocate(kind, operands, transposed);
  TensorView view = view_of("result", result);
  if (kind == ResultKind::Output && transposed) {
    std::swap(view.shape[1], view.shape[2]);
    std::swap(view.strides[1], view.strides[2]);
  }
  place_of(kind, outputs) = std::move(view);
  return result;
}

void run(const CompiledSpec& spec, const Operands& operands, const AttentionOutputs& outputs) {
  const Status done = spec.on(operands.query.device()).run(operands.inputs, outputs);
  if (!done) raise(done.error());
}

}  // namespace

std::optional<ResultKind> parse_result(std::string_view name) {
  for (size_t i = 0; i < std::size(kResultNames); ++i) {
    if (kResultNames[i] == name) return static_cast<ResultKind>(i);
  }
  return std::nullopt;
}

at::Tensor attention(const CompiledSpec& spec, const at::Tensor& query, const at::Tensor& key,
                     const at::Tensor& value, const Options& options) {
  const Operands operands(spec, query, key, value, options);
  AttentionOutputs outputs;
  at::Tensor output = add_result(ResultKind::Output, operands, options.transposed, outputs);
  run(spec, operands, outputs);
  return output;
}

std::vector<at::Tensor> attention_results(const CompiledSpec& spec, const at::Tensor& query,
                                          const at::Tensor& key, const at::Tensor& value,
                                          const std::vector<ResultKind>& results,
                                          const Options& options) {
  const Operands operands(spec, query, key, value, options);
  AttentionOutputs outputs;
  std::vector<at::Tensor> tensors;
  for (ResultKind kind : results) {
    TORCH_CHECK_VALUE(!place_of(kind, outputs).defined(), "the result ",
                      kResultNames[static_cast<size_t>(kind)], " is asked for twice");
    tensors.push_back(add_result(kind, operands, options.transposed, outputs));
  }
  run(spec, operands, outputs);
  return tensors;
}

KeyIndex make_index(const CompiledSpec& spec, const at::Tensor& query, const at::Tensor& key,
                    const Options& options) {
  check_operand("query", query, query);
  check_operand("key", key, query);
  check_device("query", query);
  // An index is one of keys in host memory, wherever it is used.
  Options on_host = options;
  for (auto& [name, tensor] : on_host.tensors) {
    check_operand(name.c_str(), tensor, query);
    tensor = tensor.cpu();
  }
  const at::Tensor rows = key.cpu();
  const Operands operands(spec, query.cpu(), rows, rows, on_host);
  Result<KeyIndex> index = spec.on(at::kCPU).make_index(operands.inputs);
  if (!index) raise(index.error());
  return std::move(*index);
}

namespace {

// On a device, by torch's own operators. As in maskjit::merge_partials a part without active keys
// counts for nothing, whatever its output holds, and NaN is not lost.
std::pair<at::Tensor, at::Tensor> merge_on_device(const std::vector<at::Tensor>& outputs,
                                                  const std::vector<at::Tensor>& lses) {
  const at::Tensor& first = outputs[0];
  for (size_t i = 0; i < outputs.size(); ++i) {
    TORCH_CHECK_VALUE(
        outputs[i].sizes() == first.sizes() && outputs[i].scalar_type() == first.scalar_type(),
        "partial output ", i, " ", describe(outputs[i]),
        " does not have the shape and type of the first, ", describe(first));
    TORCH_CHECK_VALUE(first.dim() >= 2 && lses[i].scalar_type() == at::kFloat &&
                          lses[i].sizes() == first.sizes().slice(0, first.dim() - 1),
                      "partial lse ", i, " ", describe(lses[i]), " does not fit output ",
                      describe(first), ": float32 without the last dimension is needed");
  }
  const at::Tensor parts = at::stack(lses);
  const at::Tensor lse = parts.logsumexp(0);
  at::Tensor sum;
  for (size_t i = 0; i < outputs.size(); ++i) {
    const at::Tensor inactive = lses[i].eq(-INFINITY).unsqueeze(-1);
    const at::Tensor part = outputs[i].to(at::kFloat).mul(lses[i].sub(lse).exp().unsqueeze(-1));
    const at::Tensor counted = part.masked_fill(inactive, 0);
    sum = sum.defined() ? sum.add(counted) : counted;
  }
  return {sum.to(first.scalar_type()), lse};
}

void check_partials(const std::vector<at::Tensor>& outputs, const std::vector<at::Tensor>& lses) {
  TORCH_CHECK_VALUE(!outputs.empty() && outputs.size() == lses.size(), outputs.size(),
                    " partial outputs and ", lses.size(),
                    " partial lse are given; at least one of each is needed, and as many of one "
                    "as of the other");
  const auto check = [&](const char* name, const at::Tensor& tensor) {
    check_operand(name, tensor, outputs[0], "the first partial output");
    check_no_grad(name, tensor);
  };
  for (const at::Tensor& tensor : outputs) check("a partial output", tensor);
  for (const at::Tensor& tensor : lses) check("a partial lse", tensor);
  check_device("the first partial output", outputs[0]);
}

}  // namespace

std::pair<at::Tensor, at::Tensor> merge_partials(const std::vector<at::Tensor>& outputs,
                                                 const std::vector<at::Tensor>& lses) {
  check_partials(outputs, lses);
  if (!outputs[0].is_cpu()) return merge_on_device(outputs, lses);
  std::vector<TensorView> output_views, lse_views;
  for (const at::Tensor& tensor : outputs) {
    output_views.push_back(view_of("a partial output", tensor));
  }
  for (const at::Tensor& tensor : lses) lse_views.push_back(view_of("a partial lse", tensor));
  at::Tensor output = at::empty(outputs[0].sizes(), outputs[0].options());
  at::Tensor lse = at::empty(lses[0].sizes(), lses[0].options());
  const Status done = maskjit::merge_partials(output_views, lse_views, view_of("output", output),
                                              view_of("lse", lse));
  if (!done) raise(done.error());
  return {output, lse};
}

}  // namespace maskjit::torch
