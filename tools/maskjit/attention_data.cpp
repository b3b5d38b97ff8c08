#include "tools/maskjit/attention_data.h"

#include <fmt/format.h>

#include "tools/io/tensor_file.h"
#include "tools/maskjit/kernel_choice.h"
#include "tools/maskjit/random_values.h"

namespace maskjit::cli {
namespace {

Error invalid(std::string message) { return {ErrorKind::InvalidInput, std::move(message)}; }

// [B, L, H, D] seen as [B, H, L, D], or the other way round.
TensorView swapped(TensorView view) {
  std::swap(view.shape[1], view.shape[2]);
  std::swap(view.strides[1], view.strides[2]);
  return view;
}

TensorView laid_out(const TensorView& view, const std::string& layout) {
  return layout == "blhd" ? swapped(view) : view;
}

Result<io::Tensor> read_operand(const char* name, const std::string& argument,
                                const DataOptions& options) {
  Result<io::Tensor> tensor = io::read_tensor(argument, name);
  if (!tensor) return tensor;
  if (tensor->view().shape.size() != 4) {
    return invalid(fmt::format(
        "--{} {}: {} has {} dimensions; [batch, heads, length, head dimension] is expected", name,
        argument, tensor->view().describe(), tensor->view().shape.size()));
  }
  if (!options.dtype.empty()) {
    const Result<ElementType> type = parse_dtype(options.dtype);
    if (!type) return type.error();
    if (*type != tensor->view().type) return io::convert(tensor->view(), *type);
  } else if (!parse_dtype(std::string(name_of(tensor->view().type)))) {
    return invalid(
        fmt::format("--{} {}: {} cannot be computed with; convert it with --dtype f32, f16 or bf16",
                    name, argument, tensor->view().describe()));
  }
  return tensor;
}

}  // namespace

void add_data_options(CLI::App& command, DataOptions& options) {
  command.add_option("--query", options.query,
                     "[batch, heads, queries, head dimension]: .npy or .safetensors:name");
  command.add_option("--key", options.key, "[batch, key heads, keys, head dimension]");
  command.add_option("--value", options.value, "[batch, key heads, keys, value dimension]");
  command.add_option("--additive-mask", options.additive_mask,
                     "Added to the logits, or Boolean: [batch|1, heads|1, queries|1, keys]");
  command.add_option("--dtype", options.dtype, "Convert the inputs to f32, f16 or bf16");
  command
      .add_option("--layout", options.layout,
                  "Of query, key, value and output: bhld, or blhd (heads before head dimension)")
      ->check(CLI::IsMember({"bhld", "blhd"}))
      ->capture_default_str();
}

Lengths AttentionData::lengths() const {
  Lengths lengths;
  lengths.batch = query_view.shape[0];
  lengths.heads = query_view.shape[1];
  lengths.q_len = query_view.shape[2];
  lengths.head_dim = query_view.shape[3];
  lengths.kv_heads = key_view.shape[1];
  lengths.kv_len = key_view.shape[2];
  return lengths;
}

Result<AttentionData> read_data(const DataOptions& options) {
  if (options.query.empty() || options.key.empty() || options.value.empty()) {
    return invalid("--query, --key and --value are needed");
  }
  AttentionData data;
  const struct {
    const char* name;
    const std::string& argument;
    io::Tensor& tensor;
    TensorView& view;
  } operands[] = {{"query", options.query, data.query, data.query_view},
                  {"key", options.key, data.key, data.key_view},
                  {"value", options.value, data.value, data.value_view}};
  for (const auto& operand : operands) {
    Result<io::Tensor> tensor = read_operand(operand.name, operand.argument, options);
    if (!tensor) return tensor.error();
    operand.tensor = std::move(*tensor);
    operand.view = laid_out(operand.tensor.view(), options.layout);
  }
  if (!options.additive_mask.empty()) {
    Result<io::Tensor> mask = io::read_tensor(options.additive_mask, "additive_mask");
    if (!mask) return mask.error();
    if (mask->view().type == ElementType::F64) mask = io::convert(mask->view(), ElementType::F32);
    if (!mask) return mask.error();
    data.additive_mask = std::move(*mask);
  }
  return data;
}

Result<AttentionData> zero_data(const Lengths& lengths, int64_t value_dim, ElementType type) {
  AttentionData data;
  const struct {
    std::vector<int64_t> shape;
    io::Tensor& tensor;
    TensorView& view;
  } operands[] = {
      {{lengths.batch, lengths.heads, lengths.q_len, lengths.head_dim},
       data.query,
       data.query_view},
      {{lengths.batch, lengths.kv_heads, lengths.kv_len, lengths.head_dim},
       data.key,
       data.key_view},
      {{lengths.batch, lengths.kv_heads, lengths.kv_len, value_dim}, data.value, data.value_view}};
  for (const auto& operand : operands) {
    Result<io::Tensor> tensor = io::Tensor::zeros(type, operand.shape);
    if (!tensor) return tensor.error();
    operand.tensor = std::move(*tensor);
    operand.view = operand.tensor.view();
  }
  return data;
}

Result<AttentionData> random_data(const Lengths& lengths, int64_t value_dim, ElementType type) {
  Result<AttentionData> data = zero_data(lengths, value_dim, type);
  if (!data) return data;
  Random random;
  for (io::Tensor* tensor : {&data->query, &data->key, &data->value}) random.fill(tensor->view());
  return data;
}

Result<Laid> make_output(const AttentionData& data, const std::string& layout) {
  std::vector<int64_t> shape = data.query_view.shape;
  shape[3] = data.value_view.shape[3];
  if (layout == "blhd") std::swap(shape[1], shape[2]);
  Result<io::Tensor> tensor = io::Tensor::zeros(data.query.view().type, shape);
  if (!tensor) return tensor.error();
  const TensorView view = laid_out(tensor->view(), layout);
  return Laid{std::move(*tensor), view};
}

void add_engine_options(CLI::App& command, EngineChoice& options) {
  command
      .add_option("--device", options.device,
                  "cpu, emulator (a GPU on the CPU, checked), cuda or cuda:N")
      ->capture_default_str();
  command.add_option("--target", options.target,
                     "What to compile for, see maskjit info (default: the best of the device)");
  command
      .add_option("--packed", options.packed,
                  "A directory of kernels of maskjit pack; may be repeated")
      ->allow_extra_args(false);
  command.add_flag("--require-packed", options.require_packed,
                   "Compile nothing: a kernel that is not packed is an error");
  command.add_option("--template", options.only_template, "Only this kernel template");
  command
      .add_option("--threads", options.threads, "Threads (default: all that the process may use)")
      ->check(CLI::Range(1, 4096));
  command.add_option("--opt-level", options.opt_level, "0 or 3")
      ->check(CLI::IsMember({0, 3}))
      ->capture_default_str();
}

EngineOptions engine_options(const EngineChoice& options) {
  EngineOptions result;
  result.target = options.target;
  result.only_template = options.only_template;
  result.threads = options.threads;
  result.opt_level = options.opt_level;
  if (options.device != "cpu") result.device = options.device;
  result.packed_kernels = options.packed;
  result.require_packed = options.require_packed;
  return result;
}

Result<Prepared> prepare(const Engine& engine, const Spec& spec, const AttentionData& data,
                         const LaunchValues& values) {
  const Result<maskjit::Spec> loaded =
      engine.load_text(spec.source.text, spec.source.entry, spec.source.name);
  if (!loaded) return loaded.error();
  Result<Attention> attention = loaded.value().bind(api_values(spec, ir::BindingTime::Const));
  if (!attention) return attention.error();
  AttentionInputs inputs;
  inputs.query = data.query_view;
  inputs.key = data.key_view;
  inputs.value = data.value_view;
  if (data.additive_mask.defined()) inputs.additive_mask = data.additive_mask.view();
  inputs.runtime = api_values(spec, ir::BindingTime::Runtime);
  for (const auto& [name, tensor] : values.tensors) inputs.tensors[name] = tensor.view();
  return Prepared{std::move(*attention), std::move(inputs)};
}

}  // namespace maskjit::cli
