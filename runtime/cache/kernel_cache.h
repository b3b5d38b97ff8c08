#pragma once
// SpecKey -> executable kernel: a map in memory over packed kernels, a DiskStore and a compile
// function.
//
// However many threads ask for a key, one of them compiles it (or reads and loads it from disk),
// outside of any lock, and the others wait for it. A failure goes to those who waited and is then
// forgotten: the next request tries again. Kernels stay in memory as long as the cache or their
// users live.
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <shared_mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <variant>
#include <vector>

#include "codegen/compile.h"
#include "runtime/cache/cache_mode.h"
#include "runtime/cache/disk_store.h"
#include "runtime/cache/kernel_pack.h"
#include "runtime/cache/log.h"

namespace maskjit::cache {

enum class Origin { Memory, Packed, Disk, Compiled };
std::string_view name_of(Origin origin);  // "memory", "packed", ...

struct CacheOptions {
  CacheMode mode = CacheMode::ReadWrite;
  std::string directory;  // empty: as CacheMode::Off
  uint64_t limit_bytes = uint64_t{256} << 20;
  std::string build_id;
  Log log;
  std::vector<KernelPack> packs = {};  // looked at before the disk, in order
};

struct CachedKernel {
  std::unique_ptr<codegen::LoadedKernel> code;
  std::string template_name, target;
  codegen::StageTimes times;  // of the compile that made it, and "load" of this process
};

struct Lookup {
  std::shared_ptr<const CachedKernel> kernel;
  Origin origin = Origin::Memory;
};

class KernelCache {
 public:
  using Compile = std::function<std::variant<codegen::CodeArtifact, codegen::CompileError>()>;
  using Load =
      std::function<std::variant<std::unique_ptr<codegen::LoadedKernel>, codegen::CompileError>(
          const codegen::CodeArtifact&)>;
  using LookupOrError = std::variant<Lookup, codegen::CompileError>;

  KernelCache(CacheOptions options, Load load);

  // `compile` and the Load function may run on any thread that asks, several at once for different
  // keys.
  LookupOrError get_or_compile(const codegen::SpecKey& key, const Compile& compile);

  // Is there a packed kernel of this key? Whether it can be used is seen when it is asked for.
  bool is_packed(const codegen::SpecKey& key) const;

  // Kernels in memory.
  size_t size() const;
  const CacheOptions& options() const { return options_; }

 private:
  struct Slot {
    std::mutex mutex;
    std::condition_variable done;
    bool finished = false;
    std::shared_ptr<const CachedKernel> kernel;  // or, if null,
    codegen::CompileError error;
  };
  struct KeyHash {
    size_t operator()(const codegen::SpecKey& key) const;
  };

  LookupOrError produce(const codegen::SpecKey& key, const Compile& compile);
  LookupOrError compile_fresh(const codegen::SpecKey& key, const Compile& compile,
                              const codegen::CodeArtifact* expected);
  LookupOrError load(const codegen::CodeArtifact& artifact, Origin origin) const;

  const CacheOptions options_;
  const Load load_;
  std::optional<DiskStore> disk_;
  mutable std::shared_mutex mutex_;  // of the map, never held while a kernel is made
  std::unordered_map<codegen::SpecKey, std::shared_ptr<Slot>, KeyHash> slots_;
};

}  // namespace maskjit::cache
