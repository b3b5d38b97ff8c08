#pragma once
// Artifacts that need no compiler: the "object" is a text derived from its key, so that a reader
// can tell a right one from a wrong or torn one.
#include <stdlib.h>
#include <cstring>
#include <filesystem>
#include <mutex>

#include "runtime/cache/kernel_cache.h"

namespace maskjit::cache::testing {

inline codegen::SpecKey key_of(uint32_t number) {
  codegen::SpecKey key;
  uint64_t state = number * 0x9E3779B97F4A7C15u + 1;
  for (uint8_t& byte : key.bytes) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    byte = static_cast<uint8_t>(state >> 56);
  }
  return key;
}

inline std::string object_of(const codegen::SpecKey& key, size_t bytes = 5000) {
  std::string object = "object of " + hex_of(key) + ":";
  while (object.size() < bytes)
    object += static_cast<char>(key.bytes[object.size() % 32] ^ object.size() / 32);
  return object;
}

inline codegen::CodeArtifact artifact_of(const codegen::SpecKey& key, size_t bytes = 5000) {
  return {object_of(key, bytes),
          "x86-64+avx2",
          "host/attention_forward",
          {{"link", 1.5}, {"codegen", 40.25}}};
}

class FakeKernel : public codegen::LoadedKernel {
 public:
  explicit FakeKernel(std::string text) : object(std::move(text)) { load_milliseconds = 0.5; }
  std::string object;
};

// Takes what looks like an object of this test, as codegen::load takes only ELF.
inline std::variant<std::unique_ptr<codegen::LoadedKernel>, codegen::CompileError> fake_load(
    const codegen::CodeArtifact& artifact) {
  if (!artifact.object.starts_with("object of ")) return codegen::CompileError{"not an object"};
  return std::unique_ptr<codegen::LoadedKernel>(std::make_unique<FakeKernel>(artifact.object));
}

inline const std::string& object_in(const Lookup& lookup) {
  return static_cast<const FakeKernel&>(*lookup.kernel->code).object;
}

// A directory that lives as long as the object.
class TemporaryDirectory {
 public:
  TemporaryDirectory() {
    std::string pattern = (std::filesystem::temp_directory_path() / "maskjit-test-XXXXXX").string();
    path_ = mkdtemp(pattern.data());
  }
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;
  ~TemporaryDirectory() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

// Collects what is logged.
class LogLines {
 public:
  Log log(LogLevel level = LogLevel::Warning) {
    return Log(level, [this](LogLevel, std::string_view line) {
      const std::lock_guard lock(mutex_);
      lines_.emplace_back(line);
    });
  }
  std::vector<std::string> take() {
    const std::lock_guard lock(mutex_);
    return std::exchange(lines_, {});
  }

 private:
  std::mutex mutex_;
  std::vector<std::string> lines_;
};

}  // namespace maskjit::cache::testing
