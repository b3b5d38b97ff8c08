#include "tools/maskjit/console.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "tools/maskjit/command.h"

namespace maskjit::cli {
namespace {

bool takes_color(int fd) {
  const char* no_color = std::getenv("NO_COLOR");
  const char* term = std::getenv("TERM");
  return ::isatty(fd) != 0 && (no_color == nullptr || *no_color == '\0') &&
         (term == nullptr || std::string_view(term) != "dumb");
}

}  // namespace

bool color_on_stderr() { return takes_color(STDERR_FILENO); }
bool color_on_stdout() { return takes_color(STDOUT_FILENO); }

void print(std::string_view text) { std::fwrite(text.data(), 1, text.size(), stdout); }

void print_json(const nlohmann::ordered_json& json) {
  print(json.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n");
}

std::string styled(std::string_view text, Style style) {
  if (!color_on_stdout()) return std::string(text);
  constexpr const char* kCodes[] = {"1", "2", "32", "33", "31"};
  return fmt::format("\x1b[{}m{}\x1b[0m", kCodes[static_cast<int>(style)], text);
}

Progress::Progress(std::string title)
    : title_(std::move(title)),
      terminal_(::isatty(STDERR_FILENO) != 0),
      next_(Clock::now() + std::chrono::seconds(1)) {}

Progress::~Progress() {
  if (shown_) std::fputs("\r\x1b[K", stderr);
}

void Progress::update(int64_t done, int64_t total) {
  if (!terminal_ || total <= 0) return;
  const Clock::time_point now = Clock::now();
  if (now < next_) return;
  next_ = now + std::chrono::milliseconds(100);
  shown_ = true;
  constexpr int kWidth = 30;
  const int filled =
      static_cast<int>(static_cast<double>(done) / static_cast<double>(total) * kWidth);
  fmt::print(stderr, "\r\x1b[K{} [{:#<{}}{:.<{}}] {}%", title_, "", filled, "", kWidth - filled,
             done * 100 / total);
  std::fflush(stderr);
}

std::string format_bytes(uint64_t bytes) {
  constexpr const char* kUnits[] = {"bytes", "kB", "MB", "GB", "TB"};
  if (bytes < 1000) return fmt::format("{} bytes", bytes);
  auto value = static_cast<double>(bytes);
  size_t unit = 0;
  while (value >= 999.5 && unit + 1 < std::size(kUnits)) {
    value /= 1000;
    ++unit;
  }
  return fmt::format("{:.3g} {}", value, kUnits[unit]);
}

std::string format_duration(double milliseconds) {
  if (milliseconds < 1) return fmt::format("{:.3g} us", milliseconds * 1e3);
  if (milliseconds < 1000) return fmt::format("{:.3g} ms", milliseconds);
  return fmt::format("{:.3g} s", milliseconds / 1e3);
}

std::string format_count(int64_t count) {
  std::string digits = fmt::format("{}", count);
  const size_t first = count < 0 ? 1 : 0;
  for (size_t i = digits.size(); i > first + 3;) {
    i -= 3;
    digits.insert(i, ",");
  }
  return digits;
}

int report(const Error& error) {
  const bool whole_message = error.message.find("error:") != std::string::npos;
  const bool internal = error.kind == ErrorKind::Internal;
  std::string text = whole_message ? error.message
                                   : fmt::format("maskjit: {}{}",
                                                 internal ? "internal error: " : "", error.message);
  if (!text.ends_with('\n')) text += '\n';
  std::fputs(text.c_str(), stderr);
  return internal ? kInternal : kInvalidInput;
}

int report_usage(const std::string& message) {
  fmt::print(stderr, "maskjit: {}\n", message);
  return kUsage;
}

}  // namespace maskjit::cli
