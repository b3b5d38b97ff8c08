#pragma once
// Whole files, with errors as texts and never as signals or exceptions.
#include <string>
#include <string_view>
#include <variant>

namespace maskjit::cache {

struct FileError {
  int code = 0;  // errno; 0: the file is not what is expected
  std::string reason;
};

struct FileContents {
  std::string bytes;
  double age_seconds = 0;  // since the last modification
};

// Reads a regular file. `touch_after` >= 0: a file older than so many seconds gets the current time
// as its modification time (failure to do so is ignored). A larger file is an error.
std::variant<FileContents, FileError> read_whole(const std::string& path, double touch_after = -1,
                                                 int64_t max_bytes = int64_t{1} << 30);

// Writes `bytes` to a new file next to `path` and renames it to `path`: readers see the old or the
// new contents, nothing between. Directories on the way are created (mode 0700).
std::variant<std::monostate, FileError> write_atomically(const std::string& path,
                                                         std::string_view bytes);

// Temporary files of write_atomically that were left behind have names of this form.
bool is_temporary_name(std::string_view name);

}  // namespace maskjit::cache
