#pragma once
// What is written to the terminal: colour only there (and not if NO_COLOR is set), progress on
// anything that takes long.
#include <chrono>
#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

namespace maskjit::cli {

bool color_on_stderr();
bool color_on_stdout();

// To stdout; one call, one write.
void print(std::string_view text);
void print_json(const nlohmann::ordered_json& json);

enum class Style { Bold, Dim, Green, Yellow, Red };
// `text` in a style if stdout takes colour.
std::string styled(std::string_view text, Style style);

// A bar on stderr, if that is a terminal, from one second on. Gone when the object is.
class Progress {
 public:
  explicit Progress(std::string title);
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;
  ~Progress();
  void update(int64_t done, int64_t total);

 private:
  using Clock = std::chrono::steady_clock;
  std::string title_;
  bool terminal_;
  bool shown_ = false;
  Clock::time_point next_;
};

std::string format_bytes(uint64_t bytes);          // "12.3 MB"
std::string format_duration(double milliseconds);  // "850 us", "12.3 ms", "1.25 s"
std::string format_count(int64_t count);           // "12,345"

}  // namespace maskjit::cli
