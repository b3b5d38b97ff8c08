// maskjit cache: what the kernel cache holds.
#include <fmt/format.h>

#include <memory>
#include <nlohmann/json.hpp>

#include "codegen/compile.h"
#include "runtime/api/environment.h"
#include "runtime/cache/disk_store.h"
#include "tools/maskjit/command.h"
#include "tools/maskjit/console.h"

namespace maskjit::cli {
namespace {

using Json = nlohmann::ordered_json;

struct Options {
  std::string directory;
  bool json = false;
};

std::string directory_of(const Options& options) {
  return options.directory.empty() ? read_environment().cache_directory : options.directory;
}

std::string format_age(double seconds) {
  if (seconds < 3600) return "this hour";
  if (seconds < 48 * 3600) return fmt::format("{:.0f} hours", seconds / 3600);
  return fmt::format("{:.0f} days", seconds / 86400);
}

Json to_json(const std::string& directory, const std::vector<cache::EntryInfo>& entries) {
  Json json;
  json["directory"] = directory;
  json["entries"] = Json::array();
  for (const cache::EntryInfo& entry : entries) {
    Json item = {{"key", entry.key},
                 {"bytes", entry.bytes},
                 {"age_seconds", entry.age_seconds},
                 {"template", entry.template_name},
                 {"target", entry.target},
                 {"ok", entry.problem.empty()}};
    if (!entry.problem.empty()) item["problem"] = entry.problem;
    json["entries"].push_back(std::move(item));
  }
  return json;
}

int list(const Options& options) {
  const std::string directory = directory_of(options);
  const auto entries = cache::list_entries(directory, codegen::build_id());
  if (options.json) {
    print_json(to_json(directory, entries));
    return kOk;
  }
  uint64_t bytes = 0;
  for (const cache::EntryInfo& entry : entries) {
    bytes += entry.bytes;
    print(fmt::format("{}  {:>9}  {:>10}  {}\n", entry.key.substr(0, 16), format_bytes(entry.bytes),
                      format_age(entry.age_seconds),
                      entry.problem.empty()
                          ? fmt::format("{} for {}", entry.template_name, entry.target)
                          : styled("bad: " + entry.problem, Style::Red)));
  }
  print(fmt::format("{}: {} kernels, {}\n", directory, entries.size(), format_bytes(bytes)));
  return kOk;
}

int clear(const Options& options) {
  const std::string directory = directory_of(options);
  const cache::ClearResult result = cache::clear_entries(directory);
  if (options.json) {
    print_json({{"directory", directory},
                {"removed", result.removed},
                {"bytes", result.bytes},
                {"failed", result.failed}});
  } else {
    print(fmt::format("{}: removed {} kernels, {}\n", directory, result.removed,
                      format_bytes(result.bytes)));
  }
  if (result.failed == 0) return kOk;
  return report({ErrorKind::Io,
                 fmt::format("{}: {} entries could not be removed", directory, result.failed)});
}

int verify(const Options& options) {
  const std::string directory = directory_of(options);
  const auto entries = cache::list_entries(directory, codegen::build_id());
  int bad = 0;
  for (const cache::EntryInfo& entry : entries) {
    if (entry.problem.empty()) continue;
    ++bad;
    if (!options.json) print(fmt::format("{}: {}\n", entry.path, entry.problem));
  }
  if (options.json) {
    print_json(to_json(directory, entries));
  } else {
    print(fmt::format("{}: {} kernels, {} bad\n", directory, entries.size(), bad));
  }
  return bad == 0 ? kOk : kInvalidInput;
}

void declare(CLI::App& command, std::string_view, Action& action) {
  command.require_subcommand(1);
  command.footer(
      "A bad entry is never used: it is compiled again. MASKJIT_CACHE=off|ro|rw|check says how the "
      "cache is used.\n"
      "Examples:\n"
      "  maskjit cache ls\n"
      "  maskjit cache verify --json");
  const struct {
    const char* name;
    const char* help;
    int (*run)(const Options&);
  } actions[] = {
      {"ls", "List the kernels", list},
      {"clear", "Remove every kernel", clear},
      {"verify", "Read every kernel and name the bad ones; exit code 1 if there are any", verify}};
  for (const auto& entry : actions) {
    auto options = std::make_shared<Options>();
    CLI::App* sub = command.add_subcommand(entry.name, entry.help);
    sub->add_option("--dir", options->directory,
                    "The cache directory (default: the one that is used)");
    sub->add_flag("--json", options->json, "Print JSON");
    sub->callback(
        [options, function = entry.run, &action] { action = [=] { return function(*options); }; });
  }
}

}  // namespace

const Subcommand kCache = {"cache", "Look at the kernel cache", declare};

}  // namespace maskjit::cli
