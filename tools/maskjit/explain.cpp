// maskjit explain: parameters, reach of the mask, tiles, kernel and compile time of a spec.
#include <fmt/format.h>

#include <memory>
#include <nlohmann/json.hpp>

#include "masker_dsl/analysis/explain.h"
#include "masker_dsl/analysis/plan.h"
#include "tools/maskjit/command.h"
#include "tools/maskjit/console.h"
#include "tools/maskjit/kernel_choice.h"
#include "tools/maskjit/tile_count.h"

namespace maskjit::cli {
namespace {

using Json = nlohmann::ordered_json;

struct Options {
  SpecOptions spec;
  Lengths lengths;
  KernelOptions kernel;
  bool json = false;
};

struct Explanation {
  std::vector<ParameterInfo> parameters;  // default_value: the value in use
  std::vector<std::string> set_by_user;
  std::string ranges;  // in words
  TileCount tiles;
  std::optional<KernelChoice> kernel;
  std::string no_kernel;  // why there is none
  std::string key;
  codegen::StageTimes stages;
  size_t object_bytes = 0;
};

std::vector<ParameterInfo> parameters_of(const Spec& spec) {
  std::vector<ParameterInfo> result;
  for (const ir::Param& param : spec.program.function.params()) {
    ParameterInfo info;
    info.name = param.name;
    info.type = ir::name_of(param.type);
    info.binding_time = ir::name_of(param.time);
    const auto found = spec.values.find(param.name);
    if (found != spec.values.end()) {
      info.default_value = print_value(found->second);
    } else if (param.default_share.has_value()) {
      info.default_value = print_value(*param.default_share) + " (default)";
    } else if (param.default_value.has_value()) {
      info.default_value = print_value(*param.default_value) + " (default)";
    }
    result.push_back(std::move(info));
  }
  for (const ir::Tensor& tensor : spec.program.function.tensors()) {
    std::string dims;
    for (const ir::Dim& dim : tensor.dims) dims += (dims.empty() ? "" : ", ") + ir::name_of(dim);
    result.push_back(
        {tensor.name, fmt::format("{}[{}]", ir::name_of(tensor.element), dims), "tensor", ""});
  }
  return result;
}

// Every line indented by two columns.
std::string indented(std::string_view lines) {
  std::string text;
  bool line_starts = true;
  for (const char c : lines) {
    if (line_starts && c != '\n') text += "  ";
    text += c;
    line_starts = c == '\n';
  }
  return text.ends_with('\n') ? text : text + '\n';
}

// The kernel and what its compile took; a refusal is part of the explanation.
Status explain_kernel(const Options& options, const Spec& spec, const LaunchValues& values,
                      Explanation& explanation) {
  Result<KernelChoice> choice = choose_kernel(spec, options.kernel, options.lengths, &values);
  if (!choice) {
    if (choice.error().kind != ErrorKind::Unsupported) return choice.error();
    explanation.no_kernel = choice.error().message;
    return Done{};
  }
  explanation.key = codegen::spec_key(spec.bound.program, choice->spec, choice->target).hex();
  auto compiled =
      codegen::compile(spec.bound.program, spec.bound.tiles, choice->spec, choice->target);
  if (const auto* error = std::get_if<codegen::CompileError>(&compiled)) {
    return Error{ErrorKind::Internal, error->message};
  }
  const auto& artifact = std::get<codegen::CodeArtifact>(compiled);
  explanation.stages = {{"check", spec.check_milliseconds},
                        {"bind and analyse", spec.bind_milliseconds}};
  explanation.stages.insert(explanation.stages.end(), artifact.times.begin(), artifact.times.end());
  explanation.object_bytes = artifact.object.size();
  explanation.kernel = std::move(*choice);
  return Done{};
}

std::string plan_of(const Spec& spec, const Explanation& e) {
  return analysis::explain_plan(spec.bound.program,
                                !e.kernel.has_value() || e.kernel->target.is_host());
}

std::string tile_line(const char* what, int64_t count, int64_t total) {
  return fmt::format(
      "  {:<8} {:>12}  {:5.1f}%\n", what, format_count(count),
      total == 0 ? 0.0 : 100.0 * static_cast<double>(count) / static_cast<double>(total));
}

std::string to_text(const Options& options, const Spec& spec, const Explanation& e) {
  const auto heading = [](const std::string& text) { return styled(text, Style::Bold) + "\n"; };
  std::string text = heading(fmt::format("{} ({})", spec.program.name, spec.source.name));
  if (e.parameters.empty()) text += "  no parameters\n";
  for (const ParameterInfo& p : e.parameters) {
    text +=
        fmt::format("  {:<14} {:<22} {:<8} {}\n", p.name, p.type, p.binding_time, p.default_value);
  }
  const bool sequence = !spec.bound.program.stages.empty();
  text +=
      heading(sequence ? "\nKeys that a query can choose among" : "\nKeys that a query can reach");
  text += e.ranges;
  const Lengths& lengths = options.lengths;
  const TileCount& t = e.tiles;
  text += heading(fmt::format("\nTiles of {} x {} at {} queries x {} keys", e.tiles.tile_q,
                              e.tiles.tile_k, lengths.q_len, lengths.kv_len));
  const int64_t total = t.empty + t.partial + t.full;
  text += tile_line("empty", t.empty, total) + tile_line("partial", t.partial, total) +
          tile_line("full", t.full, total);
  text += fmt::format("  {:<8} {}{:.4g}% of all elements\n", sequence ? "allowed" : "active",
                      t.exact ? "" : "about ", t.density() * 100);
  if (const std::string plan = plan_of(spec, e); !plan.empty()) {
    text += heading("\nPlan") + indented(plan);
  }
  text += heading("\nKernel");
  if (!e.kernel.has_value()) return text + fmt::format("  none: {}\n", e.no_kernel);
  text += fmt::format("  {} for {}\n  {}\n  key {}\n", e.kernel->spec.template_name,
                      e.kernel->target.print(), e.kernel->spec.print(), e.key);
  for (const codegen::Refusal& refusal : e.kernel->refused) {
    text += fmt::format("  not {}: {}\n", refusal.template_name, refusal.reason);
  }
  if (const std::string launch = launch_of(*e.kernel, lengths); !launch.empty())
    text += heading("\nLaunch on 108 multiprocessors") + indented(launch);
  text += heading("\nCompile time");
  double sum = 0;
  for (const auto& [stage, milliseconds] : e.stages) {
    text += fmt::format("  {:<18} {:>10}\n", stage, format_duration(milliseconds));
    sum += milliseconds;
  }
  return text + fmt::format("  {:<18} {:>10}, {} of code\n", "all", format_duration(sum),
                            format_bytes(e.object_bytes));
}

Json to_json(const Options& options, const Spec& spec, const Explanation& e) {
  Json json;
  json["name"] = spec.program.name;
  json["file"] = spec.source.name;
  json["parameters"] = Json::array();
  for (const ParameterInfo& p : e.parameters) {
    json["parameters"].push_back({{"name", p.name},
                                  {"type", p.type},
                                  {"binding_time", p.binding_time},
                                  {"value", p.default_value}});
  }
  json["key_ranges"] = e.ranges;
  json["q_len"] = options.lengths.q_len;
  json["kv_len"] = options.lengths.kv_len;
  json["tiles"] = {{"q", e.tiles.tile_q},
                   {"k", e.tiles.tile_k},
                   {"empty", e.tiles.empty},
                   {"partial", e.tiles.partial},
                   {"full", e.tiles.full}};
  json["density"] = e.tiles.density();
  json["density_is_exact"] = e.tiles.exact;
  if (!e.kernel.has_value()) {
    json["kernel"] = nullptr;
    json["no_kernel"] = e.no_kernel;
    return json;
  }
  if (const std::string plan = plan_of(spec, e); !plan.empty()) json["plan"] = plan;
  Json refused = Json::array();
  for (const codegen::Refusal& refusal : e.kernel->refused) {
    refused.push_back({{"template", refusal.template_name}, {"reason", refusal.reason}});
  }
  if (const std::string launch = launch_of(*e.kernel, options.lengths); !launch.empty())
    json["launch"] = launch;
  json["kernel"] = {
      {"template", e.kernel->spec.template_name}, {"target", e.kernel->target.print()},
      {"spec", e.kernel->spec.print()},           {"key", e.key},
      {"object_bytes", e.object_bytes},           {"refused", std::move(refused)}};
  Json stages = Json::object();
  for (const auto& [stage, milliseconds] : e.stages) stages[stage] = milliseconds;
  json["compile_milliseconds"] = std::move(stages);
  return json;
}

int run(Options& options) {
  const Result<Spec> spec = load_spec(options.spec);
  if (!spec) return report(spec.error());
  Status ok = complete(options.lengths, 1024);
  if (!ok) return report(ok.error());
  const Result<LaunchValues> values = launch_values(options.spec, *spec, options.lengths);
  if (!values) return report(values.error());
  Explanation explanation;
  explanation.parameters = parameters_of(*spec);
  explanation.ranges = indented(analysis::explain_ranges(spec->bound.program.function));
  ok = explain_kernel(options, *spec, *values, explanation);
  if (!ok) return report(ok.error());
  MaskView view(*spec, *values, options.lengths);
  const codegen::KernelSpec shape =
      explanation.kernel.has_value() ? explanation.kernel->spec : codegen::KernelSpec();
  explanation.tiles = count_tiles(view, shape.tile_q, shape.tile_k);
  if (options.json) {
    print_json(to_json(options, *spec, explanation));
  } else {
    print(to_text(options, *spec, explanation));
  }
  return kOk;
}

void declare(CLI::App& command, std::string_view, Action& action) {
  auto options = std::make_shared<Options>();
  command.footer(
      "Examples:\n"
      "  maskjit explain streaming_llm.masker --kv-len 8192\n"
      "  maskjit explain local --set n=10% --kv-len 100000 --json");
  add_spec_options(command, options->spec);
  add_length_options(command, options->lengths);
  add_kernel_options(command, options->kernel);
  command.add_flag("--json", options->json, "Print JSON");
  command.callback([options, &action] { action = [options] { return run(*options); }; });
}

}  // namespace

const Subcommand kExplain = {"explain", "Say what a mask reaches, costs and is compiled to",
                             declare};

}  // namespace maskjit::cli
