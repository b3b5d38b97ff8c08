#pragma once
// One line on stderr for what the user should know of but nothing fails from: "maskjit: warning:
// ...". A Log is passed down; there is no global one.
#include <functional>
#include <optional>
#include <string_view>

namespace maskjit {

enum class LogLevel { Off, Warning, Info, Debug };
std::optional<LogLevel> parse_log_level(std::string_view text);  // off, warning, info, debug

class Log {
 public:
  using Sink = std::function<void(LogLevel, std::string_view)>;
  explicit Log(LogLevel level = LogLevel::Warning, Sink sink = {})
      : level_(level), sink_(std::move(sink)) {}

  bool enabled(LogLevel level) const { return level <= level_; }
  // Line breaks of `message` become spaces; the line is written in one piece.
  void write(LogLevel level, std::string_view message) const;
  void warning(std::string_view message) const { write(LogLevel::Warning, message); }
  void info(std::string_view message) const { write(LogLevel::Info, message); }
  void debug(std::string_view message) const { write(LogLevel::Debug, message); }

 private:
  LogLevel level_;
  Sink sink_;  // empty: stderr
};

}  // namespace maskjit
