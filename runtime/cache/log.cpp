#include "runtime/cache/log.h"

#include <cstdio>
#include <string>

namespace maskjit {
namespace {

std::string_view name_of(LogLevel level) {
  switch (level) {
    case LogLevel::Off:
      return "off";
    case LogLevel::Warning:
      return "warning";
    case LogLevel::Info:
      return "info";
    case LogLevel::Debug:
      return "debug";
  }
  return "";
}

}  // namespace

std::optional<LogLevel> parse_log_level(std::string_view text) {
  for (LogLevel level : {LogLevel::Off, LogLevel::Warning, LogLevel::Info, LogLevel::Debug}) {
    if (text == name_of(level)) return level;
  }
  return std::nullopt;
}

void Log::write(LogLevel level, std::string_view message) const {
  if (!enabled(level) || level == LogLevel::Off) return;
  if (sink_) {
    sink_(level, message);
    return;
  }
  std::string line = fmt::format("maskjit: {}: {}", name_of(level), message);
  std::replace(line.begin(), line.end(), '\n', ' ');
  line += '\n';
  std::fwrite(line.data(), 1, line.size(), stderr);
}

}  // namespace maskjit
