#pragma once
// The files of a cache directory, without exceptions whatever else lives there.
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace maskjit::cache {

struct DirectoryFile {
  std::string path;
  std::string key;  // 64 hex digits; empty for temporary files
  uint64_t bytes = 0;
  double age_seconds = 0;
  bool temporary = false;
};

std::string entry_path(std::string_view directory, std::string_view hex);

// Entries and temporary files; everything else is left alone. Files that vanish meanwhile are not
// listed.
std::vector<DirectoryFile> list_files(const std::string& directory);

// Removes a file or an empty directory; true if it is gone.
bool remove_file(const std::string& path);

}  // namespace maskjit::cache
