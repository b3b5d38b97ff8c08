// maskjit bench compile: how long a kernel takes to come, by stage, from the disk cache and once it
// is there; in one process and in fresh ones.
#include <fmt/format.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>

#include "tools/maskjit/attention_data.h"
#include "tools/maskjit/bench.h"
#include "tools/maskjit/console.h"
#include "tools/maskjit/kernel_choice.h"
#include "tools/maskjit/statistics.h"

extern char** environ;

namespace maskjit::cli {
namespace {

using Json = nlohmann::ordered_json;

struct Options {
  SpecOptions spec;
  Lengths lengths;
  KernelOptions kernel;
  int runs = 11;
  bool json = false;
  std::string child_cache;  // set: one prepare() with this cache directory, then exit
};

class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::error_code ignored;
    std::string pattern =
        (std::filesystem::temp_directory_path(ignored) / "maskjit_XXXXXX").string();
    if (::mkdtemp(pattern.data()) != nullptr) path_ = pattern;
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  ~TemporaryFolder() {
    std::error_code ignored;
    if (!path_.empty()) std::filesystem::remove_all(path_, ignored);
  }
  const std::string& path() const { return path_; }  // empty: it could not be made

 private:
  std::string path_;
};

// Everything that prepare() needs.
struct Problem {
  Spec spec;
  LaunchValues values;
  AttentionData data;
  Laid output;
  AttentionOutputs outputs() const {
    AttentionOutputs outputs;
    outputs.output = output.view;
    return outputs;
  }
};

Result<Problem> make_problem(Options& options) {
  Result<Spec> spec = load_spec(options.spec);
  if (!spec) return spec.error();
  const Status ok = complete(options.lengths, 64);
  if (!ok) return ok.error();
  Result<LaunchValues> values = launch_values(options.spec, *spec, options.lengths);
  if (!values) return values.error();
  const Result<ElementType> type = parse_dtype(options.kernel.dtype);
  if (!type) return type.error();
  Result<AttentionData> data = zero_data(
      options.lengths,
      options.kernel.value_dim > 0 ? options.kernel.value_dim : options.lengths.head_dim, *type);
  if (!data) return data.error();
  Result<Laid> output = make_output(*data, "bhld");
  if (!output) return output.error();
  return Problem{std::move(*spec), std::move(*values), std::move(*data), std::move(*output)};
}

EngineOptions engine_for(const Options& options, const std::string& cache) {
  EngineOptions result;
  result.cache_directory = cache;
  result.cache_mode = CacheMode::ReadWrite;
  result.target = options.kernel.target;
  result.only_template = options.kernel.only_template;
  result.opt_level = options.kernel.opt_level;
  return result;
}

// Timings by row of the table, in the order of their first use.
class Timings {
 public:
  void add(const std::string& row, double milliseconds) {
    const auto [found, is_new] = rows_.try_emplace(row);
    if (is_new) order_.push_back(row);
    found->second.push_back(milliseconds);
  }
  const std::vector<std::string>& order() const { return order_; }
  const std::vector<double>& of(const std::string& row) const { return rows_.at(row); }

