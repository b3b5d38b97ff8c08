#pragma once
// Source text and positions in it. A SourceFile owns its text; a SourceRange names a half-open
// range of bytes of one file. Lines and columns are computed on demand, columns count UTF-8 code
// points from 1.
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace maskjit::source {

class SourceFile {
 public:
  SourceFile(std::string name, std::string text);

  const std::string& name() const { return name_; }
  std::string_view text() const { return text_; }

  struct LineColumn {
    int line = 1;    // from 1
    int column = 1;  // from 1, in code points
  };
  LineColumn line_column(uint32_t offset) const;
  // The text of a line (from 1) without its line end.
  std::string_view line_text(int line) const;
  int line_count() const { return static_cast<int>(line_starts_.size()); }

 private:
  std::string name_;
  std::string text_;
  std::vector<uint32_t> line_starts_;
};

struct SourceRange {
  const SourceFile* file = nullptr;  // null: no position (command line, API)
  uint32_t begin = 0;
  uint32_t end = 0;

  std::string_view text() const {
    return file == nullptr ? std::string_view() : file->text().substr(begin, end - begin);
  }
};

// The smallest range that covers both; both are of one file.
SourceRange cover(SourceRange a, SourceRange b);

}  // namespace maskjit::source
