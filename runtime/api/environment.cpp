#include "runtime/api/environment.h"

#include <cstdlib>

namespace maskjit {
namespace {

// Unset and empty are the same.
std::string variable(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

}  // namespace

std::string_view name_of(CacheMode mode) {
  switch (mode) {
    case CacheMode::Off:
      return "off";
    case CacheMode::ReadOnly:
      return "ro";
    case CacheMode::ReadWrite:
      return "rw";
    case CacheMode::Check:
      return "check";
  }
  return "";
}

std::optional<CacheMode> parse_cache_mode(std::string_view text) {
  for (CacheMode mode :
       {CacheMode::Off, CacheMode::ReadOnly, CacheMode::ReadWrite, CacheMode::Check}) {
    if (text == name_of(mode)) return mode;
  }
  return std::nullopt;
}

Environment read_environment() {
  Environment environment;
  const std::string mode = variable("MASKJIT_CACHE");
  environment.cache_mode = parse_cache_mode(mode);
  if (!mode.empty() && !environment.cache_mode) {
    environment.problems.push_back(
        fmt::format("MASKJIT_CACHE is '{}'; off, ro, rw and check are possible", mode));
  }
  const std::string log = variable("MASKJIT_LOG");
  if (const auto level = parse_log_level(log)) {
    environment.log_level = *level;
  } else if (!log.empty()) {
    environment.problems.push_back(
        fmt::format("MASKJIT_LOG is '{}'; off, warning, info and debug are possible", log));
  }
  environment.cuda_tools.ptxas = variable("MASKJIT_PTXAS");
  environment.cuda_tools.folders =
      assembler::tool_folders(variable("PATH"), {variable("CUDA_HOME"), variable("CUDA_PATH")});
  environment.libcuda = variable("MASKJIT_LIBCUDA");
  environment.cache_directory = variable("MASKJIT_CACHE_DIR");
  if (environment.cache_directory.empty()) {
    // A relative XDG_CACHE_HOME is invalid by its specification.
    const std::string base = variable("XDG_CACHE_HOME");
    const std::string home = variable("HOME");
    if (base.starts_with('/')) {
      environment.cache_directory = base + "/maskjit";
    } else if (!home.empty()) {
      environment.cache_directory = home + "/.cache/maskjit";
    }
  }
  return environment;
}

}  // namespace maskjit
