#include "runtime/cache/kernel_cache.h"

#include <algorithm>
#include <cstring>
#include <exception>

namespace maskjit::cache {

using codegen::CodeArtifact;
using codegen::CompileError;
using codegen::SpecKey;

std::string_view name_of(Origin origin) {
  switch (origin) {
    case Origin::Memory:
      return "memory";
    case Origin::Packed:
      return "packed";
    case Origin::Disk:
      return "disk";
    case Origin::Compiled:
      return "compiled";
  }
  return "";
}

size_t KernelCache::KeyHash::operator()(const SpecKey& key) const {
  size_t hash;
  std::memcpy(&hash, key.bytes.data(), sizeof(hash));
  return hash;
}

KernelCache::KernelCache(CacheOptions options, Load load)
    : options_(std::move(options)), load_(std::move(load)) {
  if (options_.mode == CacheMode::Off || options_.directory.empty()) return;
  disk_.emplace(DiskOptions{options_.directory, options_.build_id,
                            options_.mode != CacheMode::ReadOnly, options_.limit_bytes},
                options_.log);
}

KernelCache::LookupOrError KernelCache::get_or_compile(const SpecKey& key, const Compile& compile) {
  std::shared_ptr<Slot> slot;
  bool owner = false;
  {
    const std::shared_lock lock(mutex_);
    const auto found = slots_.find(key);
    if (found != slots_.end()) slot = found->second;
  }
  if (slot == nullptr) {
    const std::unique_lock lock(mutex_);
    auto [position, added] = slots_.try_emplace(key);
    if (added) position->second = std::make_shared<Slot>();
    slot = position->second;
    owner = added;
  }
  if (!owner) {
    std::unique_lock lock(slot->mutex);
    slot->done.wait(lock, [&] { return slot->finished; });
    if (slot->kernel == nullptr) return slot->error;
    return Lookup{slot->kernel, Origin::Memory};
  }
  LookupOrError made = CompileError{};
  try {
    made = produce(key, compile);
  } catch (const std::exception& e) {  // out of memory: nobody may be left waiting
    made = CompileError{fmt::format("compiling {} failed: {}", hex_of(key), e.what())};
  }
  if (std::holds_alternative<CompileError>(made)) {
    const std::unique_lock lock(mutex_);
    slots_.erase(key);
  }
  {
    const std::lock_guard lock(slot->mutex);
    slot->finished = true;
    if (auto* lookup = std::get_if<Lookup>(&made)) {
      slot->kernel = lookup->kernel;
    } else {
      slot->error = std::get<CompileError>(made);
    }
  }
  slot->done.notify_all();
  return made;
}

bool KernelCache::is_packed(const SpecKey& key) const {
  return std::any_of(options_.packs.begin(), options_.packs.end(),
                     [&](const KernelPack& pack) { return pack.contains(key); });
}

size_t KernelCache::size() const {
  const std::shared_lock lock(mutex_);
  return slots_.size();
}

KernelCache::LookupOrError KernelCache::produce(const SpecKey& key, const Compile& compile) {
  for (const KernelPack& pack : options_.packs) {
    if (!pack.contains(key)) continue;
    auto read = pack.read(key);
    std::string reason;
    if (auto* artifact = std::get_if<CodeArtifact>(&read)) {
      LookupOrError loaded = load(*artifact, Origin::Packed);
      if (std::holds_alternative<Lookup>(loaded)) return loaded;
      reason = fmt::format("cannot be loaded ({})", std::get<CompileError>(loaded).message);
    } else {
      reason = std::get<BadEntry>(read).reason;
    }
    options_.log.warning(fmt::format("packed kernel {} {}; ignored", pack.path_of(key), reason));
  }
  if (disk_) {
    if (std::optional<CodeArtifact> artifact = disk_->read(key)) {
      if (options_.mode == CacheMode::Check) return compile_fresh(key, compile, &*artifact);
      LookupOrError loaded = load(*artifact, Origin::Disk);
      if (std::holds_alternative<Lookup>(loaded)) return loaded;
      disk_->reject(key,
                    fmt::format("cannot be loaded ({})", std::get<CompileError>(loaded).message));
    }
  }
  return compile_fresh(key, compile, nullptr);
}

// `expected`: what the disk holds under the key; it is replaced if the compile gives something
// else.
KernelCache::LookupOrError KernelCache::compile_fresh(const SpecKey& key, const Compile& compile,
                                                      const CodeArtifact* expected) {
  auto compiled = compile();
  if (auto* error = std::get_if<CompileError>(&compiled)) return std::move(*error);
  const auto& artifact = std::get<CodeArtifact>(compiled);
  const bool same = expected != nullptr && expected->object == artifact.object;
  LookupOrError loaded = load(artifact, same ? Origin::Disk : Origin::Compiled);
  if (expected != nullptr && !same) {
    disk_->reject(key, "differs from what its key compiles to");
  }
  if (disk_ && !same && std::holds_alternative<Lookup>(loaded)) disk_->write(key, artifact);
  return loaded;
}

KernelCache::LookupOrError KernelCache::load(const CodeArtifact& artifact, Origin origin) const {
  auto loaded = load_(artifact);
  if (auto* error = std::get_if<CompileError>(&loaded)) return std::move(*error);
  auto kernel = std::make_shared<CachedKernel>();
  kernel->code = std::move(std::get<0>(loaded));
  kernel->template_name = artifact.template_name;
  kernel->target = artifact.target;
  kernel->times = artifact.times;
  kernel->times.emplace_back("load", kernel->code->load_milliseconds);
  return Lookup{std::move(kernel), origin};
}

}  // namespace maskjit::cache