 private:
  std::vector<std::string> order_;
  std::map<std::string, std::vector<double>> rows_;
};

// From the text to loaded code, stage by stage, without any cache.
Status time_stages(const Options& options, const Problem& problem, const KernelChoice& choice,
                   Timings& timings) {
  const Result<Spec> spec = load_spec(options.spec);
  if (!spec) return spec.error();
  double total = spec->check_milliseconds + spec->bind_milliseconds;
  timings.add("check", spec->check_milliseconds);
  timings.add("bind and analyse", spec->bind_milliseconds);
  auto compiled = codegen::compile(problem.spec.bound.program, problem.spec.bound.tiles,
                                   choice.spec, choice.target);
  if (const auto* error = std::get_if<codegen::CompileError>(&compiled)) {
    return Error{ErrorKind::Internal, error->message};
  }
  const auto& artifact = std::get<codegen::CodeArtifact>(compiled);
  for (const auto& [stage, milliseconds] : artifact.times) {
    timings.add(stage, milliseconds);
    total += milliseconds;
  }
  if (codegen::Target::executable(choice.target)) {
    std::optional<Error> failed;
    const double milliseconds = time_milliseconds([&] {
      const auto loaded = codegen::load(artifact);
      if (const auto* error = std::get_if<codegen::CompileError>(&loaded)) {
        failed = Error{ErrorKind::Internal, error->message};
      }
    });
    if (failed.has_value()) return *failed;
    timings.add("load", milliseconds);
    total += milliseconds;
  }
  timings.add("all stages", total);
  return Done{};
}

// load_text, bind and prepare on a new engine.
Status time_engine(const Options& options, const Problem& problem, const std::string& cache,
                   const char* row, const char* expected_origin, Timings& timings) {
  Status status = Done{};
  const double milliseconds = time_milliseconds([&] {
    const Engine engine(engine_for(options, cache));
    const Result<Prepared> prepared = prepare(engine, problem.spec, problem.data, problem.values);
    if (!prepared) {
      status = prepared.error();
      return;
    }
    const Result<LaunchInfo> launch =
        prepared.value().attention.prepare(prepared.value().inputs, problem.outputs());
    if (!launch) {
      status = launch.error();
    } else if (launch.value().origin != expected_origin) {
      status =
          Error{ErrorKind::Io, fmt::format("the cache in {} does not work: a kernel came from '{}'",
                                           cache, launch.value().origin)};
    }
  });
  if (status) timings.add(row, milliseconds);
  return status;
}

Status time_dispatch(const Options& options, const Problem& problem, const std::string& cache,
                     Timings& timings) {
  const Engine engine(engine_for(options, cache));
  const Result<Prepared> prepared = prepare(engine, problem.spec, problem.data, problem.values);
  if (!prepared) return prepared.error();
  constexpr int kCalls = 1000;
  for (int i = -1; i < options.runs; ++i) {
    Status status = Done{};
    const double milliseconds = time_milliseconds([&] {
      for (int call = 0; call < kCalls && status; ++call) {
        const Result<LaunchInfo> launch =
            prepared.value().attention.prepare(prepared.value().inputs, problem.outputs());
        if (!launch) status = launch.error();
      }
    });
    if (!status) return status;
    if (i >= 0) timings.add("find in memory", milliseconds / kCalls);
  }
  return Done{};
}

// This program again, as `bench compile ... --child-cache DIR`.
Status time_process(const std::vector<std::string>& arguments, const char* row, Timings& timings) {
  std::vector<char*> argv;
  for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  int code = -1;
  const double milliseconds = time_milliseconds([&] {
    pid_t child = 0;
    if (::posix_spawn(&child, "/proc/self/exe", nullptr, nullptr, argv.data(), environ) != 0)
      return;
    int wait_status = 0;
    if (::waitpid(child, &wait_status, 0) == child && WIFEXITED(wait_status))
      code = WEXITSTATUS(wait_status);
  });
  if (code != 0)
    return Error{ErrorKind::Internal, fmt::format("the fresh process ended with code {}", code)};
  timings.add(row, milliseconds);
  return Done{};
}

std::vector<std::string> child_arguments(const Options& options, const std::string& cache) {
  std::vector<std::string> arguments = {"maskjit",         "bench",         "compile",
                                        options.spec.spec, "--child-cache", cache};
  const auto add = [&](const char* name, const std::string& value) {
    if (!value.empty()) arguments.insert(arguments.end(), {name, value});
  };
  add("--entry", options.spec.entry);
  for (const std::string& setting : options.spec.settings) add("--set", setting);
  for (const std::string& tensor : options.spec.tensors) add("--tensor", tensor);
  add("--target", options.kernel.target);
  add("--template", options.kernel.only_template);
  add("--dtype", options.kernel.dtype);
  add("--value-dim", fmt::format("{}", options.kernel.value_dim));
  add("--opt-level", fmt::format("{}", options.kernel.opt_level));
  const Lengths& lengths = options.lengths;
  add("--q-len", fmt::format("{}", lengths.q_len));
  add("--kv-len", fmt::format("{}", lengths.kv_len));
  add("--batch-size", fmt::format("{}", lengths.batch));
  add("--heads", fmt::format("{}", lengths.heads));
  add("--kv-heads", fmt::format("{}", lengths.kv_heads));
  add("--head-dim", fmt::format("{}", lengths.head_dim));
  return arguments;
}

Status measure(Options& options, const Problem& problem, const KernelChoice& choice,
               Timings& timings) {
  const TemporaryFolder folder;
  if (folder.path().empty())
    return Error{ErrorKind::Io, "cannot make a temporary folder for the cache"};
  const bool executable = codegen::Target::executable(choice.target);
  Progress progress("compiling");
  const auto repeat = [&](int part, const auto& once) -> Status {
    for (int i = 0; i < options.runs; ++i) {
      progress.update(part * options.runs + i, 5 * options.runs);
      const Status done = once(i);
      if (!done) return done;
    }
    return Done{};
  };
  Status done = repeat(0, [&](int) { return time_stages(options, problem, choice, timings); });
  if (!done || !executable) return done;
  const auto fresh = [&](int i) { return fmt::format("{}/{}", folder.path(), i); };
  done = repeat(1, [&](int i) {
    return time_engine(options, problem, fresh(i), "engine, empty cache", "compiled", timings);
  });
  if (!done) return done;
  done = repeat(2, [&](int) {
    return time_engine(options, problem, fresh(0), "engine, from disk", "disk", timings);
  });
  if (!done) return done;
  done = time_dispatch(options, problem, fresh(0), timings);
  if (!done) return done;
  done = repeat(3, [&](int i) {
    return time_process(child_arguments(options, folder.path() + fmt::format("/p{}", i)),
                        "process, empty cache", timings);
  });
  if (!done) return done;
  return repeat(4, [&](int) {
    return time_process(child_arguments(options, folder.path() + "/p0"), "process, from disk",
                        timings);
  });
}

int run_child(Options& options) {
  const Result<Problem> problem = make_problem(options);
  if (!problem) return report(problem.error());
  const Engine engine(engine_for(options, options.child_cache));
  const Result<Prepared> prepared = prepare(engine, problem->spec, problem->data, problem->values);
  if (!prepared) return report(prepared.error());
  const Result<LaunchInfo> launch =
      prepared.value().attention.prepare(prepared.value().inputs, problem->outputs());
  return launch ? kOk : report(launch.error());
}

int run(Options& options) {
  if (!options.child_cache.empty()) return run_child(options);
  const Result<Problem> problem = make_problem(options);
  if (!problem) return report(problem.error());
  const Result<KernelChoice> choice =
      choose_kernel(problem->spec, options.kernel, options.lengths, &problem->values);
  if (!choice) return report(choice.error());
  Timings timings;
  const Status done = measure(options, *problem, *choice, timings);
  if (!done) return report(done.error());
  if (options.json) {
    Json json;
    json["name"] = problem->spec.program.name;
    json["spec"] = choice->spec.print();
    json["target"] = choice->target.print();
    json["runs"] = options.runs;
    for (const std::string& row : timings.order())
      json["median_milliseconds"][row] = median(timings.of(row));
    print_json(json);
    return kOk;
  }
  print(fmt::format("{}: {} for {}, medians of {}\n", problem->spec.program.name,
                    choice->spec.template_name, choice->target.print(), options.runs));
  for (const std::string& row : timings.order()) {
    print(fmt::format("  {:<22} {:>10}\n", row, format_duration(median(timings.of(row)))));
  }
  return kOk;
}

void declare(CLI::App& command, std::string_view, Action& action) {
  auto options = std::make_shared<Options>();
  command.footer(
      "'engine' rows go from the spec's text to a kernel that can run, on a new engine; 'process' "
      "rows from the start\n"
      "of a new process to its end.\n"
      "Examples:\n"
      "  maskjit bench compile causal --dtype bf16 --head-dim 128\n"
      "  maskjit bench compile streaming_llm.masker --runs 21 --json");
  add_spec_options(command, options->spec);
  add_length_options(command, options->lengths);
  add_kernel_options(command, options->kernel);
  command.add_option("--runs", options->runs, "How often to do each")
      ->check(CLI::Range(1, 10000))
      ->capture_default_str();
  command.add_flag("--json", options->json, "Print JSON");
  command.add_option("--child-cache", options->child_cache)->group("");
  command.callback([options, &action] { action = [options] { return run(*options); }; });
}

}  // namespace

const Subcommand kBenchCompile = {
    "compile", "Time the compiler by stage, the disk cache and the dispatch", declare};

}  // namespace maskjit::cli
