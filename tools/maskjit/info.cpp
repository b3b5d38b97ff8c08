// maskjit info: what this build is and what it would use on this machine.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <memory>
#include <nlohmann/json.hpp>

#include "codegen/compile.h"
#include "codegen/spec/device_templates.h"
#include "runtime/api/engine.h"
#include "runtime/api/environment.h"
#include "runtime/api/state.h"
#include "runtime/cache/disk_store.h"
#include "runtime/device/open.h"
#include "tools/maskjit/command.h"
#include "tools/maskjit/console.h"

namespace maskjit::cli {
namespace {

int run(bool as_json) {
  const Engine engine;
  const cache::CacheOptions& cache = engine.state().kernels.options();
  const auto entries = cache::list_entries(cache.directory, cache.build_id, /*verify=*/false);
  uint64_t bytes = 0;
  for (const cache::EntryInfo& entry : entries) bytes += entry.bytes;
  const int threads = engine.state().executor.threads();
  const std::string host = codegen::Target::host().print();
  const Environment environment = read_environment();
  const device::CudaSummary cuda = device::cuda_summary(environment.libcuda);
  const Result<std::string> ptxas = assembler::find_tool(environment.cuda_tools, "ptxas");
  if (as_json) {
    nlohmann::ordered_json json;
    json["version"] = MASKJIT_VERSION;
    json["llvm"] = codegen::llvm_version();
    json["build_id"] = codegen::build_id();
    json["target"] = host;
    for (const std::string& name : codegen::Target::names()) {
      json["targets"][name] = codegen::Target::executable(*codegen::Target::parse(name));
    }
    for (const codegen::KernelTemplate& t : codegen::kernel_templates())
      json["templates"][t.name] = t.purpose;
    json["threads"] = threads;
    json["cache"] = {{"directory", cache.directory},
                     {"mode", name_of(cache.mode)},
                     {"entries", entries.size()},
                     {"bytes", bytes},
                     {"limit_bytes", cache.limit_bytes}};
    for (const codegen::KernelTemplate& t : codegen::device_templates())
      json["device_templates"][t.name] = t.purpose;
    json["device_targets"] = codegen::Target::device_names();
    json["cuda"] = {{"available", cuda.available}};
    if (cuda.available) {
      json["cuda"]["driver"] = cuda.driver_version;
      json["cuda"]["devices"] = cuda.devices;
    } else {
      json["cuda"]["reason"] = cuda.reason;
    }
    json["ptxas"] = {{"available", ptxas.ok()}};
    json["ptxas"][ptxas ? "path" : "reason"] = ptxas ? *ptxas : ptxas.error().message;
    print_json(json);
    return kOk;
  }
  print(fmt::format("maskjit   {}\nLLVM      {}\nbuild     {}\n", MASKJIT_VERSION,
                    codegen::llvm_version(), codegen::build_id()));
  print(fmt::format("threads   {}\n", threads));
  print(fmt::format("cache     {} ({}): {} kernels, {} of at most {}\n",
                    cache.directory.empty() ? "no directory" : cache.directory, name_of(cache.mode),
                    entries.size(), format_bytes(bytes), format_bytes(cache.limit_bytes)));
  print("targets\n");
  for (const std::string& name : codegen::Target::names()) {
    const bool executable = codegen::Target::executable(*codegen::Target::parse(name));
    print(fmt::format("  {:<24} {}\n", name,
                      name == host ? "this CPU"
                      : executable ? "this CPU executes it"
                                   : "not on this CPU"));
  }
  print("templates, best first\n");
  for (const codegen::KernelTemplate& t : codegen::kernel_templates()) {
    print(fmt::format("  {:<24} {}\n", t.name, t.purpose));
  }
  print(fmt::format("GPU targets\n  {} (compile, profile, run --device emulator)\n",
                    fmt::join(codegen::Target::device_names(), ", ")));
  print("GPU templates, best first\n");
  for (const codegen::KernelTemplate& t : codegen::device_templates()) {
    print(fmt::format("  {:<24} {}\n", t.name, t.purpose));
  }
  print(fmt::format("CUDA      {}\n", cuda.available ? cuda.driver_version : cuda.reason));
  for (const std::string& line : cuda.devices) print(fmt::format("  {}\n", line));
  print(fmt::format("ptxas     {}\n", ptxas ? *ptxas : ptxas.error().message));
  return kOk;
}

void declare(CLI::App& command, std::string_view, Action& action) {
  auto json = std::make_shared<bool>(false);
  command.footer("Examples:\n  maskjit info\n  maskjit info --json");
  command.add_flag("--json", *json, "Print JSON");
  command.callback([json, &action] { action = [json] { return run(*json); }; });
}

}  // namespace

const Subcommand kInfo = {"info", "Versions, CPU targets, threads, cache", declare};

}  // namespace maskjit::cli
