#include "codegen/target/target.h"

#include <llvm/TargetParser/Host.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <iterator>

namespace maskjit::codegen {
namespace {

struct LevelName {
  HostLevel level;
  const char* name;
};
constexpr LevelName kLevels[] = {
    {HostLevel::Baseline, "x86-64"},
    {HostLevel::Avx2, "x86-64+avx2"},
    {HostLevel::Avx512, "x86-64+avx512"},
    {HostLevel::Avx512Bf16, "x86-64+avx512+bf16"},
    {HostLevel::AmxBf16, "x86-64+avx512+bf16+amx"},
};

// Linux gives the AMX tile state to a process that asks for it.
bool request_amx() {
#if defined(__x86_64__) && defined(__linux__)
  constexpr int kArchReqXcompPerm = 0x1023;
  constexpr int kXfeatureXtiledata = 18;
  return syscall(SYS_arch_prctl, kArchReqXcompPerm, kXfeatureXtiledata) == 0;
#else
  return false;
#endif
}

HostLevel detect() {
#if defined(__x86_64__)
  const llvm::StringMap<bool> features = llvm::sys::getHostCPUFeatures();
  const auto all = [&](std::initializer_list<const char*> names) {
    for (const char* name : names) {
      if (!features.lookup(name)) return false;
    }
    return true;
  };
  if (!all({"avx2", "fma", "bmi", "bmi2", "f16c", "lzcnt", "movbe"})) return HostLevel::Baseline;
  if (!all({"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"})) return HostLevel::Avx2;
  if (!all({"avx512bf16"})) return HostLevel::Avx512;
  if (!all({"amx-tile", "amx-bf16"}) || !request_amx()) return HostLevel::Avx512Bf16;
  return HostLevel::AmxBf16;
#else
  return HostLevel::Baseline;
#endif
}

}  // namespace

std::string Target::print() const { return kLevels[static_cast<int>(level)].name; }

std::optional<Target> Target::parse(std::string_view text) {
  for (const LevelName& l : kLevels) {
    if (text == l.name) return Target{l.level};
  }
  return std::nullopt;
}

std::vector<std::string> Target::names() {
  std::vector<std::string> result;
  for (const LevelName& l : kLevels) result.emplace_back(l.name);
  return result;
}

Target Target::host() {
  static const HostLevel level = detect();
  return {level};
}

bool Target::executable(const Target& target) { return target.level <= host().level; }

}  // namespace maskjit::codegen
