#pragma once
// The cache directory: SpecKey -> CodeArtifact, one file an entry, <directory>/<2 hex digits>/<64
// hex digits>.mjk.
//
// Nothing here fails the caller: what cannot be read is a miss, what cannot be written is not kept,
// and the log says so in one line. Any number of threads and processes may use a directory at once,
// also while some of them sweep or clear it: entries are complete files that are renamed into
// place, and an open file can be read to its end after it was removed.
#include <atomic>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "runtime/cache/entry.h"
#include "runtime/cache/log.h"

namespace maskjit::cache {

struct DiskOptions {
  std::string directory;
  std::string build_id;
  bool writable = true;
  // Least recently used entries are removed when the directory holds more than this.
  uint64_t limit_bytes = uint64_t{256} << 20;
};

// One file of the directory as `maskjit cache ls` shows it.
struct EntryInfo {
  std::string path;
  std::string key;  // 64 hex digits, from the file name
  uint64_t bytes = 0;
  double age_seconds = 0;  // since it was last used, to the hour
  std::string template_name, target;
  std::string problem;  // why a lookup would not take it; empty: valid
};

class DiskStore {
 public:
  DiskStore(DiskOptions options, Log log);

  // A bad entry is a miss; it is removed if the store is writable.
  std::optional<codegen::CodeArtifact> read(const codegen::SpecKey& key);
  void write(const codegen::SpecKey& key, const codegen::CodeArtifact& artifact);
  // Treats the entry as bad, for a reason that only its user can see.
  void reject(const codegen::SpecKey& key, const std::string& reason);
  // Removes least recently used entries until the directory holds at most nine tenths of the limit,
  // and what interrupted writers left behind.
  void sweep();

  const DiskOptions& options() const { return options_; }

 private:
  std::string path_of(const codegen::SpecKey& key) const;
  void account(uint64_t bytes);

  const DiskOptions options_;
  const Log log_;
  std::atomic<bool> write_failed_{false};  // said once
  std::mutex mutex_;                       // of the next two
  uint64_t bytes_ = 0;  // in the directory, by the last scan and what was written since
  int writes_until_scan_ = 0;
};

// Every entry, in the order of their keys; with `verify` the files are read and checked against
// `build_id`, otherwise template, target and problem stay empty. A missing directory has no
// entries.
std::vector<EntryInfo> list_entries(const std::string& directory, const std::string& build_id,
                                    bool verify = true);

struct ClearResult {
  int removed = 0;
  uint64_t bytes = 0;
  int failed = 0;
};
// Removes every entry, or only the bad ones.
ClearResult clear_entries(const std::string& directory);
ClearResult remove_entries(const std::vector<EntryInfo>& entries);

}  // namespace maskjit::cache
