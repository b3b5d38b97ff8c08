#pragma once
// Another program, run to its end without a shell, and temporary files to give it.
#include <string>
#include <string_view>
#include <vector>

#include "runtime/api/result.h"

namespace maskjit::assembler {

struct Finished {
  int code = 0;        // exit status; 128 + signal if it was killed
  std::string output;  // standard output and standard error, in the order of writing
};

// `program` is a path. An error: it cannot be started.
Result<Finished> run_process(const std::string& program, const std::vector<std::string>& arguments);

// A directory of one's own that is removed with the object.
class TemporaryDirectory {
 public:
  static Result<TemporaryDirectory> create();
  TemporaryDirectory(TemporaryDirectory&& other) noexcept : path_(std::exchange(other.path_, {})) {}
  TemporaryDirectory& operator=(TemporaryDirectory&&) = delete;
  ~TemporaryDirectory();
  const std::string& path() const { return path_; }
  std::string file(std::string_view name) const { return path_ + "/" + std::string(name); }

 private:
  explicit TemporaryDirectory(std::string path) : path_(std::move(path)) {}
  std::string path_;
};

Status write_file(const std::string& path, std::string_view bytes);
Result<std::string> read_file(const std::string& path);

}  // namespace maskjit::assembler
