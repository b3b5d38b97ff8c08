#pragma once
// Environment variables: the only place of the runtime that reads them.
//
//   MASKJIT_CACHE      off, ro, rw (default), check
//   MASKJIT_CACHE_DIR  the cache directory; else $XDG_CACHE_HOME/maskjit, else $HOME/.cache/maskjit
//   MASKJIT_LOG        off, warning (default), info, debug
//   MASKJIT_PTXAS      the ptxas to use; else PATH, CUDA_HOME, CUDA_PATH, the usual CUDA folders
//   MASKJIT_LIBCUDA    the CUDA driver's library; else libcuda.so.1
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/cache/cache_mode.h"
#include "runtime/cache/log.h"
#include "runtime/device/assembler/cuda_tools.h"

namespace maskjit {

struct Environment {
  std::optional<CacheMode> cache_mode;
  std::string cache_directory;  // empty: none can be derived
  LogLevel log_level = LogLevel::Warning;
  assembler::ToolPaths cuda_tools;
  std::string libcuda;
  std::vector<std::string> problems;  // values that were ignored, one sentence each
};

Environment read_environment();

std::optional<CacheMode> parse_cache_mode(std::string_view text);
std::string_view name_of(CacheMode mode);

}  // namespace maskjit
