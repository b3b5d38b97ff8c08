#include "runtime/cache/directory.h"

#include <cerrno>
#include <cstdio>
#include <ctime>
#include <filesystem>

#include <sys/stat.h>

#include "runtime/cache/disk_store.h"
#include "runtime/cache/file_io.h"

namespace maskjit::cache {
namespace {

constexpr std::string_view kSuffix = ".mjk";
constexpr double kAbandonedSeconds = 60;

bool is_shard_name(std::string_view name) {
  return name.size() == 2 && name.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

// Names of what is in `directory`; empty if it cannot be read.
std::vector<std::filesystem::path> children(const std::filesystem::path& directory) {
  std::vector<std::filesystem::path> result;
  std::error_code error;
  std::filesystem::directory_iterator it(directory, error), end;
  while (!error && it != end) {
    result.push_back(it->path());
    it.increment(error);
  }
  return result;
}

}  // namespace

std::string entry_path(std::string_view directory, std::string_view hex) {
  return fmt::format("{}/{}/{}{}", directory, hex.substr(0, 2), hex, kSuffix);
}

std::vector<DirectoryFile> list_files(const std::string& directory) {
  std::vector<DirectoryFile> files;
  const double now = static_cast<double>(time(nullptr));
  for (const auto& shard : children(directory)) {
    if (!is_shard_name(shard.filename().string())) continue;
    for (const auto& path : children(shard)) {
      DirectoryFile file;
      const std::string name = path.filename().string();
      file.path = path.string();
      file.temporary = is_temporary_name(name);
      if (!file.temporary) {
        if (!name.ends_with(kSuffix)) continue;
        file.key = name.substr(0, name.size() - kSuffix.size());
        if (!key_of_hex(file.key)) continue;
      }
      struct stat status;
      if (lstat(file.path.c_str(), &status) != 0) continue;
      file.bytes = static_cast<uint64_t>(status.st_size);
      file.age_seconds = now - static_cast<double>(status.st_mtim.tv_sec) -
                         1e-9 * static_cast<double>(status.st_mtim.tv_nsec);
      files.push_back(std::move(file));
    }
  }
  return files;
}

bool remove_file(const std::string& path) {
  return std::remove(path.c_str()) == 0 || errno == ENOENT;
}

std::vector<EntryInfo> list_entries(const std::string& directory, const std::string& build_id,
                                    bool verify) {
  std::vector<EntryInfo> entries;
  for (DirectoryFile& file : list_files(directory)) {
    if (file.temporary) continue;
    EntryInfo info;
    info.path = std::move(file.path);
    info.key = std::move(file.key);
    info.bytes = file.bytes;
    info.age_seconds = std::max(0.0, file.age_seconds);
    if (verify) {
      const auto contents = read_whole(info.path);
      if (auto* error = std::get_if<FileError>(&contents)) {
        info.problem = error->reason;
      } else {
        auto parsed = parse(std::get<FileContents>(contents).bytes);
        if (auto* bad = std::get_if<BadEntry>(&parsed)) {
          info.problem = bad->reason;
        } else {
          const auto& entry = std::get<Entry>(parsed);
          info.template_name = entry.artifact.template_name;
          info.target = entry.artifact.target;
          if (auto wrong = mismatch(entry, *key_of_hex(info.key), build_id))
            info.problem = wrong->reason;
        }
      }
    }
    entries.push_back(std::move(info));
  }
  std::sort(entries.begin(), entries.end(),
            [](const EntryInfo& a, const EntryInfo& b) { return a.key < b.key; });
  return entries;
}

ClearResult remove_entries(const std::vector<EntryInfo>& entries) {
  ClearResult result;
  for (const EntryInfo& entry : entries) {
    if (remove_file(entry.path)) {
      ++result.removed;
      result.bytes += entry.bytes;
    } else {
      ++result.failed;
    }
  }
  return result;
}

ClearResult clear_entries(const std::string& directory) {
  const ClearResult result = remove_entries(list_entries(directory, {}, false));
  // Files of writers that are still at work are theirs to rename or remove.
  for (const DirectoryFile& file : list_files(directory)) {
    if (file.temporary && file.age_seconds > kAbandonedSeconds) remove_file(file.path);
  }
  return result;
}

}  // namespace maskjit::cache
