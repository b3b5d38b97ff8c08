#pragma once
// What code is generated for: one printable, comparable value such as "x86-64+avx512+bf16+amx" or
// "sm_90a". No LLVM here.
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace maskjit::codegen {

// Each level includes the ones before it.
enum class HostLevel : uint8_t { Baseline, Avx2, Avx512, Avx512Bf16, AmxBf16 };

struct Target {
  HostLevel level = HostLevel::Baseline;
  // Of an NVIDIA GPU: 10 * major + minor of its compute capability; 0: the target is a host.
  int sm = 0;
  bool sm_specific = false;  // sm_90a: code for this one generation, with all that it has

  bool operator==(const Target&) const = default;
  bool is_host() const { return sm == 0; }
  std::string print() const;
  static std::optional<Target> parse(std::string_view text);
  static std::vector<std::string> names();         // of hosts, best last
  static std::vector<std::string> device_names();  // of GPUs
  // Dynamic shared memory that a block may have, in bytes; 0 for a host.
  int shared_memory_limit() const;
  // The best level that this CPU and operating system support (AMX needs a permission from the
  // kernel, asked for here, once a process).
  static Target host();
  // Can this process execute code for `target`?
  static bool executable(const Target& target);
};

}  // namespace maskjit::codegen
