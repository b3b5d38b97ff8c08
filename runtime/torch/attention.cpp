#include "runtime/torch/attention.h"

#include <cctype>

#include <ATen/ops/empty.h>

#include "runtime/torch/checks.h"
#include "runtime/torch/torch_pool.h"
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

// The operands as a kernel takes them, and what keeps them alive.
struct Operands {
  at::Tensor query, key, value, attn_mask;
  AttentionInputs inputs;

  Operands(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const Options& options) {
    const auto take = [&](const char* name, const at::Tensor& tensor) {
      check_operand(name, tensor, q);
      check_on_cpu(name, tensor);
      check_no_grad(name, tensor);
    };
    take("query", q);
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
    for (const auto& [name, tensor] : options.tensors) {
      take(name.c_str(), tensor);
      inputs.tensors.emplace(name, view_of(name.c_str(), tensor));
    }
    inputs.masks = options.masks;
    inputs.runtime = options.runtime;
    if (options.scale) inputs.scale = static_cast<float>(*options.scale);
    inputs.q_offset = options.q_offset;
    inputs.dropout = options.dropout;
    inputs.row_max_over_all = options.row_max_over_all;
    inputs.sampling = options.sampling;
    inputs.index = options.index;
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

void run(const Attention& spec, const Operands& operands, const AttentionOutputs& outputs) {
  const Status done = spec.run(operands.inputs, outputs);
  if (!done) raise(done.error());
}

// "import", "masker", "score" or "attention" at the start of a line: declarations.
bool has_declarations(std::string_view text) {
  constexpr std::string_view kKeywords[] = {"import", "masker", "score", "attention"};
  while (!text.empty()) {
    const size_t begin = text.find_first_not_of(" \t\r");
    std::string_view line = begin == std::string_view::npos ? "" : text.substr(begin);
    for (std::string_view keyword : kKeywords) {
      if (line.starts_with(keyword) && line.size() > keyword.size() &&
          std::isspace(static_cast<unsigned char>(line[keyword.size()]))) {
        return true;
      }
    }
    const size_t end = text.find('\n');
    if (end == std::string_view::npos) break;
    text.remove_prefix(end + 1);
  }
  return false;
}

bool is_name(std::string_view text) {
  return std::all_of(text.begin(), text.end(),
                     [](unsigned char c) { return std::isalnum(c) || c == '_'; });
}

Result<Spec> load(const Source& source) {
  const std::string name = source.path.empty() ? "<text>" : source.path;
  if (!source.path.empty() || has_declarations(source.program)) {
    return engine().load_text(source.program, source.entry, name);
  }
  if (source.program.empty() || is_name(source.program)) {
    // A standard masker, named by one of the two.
    if (source.program.empty() || source.entry.empty()) {
      return engine().load_text("", source.program + source.entry, name);
    }
    return engine().load_text(source.program, source.entry, name);
  }
  return engine().load_text("masker expression() = " + source.program, source.entry, name);
}

}  // namespace

const Engine& engine() {
  // Lives as long as the process: kernels may still run while it exits.
  static const Engine& shared =
      *new Engine(EngineOptions{.thread_pool = std::make_shared<TorchPool>()});
  return shared;
}

Attention compile(const Source& source, std::string* warnings) {
  const Result<Spec> spec = load(source);
  if (!spec) raise(spec.error());
  if (warnings != nullptr) *warnings = spec->warnings();
  Result<Attention> attention = spec->bind(source.constants);
  if (!attention) raise(attention.error());
  return std::move(*attention);
}

Attention compile(std::string program, Values constants) {
  return compile(Source{std::move(program), "", "", std::move(constants)});
}

std::optional<ResultKind> parse_result(std::string_view name) {
  for (size_t i = 0; i < std::size(kResultNames); ++i) {
    if (kResultNames[i] == name) return static_cast<ResultKind>(i);
  }
  return std::nullopt;
}

at::Tensor attention(const Attention& spec, const at::Tensor& query, const at::Tensor& key,
                     const at::Tensor& value, const Options& options) {
  const Operands operands(query, key, value, options);
  AttentionOutputs outputs;
  at::Tensor output = add_result(ResultKind::Output, operands, options.transposed, outputs);
  run(spec, operands, outputs);
  return output;
}

std::vector<at::Tensor> attention_results(const Attention& spec, const at::Tensor& query,
                                          const at::Tensor& key, const at::Tensor& value,
                                          const std::vector<ResultKind>& results,
                                          const Options& options) {
  const Operands operands(query, key, value, options);
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

KeyIndex make_index(const Attention& spec, const at::Tensor& query, const at::Tensor& key,
                    const Options& options) {
  const Operands operands(query, key, key, options);
  Result<KeyIndex> index = spec.make_index(operands.inputs);
  if (!index) raise(index.error());
  return std::move(*index);
}

std::pair<at::Tensor, at::Tensor> merge_partials(const std::vector<at::Tensor>& outputs,
                                                 const std::vector<at::Tensor>& lses) {
  TORCH_CHECK_VALUE(!outputs.empty() && outputs.size() == lses.size(), outputs.size(),
                    " partial outputs and ", lses.size(),
                    " partial lse are given; at least one of each is needed, and as many of one "
                    "as of the other");
  std::vector<TensorView> output_views, lse_views;
  const auto take = [&](const char* name, const at::Tensor& tensor, std::vector<TensorView>& to) {
    check_operand(name, tensor, outputs[0]);
    check_on_cpu(name, tensor);
    check_no_grad(name, tensor);
    to.push_back(view_of(name, tensor));
  };
  for (const at::Tensor& tensor : outputs) take("a partial output", tensor, output_views);
  for (const at::Tensor& tensor : lses) take("a partial lse", tensor, lse_views);
  at::Tensor output = at::empty(outputs[0].sizes(), outputs[0].options());
  at::Tensor lse = at::empty(lses[0].sizes(), lses[0].options());
  const Status done = maskjit::merge_partials(output_views, lse_views, view_of("output", output),
                                              view_of("lse", lse));
  if (!done) raise(done.error());
  return {output, lse};
}

}  // namespace maskjit::torch
