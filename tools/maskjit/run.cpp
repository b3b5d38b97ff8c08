// maskjit run: attention on tensors from files.
#include <fmt/format.h>

#include <chrono>
#include <memory>
#include <nlohmann/json.hpp>

#include "tools/io/tensor_file.h"
#include "tools/maskjit/command.h"
#include "tools/maskjit/console.h"
#include "tools/maskjit/reference.h"

namespace maskjit::cli {
namespace {

using Json = nlohmann::ordered_json;

struct Options {
  SpecOptions spec;
  DataOptions data;
  EngineChoice engine;
  std::string out, lse, row_max, numerator, denominator, weights;
  std::optional<float> scale;
  std::optional<int64_t> q_offset;
  bool row_max_over_all = false;
  bool check = false, json = false;
};

// The results that were asked for: memory, and where they go.
struct Results {
  Laid output;
  std::vector<io::NamedTensor> files;
  AttentionOutputs views;
};

Result<Results> make_results(const Options& options, const AttentionData& data) {
  Results results;
  const std::vector<int64_t>& q = data.query_view.shape;
  const std::vector<int64_t> rows = {q[0], q[1], q[2]};
  std::vector<int64_t> values = q, keys = q;
  values[3] = data.value_view.shape[3];
  keys[3] = data.key_view.shape[2];
  if (!options.out.empty() || options.check) {
    Result<Laid> output = make_output(data, options.data.layout);
    if (!output) return output.error();
    results.output = std::move(*output);
    results.views.output = results.output.view;
    if (!options.out.empty())
      results.files.push_back({options.out, "output", results.output.tensor});
  }
  const struct {
    const char* name;
    const std::string& file;
    const std::vector<int64_t>& shape;
    TensorView& view;
  } others[] = {{"lse", options.lse, rows, results.views.lse},
                {"row_max", options.row_max, rows, results.views.row_max},
                {"numerator", options.numerator, values, results.views.numerator},
                {"denominator", options.denominator, rows, results.views.denominator},
                {"weights", options.weights, keys, results.views.weights}};
  for (const auto& other : others) {
    if (other.file.empty()) continue;
    Result<io::Tensor> tensor = io::Tensor::zeros(ElementType::F32, other.shape);
    if (!tensor) return tensor.error();
    other.view = tensor->view();
    results.files.push_back({other.file, other.name, std::move(*tensor)});
  }
  for (const io::NamedTensor& file : results.files) {
    const Status ok = io::check_output_name(file.argument);
    if (!ok) return ok.error();
  }
  if (!results.views.output.defined() && results.files.empty()) {
    return Error{ErrorKind::InvalidInput,
                 "nothing to compute: give --out, another result, or --check"};
  }
  return results;
}

int print_results(const Options& options, const LaunchInfo& launch, double milliseconds,
                  const Results& results, const std::vector<Deviation>& deviations) {
  bool acceptable = true;
  for (const Deviation& d : deviations) acceptable = acceptable && d.acceptable();
  if (options.json) {
    Json json;
    json["template"] = launch.template_name;
    json["target"] = launch.target;
    json["key"] = launch.key;
    json["origin"] = launch.origin;
    json["milliseconds"] = milliseconds;
    json["results"] = Json::array();
    for (const io::NamedTensor& file : results.files) {
      json["results"].push_back({{"name", file.name},
                                 {"file", file.argument},
                                 {"type", name_of(file.tensor.view().type)},
                                 {"shape", file.tensor.view().shape}});
    }
    for (const Deviation& d : deviations) {
      json["check"][d.result] = {
          {"relative_error", d.relative}, {"allowed", d.allowed}, {"ok", d.acceptable()}};
    }
    print_json(json);
  } else {
    print(fmt::format("{} for {}, kernel from {}: {}\n", launch.template_name, launch.target,
                      launch.origin == "compiled" ? "the compiler" : launch.origin,
                      format_duration(milliseconds)));
    for (const io::NamedTensor& file : results.files) {
      print(fmt::format("wrote {}: {} {}\n", file.argument, file.name,
                        file.tensor.view().describe()));
    }
    for (const Deviation& d : deviations) {
      print(fmt::format(
          "{}: relative error {:.1e} against the f64 reference ({})\n", d.result, d.relative,
          d.acceptable() ? styled("ok", Style::Green)
                         : fmt::format("{:.0e} is allowed{}", d.allowed,
                                       d.infinities_agree ? "" : "; infinities differ")));
    }
  }
  if (acceptable) return kOk;
  return report({ErrorKind::Internal,
                 "the result deviates from the reference by more than rounding explains"});
}

int run(Options& options) {
  const Result<Spec> spec = load_spec(options.spec);
  if (!spec) return report(spec.error());
  if (options.check && !spec->bound.program.stages.empty()) {
    return report({ErrorKind::Unsupported,
                   fmt::format("'{}' is a sequence with selectors: --check is for static masks, "
                               "since what a selector takes depends on the rounding of scores that "
                               "nearly tie",
                               spec->program.name)});
  }
  const Result<AttentionData> data = read_data(options.data);
  if (!data) return report(data.error());
  Lengths lengths = data->lengths();
  const Result<LaunchValues> values = launch_values(options.spec, *spec, lengths);
  if (!values) return report(values.error());
  const Result<Results> results = make_results(options, *data);
  if (!results) return report(results.error());

  const Engine engine(engine_options(options.engine));
  Result<Prepared> prepared = prepare(engine, *spec, *data, *values);
  if (!prepared) return report(prepared.error());
  prepared->inputs.scale = options.scale;
  prepared->inputs.q_offset = options.q_offset;
  prepared->inputs.row_max_over_all = options.row_max_over_all;
  const Result<LaunchInfo> launch = prepared->attention.prepare(prepared->inputs, results->views);
  if (!launch) return report(launch.error());
  const auto start = std::chrono::steady_clock::now();
  const Status done = prepared->attention.run(prepared->inputs, results->views);
  if (!done) return report(done.error());
  const double milliseconds =
      std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
  const Status written = io::write_tensors(results->files);
  if (!written) return report(written.error());
  std::vector<Deviation> deviations;
  if (options.check) {
    auto compared = compare_with_reference(*spec, *data, *values, prepared->inputs, results->views);
    if (!compared) return report(compared.error());
    deviations = std::move(*compared);
  }
  return print_results(options, *launch, milliseconds, *results, deviations);
}

void declare(CLI::App& command, std::string_view, Action& action) {
  auto options = std::make_shared<Options>();
  command.footer(
      "Examples:\n"
      "  maskjit run causal --query q.npy --key k.npy --value v.npy --out o.npy\n"
      "  maskjit run streaming_llm.masker --set window=128 --query m.safetensors:query --key "
      "m.safetensors:key \\\n"
      "      --value m.safetensors:value --dtype bf16 --out o.safetensors --lse o.safetensors "
      "--check\n"
      "  maskjit run document --tensor id=ids.npy --query q.npy --key k.npy --value v.npy --out "
      "o.npy\n"
      "  maskjit run causal --device emulator --target sm_90 --query q.npy --key k.npy --value "
      "v.npy --out o.npy");
  add_spec_options(command, options->spec);
  add_data_options(command, options->data);
  add_engine_options(command, options->engine);
  command.add_option("--out", options->out, "Where the output goes: .npy or .safetensors[:name]");
  command.add_option("--lse", options->lse, "Where the log-sum-exp of each row goes");
  command.add_option("--row-max", options->row_max, "Where the row maxima go");
  command.add_option("--numerator", options->numerator, "Where the numerators go");
  command.add_option("--denominator", options->denominator, "Where the denominators go");
  command.add_option("--weights", options->weights, "Where the dense weights go (queries x keys)");
  command.add_option("--scale", options->scale,
                     "Of the logits (default: 1 / sqrt(head dimension))");
  command.add_option("--q-offset", options->q_offset,
                     "Position of the first query (default: keys - queries)");
  command.add_flag("--row-max-over-all", options->row_max_over_all,
                   "Numerator and denominator relative to the maximum over all allowed keys");
  command.add_flag("--check", options->check, "Compare with the f64 reference (static masks)");
  command.add_flag("--json", options->json, "Print JSON");
  command.callback([options, &action] { action = [options] { return run(*options); }; });
}

}  // namespace

const Subcommand kRun = {"run", "Compute attention on tensors from files", declare};

}  // namespace maskjit::cli
