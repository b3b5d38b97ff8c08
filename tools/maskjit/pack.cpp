// maskjit pack: kernels compiled ahead of time, for where nothing may be compiled.
#include <fmt/format.h>

#include <memory>
#include <nlohmann/json.hpp>

#include "runtime/api/environment.h"
#include "runtime/cache/disk_store.h"
#include "runtime/cache/file_io.h"
#include "runtime/cache/kernel_pack.h"
#include "runtime/device/assembler/ptxas.h"
#include "tools/maskjit/command.h"
#include "tools/maskjit/console.h"
#include "tools/maskjit/kernel_choice.h"

namespace maskjit::cli {
namespace {

struct Options {
  std::string directory;
  std::vector<std::string> specs, settings, targets, dtypes = {"f32"};
  std::vector<int64_t> head_dims = {64};
  int64_t value_dim = 0;
  std::string entry;
  bool from_cache = false, no_cubin = false, json = false;
};

// The forward and the decode kernel of a spec for one target, type and head dimension: one if both
// problems get the same.
Status add_kernels(const Options& options, const Spec& spec, const std::string& target,
                   const std::string& dtype, int64_t head_dim,
                   std::vector<cache::KernelToPack>& kernels) {
  for (const int64_t q_len : {1024, 1}) {
    Lengths lengths;
    lengths.q_len = q_len;
    lengths.kv_len = 1024;
    lengths.kv_heads = 1;
    lengths.head_dim = head_dim;
    KernelOptions kernel;
    kernel.target = target;
    kernel.dtype = dtype;
    kernel.value_dim = options.value_dim;
    const Result<KernelChoice> choice = choose_kernel(spec, kernel, lengths, nullptr);
    if (!choice) return choice.error();
    const codegen::SpecKey key =
        codegen::spec_key(spec.bound.program, choice->spec, choice->target);
    const auto same = [&](const cache::KernelToPack& packed) { return packed.key == key; };
    if (std::any_of(kernels.begin(), kernels.end(), same)) continue;
    auto compiled =
        codegen::compile(spec.bound.program, spec.bound.tiles, choice->spec, choice->target);
    if (const auto* error = std::get_if<codegen::CompileError>(&compiled))
      return Error{ErrorKind::Internal, error->message};
    kernels.push_back(
        {key, std::move(std::get<codegen::CodeArtifact>(compiled)), spec.program.name});
  }
  return Done{};
}

// Every valid kernel of the cache.
Status add_cached(std::vector<cache::KernelToPack>& kernels) {
  const std::string directory = read_environment().cache_directory;
  for (const cache::EntryInfo& info : cache::list_entries(directory, codegen::build_id())) {
    if (!info.problem.empty()) continue;
    const auto contents = cache::read_whole(info.path);
    if (!std::holds_alternative<cache::FileContents>(contents)) continue;
    auto parsed = cache::parse(std::get<cache::FileContents>(contents).bytes);
    if (auto* entry = std::get_if<cache::Entry>(&parsed))
      kernels.push_back({entry->key, std::move(entry->artifact), "from the cache"});
  }
  if (kernels.empty()) {
    return Error{ErrorKind::InvalidInput,
                 fmt::format("the kernel cache {} has no kernels of this build", directory)};
  }
  return Done{};
}

// Machine code beside the PTX, if there is a ptxas; otherwise the driver makes it where it is used.
Status add_cubins(std::vector<cache::KernelToPack>& kernels) {
  std::string ptxas;
  for (cache::KernelToPack& kernel : kernels) {
    codegen::CodeArtifact& artifact = kernel.artifact;
    const auto target = codegen::Target::parse(artifact.target);
    if (!target || target->is_host() || !artifact.cubin.empty()) continue;
    if (ptxas.empty()) {
      const Result<std::string> found =
          assembler::find_tool(read_environment().cuda_tools, "ptxas");
      if (!found) {
        std::fprintf(stderr, "maskjit: PTX without machine code: %s\n",
                     found.error().message.c_str());
        return Done{};
      }
      ptxas = *found;
    }
    auto assembled = assembler::assemble(ptxas, artifact.object, artifact.target);
    if (!assembled) return assembled.error();
    artifact.cubin = std::move(assembled->cubin);
    artifact.resources = std::move(assembled->resources);
  }
  return Done{};
}

int print_pack(const Options& options, const cache::KernelPack& pack, size_t added) {
  uint64_t bytes = 0;
  for (const cache::PackedKernel& kernel : pack.kernels()) bytes += kernel.bytes;
  if (options.json) {
    nlohmann::ordered_json json;
    json["directory"] = pack.directory();
    json["build_id"] = pack.build_id();
    json["added"] = added;
    json["kernels"] = nlohmann::ordered_json::array();
    for (const cache::PackedKernel& kernel : pack.kernels()) {
      json["kernels"].push_back({{"key", cache::hex_of(kernel.key)},
                                 {"name", kernel.name},
                                 {"target", kernel.target},
                                 {"template", kernel.template_name},
                                 {"spec", kernel.spec},
                                 {"bytes", kernel.bytes}});
    }
    print_json(json);
    return kOk;
  }
  for (const cache::PackedKernel& kernel : pack.kernels()) {
    print(fmt::format("{}  {:<20} {:<24} {:>9}  {}\n", cache::hex_of(kernel.key).substr(0, 16),
                      kernel.name, kernel.target, format_bytes(kernel.bytes), kernel.spec));
  }
  print(fmt::format("{}: {} kernels, {}\n", pack.directory(), pack.kernels().size(),
                    format_bytes(bytes)));
  return kOk;
}

int run(Options& options) {
  if (options.specs.empty() && !options.from_cache) {
    const auto pack = cache::KernelPack::open(options.directory, codegen::build_id());
    return pack ? print_pack(options, *pack, 0) : report(pack.error());
  }
  std::vector<cache::KernelToPack> kernels;
  if (options.from_cache) {
    const Status done = add_cached(kernels);
    if (!done) return report(done.error());
  }
  if (options.targets.empty()) options.targets = {codegen::Target::host().print()};
  for (const std::string& name : options.specs) {
    const SpecOptions spec_options{
        .spec = name, .entry = options.entry, .settings = options.settings, .tensors = {}};
    const Result<Spec> spec = load_spec(spec_options);
    if (!spec) return report(spec.error());
    for (const std::string& target : options.targets) {
      for (const std::string& dtype : options.dtypes) {
        for (const int64_t head_dim : options.head_dims) {
          const Status done = add_kernels(options, *spec, target, dtype, head_dim, kernels);
          if (!done) return report(done.error());
        }
      }
    }
  }
  if (!options.no_cubin) {
    const Status done = add_cubins(kernels);
    if (!done) return report(done.error());
  }
  const auto pack =
      cache::write_pack(options.directory, kernels, codegen::build_id(), codegen::llvm_version());
  if (!pack) return report(pack.error());
  return print_pack(options, *pack, kernels.size());
}

void declare(CLI::App& command, std::string_view, Action& action) {
  auto options = std::make_shared<Options>();
  command.footer(
      "For each spec, target, type and head dimension the kernel for many query rows and the one "
      "for few are packed;\n"
      "with --from-cache every kernel of the cache, whatever the calls that made it. Without a "
      "spec "
      "the directory is\n"
      "listed. An engine takes it as EngineOptions::packed_kernels, maskjit run as --packed.\n"
      "Examples:\n"
      "  maskjit pack kernels/ causal streaming_llm.masker --dtype bf16 --head-dim 64 --head-dim "
      "128\n"
      "  maskjit pack kernels/ causal --target sm_80 --target sm_90a --target x86-64+avx2\n"
      "  maskjit pack kernels/ --from-cache");
  command.add_option("directory", options->directory, "Where the kernels go")->required();
  command.add_option("specs", options->specs,
                     ".masker files, or standard maskers by name (causal)");
  command.add_option("--entry", options->entry,
                     "The attention or masker of the files (default: the only one)");
  command
      .add_option("--set", options->settings,
                  "name=value of a parameter: 12, 0.5, true, or 10% of the keys; may be repeated")
      ->allow_extra_args(false);
  command.add_option("--target", options->targets, "May be repeated (default: this CPU)")
      ->allow_extra_args(false);
  command.add_option("--dtype", options->dtypes, "f32, f16 or bf16; may be repeated")
      ->allow_extra_args(false)
      ->capture_default_str();
  command.add_option("--head-dim", options->head_dims, "May be repeated")
      ->allow_extra_args(false)
      ->capture_default_str();
  command.add_option("--value-dim", options->value_dim,
                     "Head dimension of the values (default: --head-dim)");
  command.add_flag("--from-cache", options->from_cache, "Every kernel of the kernel cache");
  command.add_flag("--no-cubin", options->no_cubin,
                   "PTX without machine code, even if there is a ptxas");
  command.add_flag("--json", options->json, "Print JSON");
  command.callback([options, &action] { action = [options] { return run(*options); }; });
}

}  // namespace

const Subcommand kPack = {"pack", "Compile kernels ahead of time into a directory", declare};

}  // namespace maskjit::cli
