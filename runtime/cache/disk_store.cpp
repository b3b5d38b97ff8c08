#include "runtime/cache/disk_store.h"

#include <cerrno>
#include <filesystem>

#include "runtime/cache/directory.h"
#include "runtime/cache/file_io.h"

namespace maskjit::cache {
namespace {

constexpr double kTouchAfterSeconds = 3600;
constexpr int kWritesPerScan = 64;

}  // namespace

DiskStore::DiskStore(DiskOptions options, Log log)
    : options_(std::move(options)), log_(std::move(log)) {}

std::string DiskStore::path_of(const codegen::SpecKey& key) const {
  return entry_path(options_.directory, hex_of(key));
}

std::optional<codegen::CodeArtifact> DiskStore::read(const codegen::SpecKey& key) {
  auto contents = read_whole(path_of(key), options_.writable ? kTouchAfterSeconds : -1);
  if (auto* error = std::get_if<FileError>(&contents)) {
    // ENOTDIR: the directory itself is in no state to be one, which a writer reports.
    const bool missing = error->code == ENOENT || (error->code == ENOTDIR && options_.writable);
    if (!missing) reject(key, error->reason);
    return std::nullopt;
  }
  auto parsed = parse(std::get<FileContents>(contents).bytes);
  if (auto* bad = std::get_if<BadEntry>(&parsed)) {
    reject(key, bad->reason);
    return std::nullopt;
  }
  auto& entry = std::get<Entry>(parsed);
  if (auto bad = mismatch(entry, key, options_.build_id)) {
    reject(key, bad->reason);
    return std::nullopt;
  }
  return std::move(entry.artifact);
}

void DiskStore::reject(const codegen::SpecKey& key, const std::string& reason) {
  const std::string path = path_of(key);
  const bool removed = options_.writable && remove_file(path);
  if (options_.writable && !removed) write_failed_ = true;  // nor can it be replaced
  log_.warning(fmt::format("cache entry {} {}; {}", path, reason, removed ? "removed" : "ignored"));
}

void DiskStore::write(const codegen::SpecKey& key, const codegen::CodeArtifact& artifact) {
  if (!options_.writable) return;
  const std::string path = path_of(key);
  const std::string bytes = print({key, options_.build_id, artifact});
  const auto written = write_atomically(path, bytes);
  if (auto* error = std::get_if<FileError>(&written)) {
    const std::string line = fmt::format("cache entry {} {}; not kept", path, error->reason);
    if (write_failed_.exchange(true)) {
      log_.debug(line);
    } else {
      log_.warning(line);
    }
    return;
  }
  account(bytes.size());
}

void DiskStore::account(uint64_t bytes) {
  {
    const std::lock_guard lock(mutex_);
    bytes_ += bytes;
    if (--writes_until_scan_ > 0 && bytes_ <= options_.limit_bytes) return;
    writes_until_scan_ = kWritesPerScan;
  }
  sweep();
}

void DiskStore::sweep() {
  std::vector<DirectoryFile> files = list_files(options_.directory);
  uint64_t total = 0;
  for (const DirectoryFile& file : files) {
    if (file.temporary) {
      if (file.age_seconds > kTouchAfterSeconds && options_.writable) remove_file(file.path);
    } else {
      total += file.bytes;
    }
  }
  if (total > options_.limit_bytes && options_.writable) {
    std::sort(files.begin(), files.end(), [](const DirectoryFile& a, const DirectoryFile& b) {
      return a.age_seconds > b.age_seconds;
    });
    const uint64_t wanted = options_.limit_bytes / 10 * 9;
    int removed = 0;
    for (const DirectoryFile& file : files) {
      if (total <= wanted) break;
      if (file.temporary) continue;
      // Removed by another process is as good.
      remove_file(file.path);
      total -= file.bytes;
      ++removed;
    }
    log_.info(fmt::format("cache {}: {} least recently used entries removed", options_.directory,
                          removed));
  }
  const std::lock_guard lock(mutex_);
  bytes_ = total;
}

}  // namespace maskjit::cache
