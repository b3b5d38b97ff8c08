// maskjit bench: a mask beside dense attention of the same kernel.
#include "tools/maskjit/bench.h"

#include <fmt/format.h>

#include <memory>
#include <nlohmann/json.hpp>

#include "tools/maskjit/attention_data.h"
#include "tools/maskjit/command.h"
#include "tools/maskjit/console.h"
#include "tools/maskjit/device_data.h"
#include "tools/maskjit/kernel_choice.h"
#include "tools/maskjit/statistics.h"
#include "tools/maskjit/tile_count.h"

namespace maskjit::cli {
namespace {

using Json = nlohmann::ordered_json;

struct Options {
  SpecOptions spec;
  Lengths lengths;
  DataOptions data;
  EngineChoice engine;
  int64_t value_dim = 0;
  double seconds = 2;
  int runs = 0;  // 0: as many as the time allows
  bool json = false;
};

struct Contestant {
  std::string name;
  Prepared prepared;
  LaunchInfo launch;
  AttentionOutputs outputs;
  double active = 0;  // elements, over all batches and heads
  std::vector<double> milliseconds = {};
  std::unique_ptr<DeviceData> on_device = {};  // null: the CPU
};

Result<Contestant> enter(const std::string& name, const Engine& engine, const Spec& spec,
                         const AttentionData& data, const LaunchValues& values,
                         const AttentionOutputs& outputs, double active) {
  Result<Prepared> prepared = prepare(engine, spec, data, values);
  if (!prepared) return prepared.error();
  Result<LaunchInfo> launch = prepared->attention.prepare(prepared->inputs, outputs);
  if (!launch) return launch.error();
  Contestant contestant{name, std::move(*prepared), std::move(*launch), outputs, active};
  if (engine.device() == nullptr) return contestant;
  // Explicit masks stay on the host, as masks.
  AttentionInputs& inputs = contestant.prepared.inputs;
  for (const ir::Tensor& tensor : spec.program.function.tensors()) {
    if (tensor.element != ir::Element::Bit) continue;
    Result<Mask> mask = Mask::from_dense(inputs.tensors.at(tensor.name));
    if (!mask) return mask.error();
    inputs.masks.emplace(tensor.name, std::move(*mask));
    inputs.tensors.erase(tensor.name);
  }
  auto placed = DeviceData::place(*engine.device(), inputs, contestant.outputs);
  if (!placed) return placed.error();
  contestant.on_device = std::move(*placed);
  return contestant;
}

Result<double> time_run(Contestant& contestant) {
  const Attention& attention = contestant.prepared.attention;
  const AttentionInputs& inputs = contestant.prepared.inputs;
  if (contestant.on_device != nullptr)
    return contestant.on_device->time(attention, inputs, contestant.outputs);
  Status done = Done{};
  const double milliseconds =
      time_milliseconds([&] { done = attention.run(inputs, contestant.outputs); });
  if (!done) return done.error();
  return milliseconds;
}

// One run of each after the other, so that whatever else the machine does falls on both.
Status race(const Options& options, std::vector<Contestant>& contestants) {
  Progress progress("running");
  double spent = 0;
  constexpr int kFewest = 5, kMost = 10000;
  for (int round = -1;
       options.runs > 0 ? round < options.runs
                        : round < kFewest || (spent < options.seconds * 1e3 && round < kMost);
       ++round) {
    for (Contestant& contestant : contestants) {
      const Result<double> milliseconds = time_run(contestant);
      if (!milliseconds) return milliseconds.error();
      if (round < 0) continue;  // the first one warms up
      contestant.milliseconds.push_back(*milliseconds);
      spent += *milliseconds;
    }
    progress.update(static_cast<int64_t>(spent), static_cast<int64_t>(options.seconds * 1e3));
  }
  return Done{};
}

double gigaflops(const Contestant& c, const Lengths& lengths, int64_t value_dim) {
  const double flops = 2 * c.active * static_cast<double>(lengths.head_dim + value_dim);
  return flops / (median(c.milliseconds) * 1e6);
}

void print_table(const std::vector<Contestant>& contestants, const Lengths& lengths,
                 int64_t value_dim, const AttentionData& data) {
  print(fmt::format("query {}, key {}, value {}\n", data.query_view.describe(),
                    data.key_view.describe(), data.value_view.describe()));
  print(fmt::format("{:<24} {:>10} {:>10} {:>10} {:>9} {:>10}  {}\n", "", "median", "fastest",
                    "active", "runs", "GFLOP/s", "kernel"));
  for (const Contestant& c : contestants) {
    const double area = static_cast<double>(lengths.batch * lengths.heads) *
                        static_cast<double>(lengths.q_len) * static_cast<double>(lengths.kv_len);
    print(fmt::format(
        "{:<24} {:>10} {:>10} {:>9.3g}% {:>9} {:>10.1f}  {} for {}\n", c.name,
        format_duration(median(c.milliseconds)),
        format_duration(*std::min_element(c.milliseconds.begin(), c.milliseconds.end())),
        c.active / area * 100, c.milliseconds.size(), gigaflops(c, lengths, value_dim),
        c.launch.template_name, c.launch.target));
  }
  print(fmt::format("{} takes {:.3f} of the time of dense attention\n", contestants[0].name,
                    median(contestants[0].milliseconds) / median(contestants[1].milliseconds)));
}

Json to_json(const std::vector<Contestant>& contestants, const Lengths& lengths, int64_t value_dim,
             const AttentionData& data) {
  Json json;
  json["query"] = data.query_view.describe();
  json["key"] = data.key_view.describe();
  json["value"] = data.value_view.describe();
  for (const Contestant& c : contestants) {
    json["results"].push_back(
        {{"name", c.name},
         {"template", c.launch.template_name},
         {"target", c.launch.target},
         {"active_elements", c.active},
         {"median_milliseconds", median(c.milliseconds)},
         {"fastest_milliseconds", *std::min_element(c.milliseconds.begin(), c.milliseconds.end())},
         {"runs", c.milliseconds.size()},
         {"gigaflops", gigaflops(c, lengths, value_dim)}});
  }
  json["ratio"] = median(contestants[0].milliseconds) / median(contestants[1].milliseconds);
  return json;
}

int run(Options& options) {
  const Result<Spec> spec = load_spec(options.spec);
  if (!spec) return report(spec.error());
  SpecOptions dense_options;
  dense_options.spec = "full";
  const Result<Spec> dense = load_spec(dense_options);
  if (!dense) return report(dense.error());

  const bool given =
      !options.data.query.empty() || !options.data.key.empty() || !options.data.value.empty();
  Result<AttentionData> data = AttentionData();
  if (given) {
    data = read_data(options.data);
  } else {
    const Status ok = complete(options.lengths, 1024);
    if (!ok) return report(ok.error());
    const Result<ElementType> type =
        parse_dtype(options.data.dtype.empty() ? "f32" : options.data.dtype);
    if (!type) return report(type.error());
    data = random_data(options.lengths,
                       options.value_dim > 0 ? options.value_dim : options.lengths.head_dim, *type);
  }
  if (!data) return report(data.error());
  const std::optional<int64_t> q_offset = options.lengths.q_offset;
  Lengths lengths = data->lengths();
  lengths.q_offset = q_offset;
  const Status ok = complete(lengths, 0);
  if (!ok) return report(ok.error());
  const int64_t value_dim = data->value_view.shape[3];
  const Result<LaunchValues> values = launch_values(options.spec, *spec, lengths);
  if (!values) return report(values.error());
  const Result<Laid> output = make_output(*data, options.data.layout);
  if (!output) return report(output.error());
  AttentionOutputs outputs;
  outputs.output = output->view;

  MaskView view(*spec, *values, lengths);
  const double planes = static_cast<double>(lengths.batch * lengths.heads);
  const double active = count_tiles(view, 64, 64).active * planes;
  const double area =
      planes * static_cast<double>(lengths.q_len) * static_cast<double>(lengths.kv_len);

  const Engine engine(engine_options(options.engine));
  std::vector<Contestant> contestants;
  const struct {
    std::string name;
    const Spec& spec;
    double active;
  } entries[] = {{spec->program.name, *spec, active}, {"dense", *dense, area}};
  const LaunchValues none;
  for (const auto& entry : entries) {
    Result<Contestant> contestant =
        enter(entry.name, engine, entry.spec, *data, &entry.spec == &*spec ? *values : none,
              outputs, entry.active);
    if (!contestant) return report(contestant.error());
    contestant->prepared.inputs.q_offset = q_offset;
    contestants.push_back(std::move(*contestant));
  }
  const Status raced = race(options, contestants);
  if (!raced) return report(raced.error());
  if (options.json) {
    print_json(to_json(contestants, lengths, value_dim, *data));
  } else {
    print_table(contestants, lengths, value_dim, *data);
  }
  return kOk;
}

void declare(CLI::App& command, std::string_view next, Action& action) {
  command.footer(
      "Medians of runs that alternate between the two. GFLOP/s count the active elements only. On "
      "a GPU tensors are\n"
      "in its memory, and times are those of events around each call.\n"
      "Examples:\n"
      "  maskjit bench causal --kv-len 4096 --heads 8 --dtype bf16\n"
      "  maskjit bench streaming_llm.masker --query q.npy --key k.npy --value v.npy\n"
      "  maskjit bench compile causal");
  // "bench compile" takes other options; "bench" itself a spec that is not called compile.
  CLI::App* compile = command.add_subcommand(kBenchCompile.name, kBenchCompile.description);
  kBenchCompile.declare(*compile, {}, action);
  command.require_subcommand(0, 1);
  if (next == kBenchCompile.name) return;
  auto options = std::make_shared<Options>();
  add_spec_options(command, options->spec);
  command.get_option("spec")->required(false);
  add_length_options(command, options->lengths);
  command.add_option("--value-dim", options->value_dim,
                     "Head dimension of the values (default: --head-dim)");
  add_data_options(command, options->data);
  add_engine_options(command, options->engine);
  command.add_option("--seconds", options->seconds, "How long to measure")
      ->check(CLI::Range(0.01, 3600.0))
      ->capture_default_str();
  command.add_option("--runs", options->runs, "How many runs of each instead")
      ->check(CLI::Range(1, 1000000));
  command.add_flag("--json", options->json, "Print JSON");
  command.callback([options, &command, &action] {
    if (!command.get_subcommands().empty()) return;
    if (options->spec.spec.empty()) throw CLI::RequiredError("spec");
    action = [options] { return run(*options); };
  });
}

}  // namespace

const Subcommand kBench = {"bench", "Time a mask beside dense attention, or the compiler", declare};

}  // namespace maskjit::cli
