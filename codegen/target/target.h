#pragma once
// What code is generated for: one printable, comparable value such as "x86-64+avx512+bf16+amx". No
// LLVM here.
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace maskjit::codegen {

// Each level includes the ones before it.
enum class HostLevel : uint8_t { Baseline, Avx2, Avx512, Avx512Bf16, AmxBf16 };

struct Target {
  HostLevel level = HostLevel::Baseline;

  bool operator==(const Target&) const = default;
  std::string print() const;
  static std::optional<Target> parse(std::string_view text);
  static std::vector<std::string> names();  // every target that parse accepts, best last
  // The best level that this CPU and operating system support (AMX needs a permission from the
  // kernel, asked for here, once a process).
  static Target host();
  // Can this process execute code for `target`?
  static bool executable(const Target& target);
};

}  // namespace maskjit::codegen
