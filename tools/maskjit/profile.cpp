// maskjit profile: what a device kernel does, counted exactly on the emulator, beside what the mask
// needs.
#include <fmt/format.h>

#include <chrono>
#include <memory>
#include <nlohmann/json.hpp>

#include "runtime/api/state.h"
#include "runtime/device/emulated/emulated_device.h"
#include "tools/maskjit/attention_data.h"
#include "tools/maskjit/command.h"
#include "tools/maskjit/console.h"
#include "tools/maskjit/ideal.h"
#include "tools/maskjit/kernel_choice.h"

namespace maskjit::cli {
namespace {

using Json = nlohmann::ordered_json;
using emulator::Counts;

struct Options {
  SpecOptions spec;
  Lengths lengths;
  std::string target = "sm_80", only_template, dtype = "bf16";
  int64_t value_dim = 0;
  bool json = false;
};

struct Profile {
  LaunchInfo launch;
  std::vector<emulated::LaunchReport> reports;
  Ideal ideal;
  double milliseconds = 0;  // of emulation
};

uint64_t bytes_read(const Counts& c) {
  return c.async_copies.sector_bytes() + c.global_loads.sector_bytes();
}

Counts sum(const std::vector<emulated::LaunchReport>& reports) {
  Counts all;
  for (const emulated::LaunchReport& report : reports) {
    const Counts& c = report.counts;
    all.warp_instructions += c.warp_instructions;
    all.thread_instructions += c.thread_instructions;
    for (const auto& [name, count] : c.by_class) all.by_class[name] += count;
    all.global_loads += c.global_loads;
    all.global_stores += c.global_stores;
    all.global_atomics += c.global_atomics;
    all.async_copies += c.async_copies;
    all.shared_loads += c.shared_loads;
    all.shared_stores += c.shared_stores;
    all.shared_atomics += c.shared_atomics;
    all.matrix_loads += c.matrix_loads;
    all.matrix_stores += c.matrix_stores;
    all.async_writes += c.async_writes;
    all.matrix_operations += c.matrix_operations;
    all.matrix_multiply_adds += c.matrix_multiply_adds;
    all.barriers += c.barriers;
    all.divergent_jumps += c.divergent_jumps;
  }
  return all;
}

Result<Profile> profile(const Options& options, const Spec& spec, const LaunchValues& values) {
  const Result<ElementType> type = parse_dtype(options.dtype);
  if (!type) return type.error();
  const int64_t value_dim = options.value_dim == 0 ? options.lengths.head_dim : options.value_dim;
  const Result<AttentionData> data = random_data(options.lengths, value_dim, *type);
  if (!data) return data.error();
  const Result<Laid> output = make_output(*data, "bhld");
  if (!output) return output.error();
  EngineOptions engine_options;
  engine_options.device = "emulator";
  engine_options.target = options.target;
  engine_options.only_template = options.only_template;
  const Engine engine(engine_options);
  Result<Prepared> prepared = prepare(engine, spec, *data, values);
  if (!prepared) return prepared.error();
  prepared->inputs.q_offset = options.lengths.q_offset;
  const AttentionOutputs outputs = {.output = output->view};
  Result<LaunchInfo> launch = prepared->attention.prepare(prepared->inputs, outputs);
  if (!launch) return launch.error();
  auto& device = static_cast<emulated::EmulatedDevice&>(*engine.device());
  device.keep_reports();
  const auto start = std::chrono::steady_clock::now();
  const Status done = prepared->attention.run(prepared->inputs, outputs);
  if (!done) return done.error();
  Profile profile;
  profile.milliseconds =
      std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
  profile.launch = std::move(*launch);
  profile.reports = device.take_reports();
  KernelOptions kernel;
  kernel.target = options.target;
  kernel.only_template = options.only_template;
  kernel.dtype = options.dtype;
  kernel.value_dim = value_dim;
  const Result<KernelChoice> choice = choose_kernel(spec, kernel, options.lengths, &values);
  if (!choice) return choice.error();
  MaskView view(spec, values, options.lengths);
  profile.ideal = ideal_of(view, choice->spec, options.lengths);
  return profile;
}

double ratio(uint64_t counted, uint64_t ideal) {
  return ideal == 0 ? 0 : static_cast<double>(counted) / static_cast<double>(ideal);
}

std::string count(uint64_t n) { return format_count(static_cast<int64_t>(n)); }

std::string to_text(const Profile& p) {
  const auto heading = [](const std::string& text) { return styled(text, Style::Bold) + "\n"; };
  const Counts all = sum(p.reports);
  std::string text = heading(fmt::format("{} for {}", p.launch.template_name, p.launch.target));
  for (const emulated::LaunchReport& r : p.reports) {
    text += fmt::format(
        "  {}: {} blocks of {} threads, {} of shared memory, reads {} bytes, "
        "writes {}\n",
        r.entry, r.launch.blocks, r.launch.threads, format_bytes(r.counts.shared_bytes),
        count(bytes_read(r.counts)), count(r.counts.global_stores.sector_bytes()));
  }
  text += fmt::format("  emulated in {}\n", format_duration(p.milliseconds));
  text += heading("\nInstructions of warps");
  std::vector<std::pair<uint64_t, std::string>> classes;
  for (const auto& [name, n] : all.by_class) classes.emplace_back(n, name);
  std::sort(classes.rbegin(), classes.rend());
  for (const auto& [n, name] : classes) {
    text += fmt::format("  {:<16} {:>14}  {:5.1f}%\n", name, count(n),
                        100 * ratio(n, all.warp_instructions));
  }
  text += fmt::format("  {:<16} {:>14}\n", "all", count(all.warp_instructions));
  text += fmt::format("  {:<16} {:>14}\n", "barriers", count(all.barriers));
  text += fmt::format("  {:<16} {:>14}\n", "divergent jumps", count(all.divergent_jumps));
  text += heading(fmt::format("\n{:<16} {:>14} {:>14} {:>14} {:>14}", "Global memory", "requests",
                              "sectors", "bytes", "unused bytes"));
  const std::pair<const char*, const emulator::GlobalTraffic&> global[] = {
      {"loads", all.global_loads},
      {"async copies", all.async_copies},
      {"stores", all.global_stores},
      {"atomics", all.global_atomics}};
  for (const auto& [name, t] : global) {
    if (t.requests == 0) continue;
    text += fmt::format("  {:<14} {:>14} {:>14} {:>14} {:>14}\n", name, count(t.requests),
                        count(t.sectors), count(t.sector_bytes()), count(t.wasted_bytes()));
  }
  text += heading(fmt::format("\n{:<16} {:>14} {:>14} {:>14}", "Shared memory", "requests",
                              "wavefronts", "bank conflicts"));
  const std::pair<const char*, const emulator::SharedTraffic&> shared[] = {
      {"loads", all.shared_loads},        {"stores", all.shared_stores},
      {"matrix loads", all.matrix_loads}, {"matrix stores", all.matrix_stores},
      {"async copies", all.async_writes}, {"atomics", all.shared_atomics}};
  for (const auto& [name, t] : shared) {
    if (t.requests == 0) continue;
    text += fmt::format("  {:<14} {:>14} {:>14} {:>14}\n", name, count(t.requests),
                        count(t.wavefronts), count(t.conflicts));
  }
  text += heading(fmt::format("\n{:<20} {:>16} {:>16} {:>8}", "Against the ideal", "counted",
                              "ideal", "ratio"));
  const auto line = [&](const char* name, uint64_t counted, uint64_t ideal) {
    text += fmt::format("  {:<18} {:>16} {:>16} {:>8.3f}\n", name, count(counted), count(ideal),
                        ratio(counted, ideal));
  };
  line("bytes read", bytes_read(all), p.ideal.bytes_read);
  line("bytes written", all.global_stores.sector_bytes(), p.ideal.bytes_written);
  if (p.ideal.matrix_operations) {
    line("matrix operations", all.matrix_operations, *p.ideal.matrix_operations);
  } else {
    text += fmt::format("  {:<18} {:>16} {:>16}\n", "matrix operations",
                        count(all.matrix_operations), "-");
  }
  text +=
      fmt::format("  {} of {} tiles of {} x {} are not empty; {}\n", count(p.ideal.visited_tiles),
                  count(p.ideal.tiles), p.ideal.tile_q, p.ideal.tile_k, p.ideal.basis);
  return text;
}

Json to_json(const emulator::GlobalTraffic& t) {
  return {{"requests", t.requests},
          {"sectors", t.sectors},
          {"bytes", t.sector_bytes()},
          {"useful_bytes", t.useful_bytes}};
}
Json to_json(const emulator::SharedTraffic& t) {
  return {{"requests", t.requests}, {"wavefronts", t.wavefronts}, {"conflicts", t.conflicts}};
}

Json to_json(const Profile& p) {
  const Counts all = sum(p.reports);
  Json json;
  json["template"] = p.launch.template_name;
  json["target"] = p.launch.target;
  json["spec"] = p.launch.spec;
  json["key"] = p.launch.key;
  json["emulation_milliseconds"] = p.milliseconds;
  json["kernels"] = Json::array();
  for (const emulated::LaunchReport& r : p.reports) {
    json["kernels"].push_back({{"entry", r.entry},
                               {"blocks", r.launch.blocks},
                               {"threads", r.launch.threads},
                               {"shared_bytes", r.counts.shared_bytes},
                               {"bytes_read", bytes_read(r.counts)},
                               {"bytes_written", r.counts.global_stores.sector_bytes()},
                               {"warp_instructions", r.counts.warp_instructions}});
  }
  json["warp_instructions"] = all.warp_instructions;
  json["instructions"] = Json::object();
  for (const auto& [name, n] : all.by_class) json["instructions"][name] = n;
  json["barriers"] = all.barriers;
  json["divergent_jumps"] = all.divergent_jumps;
  json["global"] = {{"loads", to_json(all.global_loads)},
                    {"async_copies", to_json(all.async_copies)},
                    {"stores", to_json(all.global_stores)},
                    {"atomics", to_json(all.global_atomics)}};
  json["shared"] = {
      {"loads", to_json(all.shared_loads)},        {"stores", to_json(all.shared_stores)},
      {"matrix_loads", to_json(all.matrix_loads)}, {"matrix_stores", to_json(all.matrix_stores)},
      {"async_copies", to_json(all.async_writes)}, {"atomics", to_json(all.shared_atomics)}};
  json["matrix_operations"] = all.matrix_operations;
  json["bytes_read"] = bytes_read(all);
  json["bytes_written"] = all.global_stores.sector_bytes();
  json["ideal"] = {{"bytes_read", p.ideal.bytes_read}, {"bytes_written", p.ideal.bytes_written},
                   {"matrix_operations", nullptr},     {"visited_tiles", p.ideal.visited_tiles},
                   {"tiles", p.ideal.tiles},           {"basis", p.ideal.basis}};
  if (p.ideal.matrix_operations) json["ideal"]["matrix_operations"] = *p.ideal.matrix_operations;
  return json;
}

int run(Options& options) {
  const Result<Spec> spec = load_spec(options.spec);
  if (!spec) return report(spec.error());
  const Status ok = complete(options.lengths, 512);
  if (!ok) return report(ok.error());
  const Result<LaunchValues> values = launch_values(options.spec, *spec, options.lengths);
  if (!values) return report(values.error());
  const Result<Profile> counted = profile(options, *spec, *values);
  if (!counted) return report(counted.error());
  if (options.json) {
    print_json(to_json(*counted));
  } else {
    print(to_text(*counted));
  }
  return kOk;
}

void declare(CLI::App& command, std::string_view, Action& action) {
  auto options = std::make_shared<Options>();
  command.footer(
      "Counts are exact; nothing here is a time. The ideal reads queries once and each key and "
      "value of a tile that is\n"
      "not empty once for each query tile, and writes the output once. Data is random.\n"
      "Examples:\n"
      "  maskjit profile causal --kv-len 512 --heads 2\n"
      "  maskjit profile streaming_llm.masker --target sm_90 --head-dim 128 --dtype f16 --json");
  add_spec_options(command, options->spec);
  add_length_options(command, options->lengths);
  command.add_option("--target", options->target, "The GPU to compile for")->capture_default_str();
  command.add_option("--template", options->only_template, "Only this kernel template");
  command.add_option("--dtype", options->dtype, "f32, f16 or bf16")->capture_default_str();
  command.add_option("--value-dim", options->value_dim,
                     "Head dimension of the values (default: --head-dim)");
  command.add_flag("--json", options->json, "Print JSON");
  command.callback([options, &action] { action = [options] { return run(*options); }; });
}

}  // namespace

const Subcommand kProfile = {
    "profile", "Run a GPU kernel on the emulator, count what it does, compare with the ideal",
    declare};

}  // namespace maskjit::cli
