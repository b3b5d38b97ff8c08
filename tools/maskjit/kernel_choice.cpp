#include "tools/maskjit/kernel_choice.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "codegen/spec/device_templates.h"

namespace maskjit::cli {
namespace {

// Rows of one key head up to which a problem counts as decoding.
constexpr int64_t kShortQueries = 16;

MjElement abi_element(ElementType type) {
  return type == ElementType::F16 ? MJ_F16 : type == ElementType::BF16 ? MJ_BF16 : MJ_F32;
}

}  // namespace

Result<ElementType> parse_dtype(const std::string& text) {
  for (const ElementType type : {ElementType::F32, ElementType::F16, ElementType::BF16}) {
    if (text == name_of(type)) return type;
  }
  return Error{ErrorKind::InvalidInput,
               fmt::format("--dtype {}: f32, f16 and bf16 are possible", text)};
}

void add_kernel_options(CLI::App& command, KernelOptions& options) {
  command.add_option("--target", options.target,
                     "What to compile for, see maskjit info (default: this CPU)");
  command.add_option("--template", options.only_template, "Only this kernel template");
  command.add_option("--dtype", options.dtype, "f32, f16 or bf16")->capture_default_str();
  command.add_option("--value-dim", options.value_dim,
                     "Head dimension of the values (default: --head-dim)");
  command.add_option("--opt-level", options.opt_level, "0 or 3")
      ->check(CLI::IsMember({0, 3}))
      ->capture_default_str();
}

Result<KernelChoice> choose_kernel(const Spec& spec, const KernelOptions& options,
                                   const Lengths& lengths, const LaunchValues* values) {
  const auto error = [](ErrorKind kind, std::string message) {
    return Error{kind, std::move(message)};
  };
  KernelChoice choice;
  choice.target = codegen::Target::host();
  if (!options.target.empty()) {
    const auto target = codegen::Target::parse(options.target);
    if (!target.has_value()) {
      return error(ErrorKind::InvalidInput,
                   fmt::format("--target {}: the targets are {}, {}", options.target,
                               fmt::join(codegen::Target::names(), ", "),
                               fmt::join(codegen::Target::device_names(), ", ")));
    }
    choice.target = *target;
  }
  const Result<ElementType> type = parse_dtype(options.dtype);
  if (!type) return type.error();
  constexpr int64_t kMaxHeadDim = int64_t{1} << 16;
  const int64_t value_dim = options.value_dim == 0 ? lengths.head_dim : options.value_dim;
  if (value_dim < 1 || value_dim > kMaxHeadDim || lengths.head_dim > kMaxHeadDim) {
    return error(ErrorKind::InvalidInput,
                 fmt::format("head dimensions {} and {}: 1 to {} is possible", lengths.head_dim,
                             value_dim, kMaxHeadDim));
  }
  choice.problem.element = abi_element(*type);
  choice.problem.head_dim = static_cast<int>(lengths.head_dim);
  choice.problem.head_dim_v = static_cast<int>(value_dim);
  choice.problem.short_queries =
      lengths.q_len * (lengths.heads / lengths.kv_heads) <= kShortQueries;
  for (const ir::Tensor& tensor : spec.bound.program.function.tensors()) {
    codegen::TensorLayout layout;
    if (values != nullptr) {
      const TensorView& view = values->tensors.at(tensor.name).view();
      for (size_t d = 0; d < view.shape.size(); ++d) {
        const bool broadcasts = view.shape[d] == 1;
        layout.broadcast = static_cast<uint8_t>(layout.broadcast | (broadcasts ? 1U << d : 0U));
      }
    }
    choice.problem.tensors.push_back(layout);
  }
  codegen::Selection selection = codegen::select_template(spec.bound.program, choice.problem,
                                                          choice.target, options.only_template);
  choice.refused = std::move(selection.refused);
  if (!selection.spec.has_value()) {
    if (options.only_template.empty()) {
      std::string reasons;
      for (const codegen::Refusal& refusal : choice.refused)
        reasons += fmt::format("\n  {}: {}", refusal.template_name, refusal.reason);
      return error(ErrorKind::Unsupported,
                   fmt::format("no kernel of {} supports '{}':{}", choice.target.print(),
                               spec.program.name, reasons));
    }
    std::vector<std::string> names;
    for (const auto& t :
         choice.target.is_host() ? codegen::kernel_templates() : codegen::device_templates())
      names.push_back(t.name);
    std::string reasons;
    for (const codegen::Refusal& refusal : choice.refused) {
      if (refusal.template_name == options.only_template) reasons = ": " + refusal.reason;
    }
    return error(ErrorKind::Unsupported,
                 reasons.empty() ? fmt::format("--template {}: the templates are {}",
                                               options.only_template, fmt::join(names, ", "))
                                 : fmt::format("--template {}{}", options.only_template, reasons));
  }
  choice.spec = std::move(*selection.spec);
  choice.spec.opt_level = options.opt_level;
  return choice;
}

std::string launch_of(const KernelChoice& choice, const Lengths& lengths) {
  constexpr int kMultiprocessors = 108;
  if (choice.target.is_host()) return "";
  codegen::LaunchShape shape;
  shape.batch_size = lengths.batch;
  shape.num_heads = lengths.heads;
  shape.num_kv_heads = lengths.kv_heads == 0 ? lengths.heads : lengths.kv_heads;
  shape.q_len = lengths.q_len == 0 ? lengths.kv_len : lengths.q_len;
  shape.kv_len = lengths.kv_len;
  const int64_t all = shape.q_len;
  shape.q_len = codegen::queries_a_round(choice.spec, shape);
  std::string text =
      codegen::describe(codegen::device_launch(choice.spec, shape, kMultiprocessors));
  if (shape.q_len < all) {
    text += fmt::format("{:<13} {}, of {} queries each\n", "rounds",
                        (all + shape.q_len - 1) / shape.q_len, shape.q_len);
  }
  return text;
}

}  // namespace maskjit::cli
