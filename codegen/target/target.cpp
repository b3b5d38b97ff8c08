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

struct SmName {
  int sm;
  bool specific;
  const char* name;
  int shared_memory;  // of a block, KiB (CUDA C++ Programming Guide, compute capabilities)
};
constexpr SmName kSms[] = {
    {80, false, "sm_80", 163},   {86, false, "sm_86", 99},   {89, false, "sm_89", 99},
    {90, false, "sm_90", 227},   {90, true, "sm_90a", 227},  {100, false, "sm_100", 227},
    {100, true, "sm_100a", 227}, {120, false, "sm_120", 99}, {120, true, "sm_120a", 99},
};

const SmName* find_sm(const Target& target) {
  for (const SmName& s : kSms) {
    if (s.sm == target.sm && s.specific == target.sm_specific) return &s;
  }
  return nullptr;
}

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

std::string Target::print() const {
  if (const SmName* s = find_sm(*this)) return s->name;
  return kLevels[static_cast<int>(level)].name;
}

int Target::shared_memory_limit() const {
  const SmName* s = find_sm(*this);
  return s == nullptr ? 0 : s->shared_memory * 1024;
}

std::optional<Target> Target::parse(std::string_view text) {
  for (const LevelName& l : kLevels) {
    if (text == l.name) return Target{l.level};
  }
  for (const SmName& s : kSms) {
    if (text == s.name) return Target{HostLevel::Baseline, s.sm, s.specific};
  }
  return std::nullopt;
}

std::vector<std::string> Target::names() {
  std::vector<std::string> result;
  for (const LevelName& l : kLevels) result.emplace_back(l.name);
  return result;
}

std::vector<std::string> Target::device_names() {
  std::vector<std::string> result;
  for (const SmName& s : kSms) result.emplace_back(s.name);
  return result;
}

Target Target::host() {
  static const HostLevel level = detect();
  return {level};
}

bool Target::executable(const Target& target) {
  return target.is_host() && target.level <= host().level;
}

}  // namespace maskjit::codegen
