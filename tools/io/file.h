#pragma once
// Bytes of files. Reading maps regular files, so that a large one is neither copied nor read before
// it is needed, and streams the rest (pipes); writing goes through a temporary name, so that a file
// is either old or whole.
#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/api/result.h"

namespace maskjit::io {

struct FileBytes {
  std::span<const std::byte> bytes;
  std::shared_ptr<const void> owner;
};

// Errors name the file and say why.
Result<FileBytes> read_bytes(const std::string& path);
Result<std::string> read_text(const std::string& path);

// The pieces one after the other. A path of an existing non-regular file (/dev/stdout, a pipe) is
// written in place.
Status write_bytes(const std::string& path, const std::vector<std::span<const std::byte>>& pieces);
Status write_text(const std::string& path, std::string_view text);

Error file_error(const std::string& path, std::string_view what);

}  // namespace maskjit::io
