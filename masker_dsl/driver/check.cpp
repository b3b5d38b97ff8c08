#include "masker_dsl/check/check.h"

#include <fstream>
#include <iterator>

#include "masker_dsl/driver/driver.h"

namespace maskjit::driver {

FileReader disk_reader() {
  return [](const std::string& path) -> std::optional<std::string> {
    std::ifstream stream(path, std::ios::binary);
    if (!stream) return std::nullopt;
    std::string text{std::istreambuf_iterator<char>(stream), std::istreambuf_iterator<char>()};
    if (stream.bad()) return std::nullopt;
    return text;
  };
}

CheckedSource check(std::string name, std::string text, const std::string& entry,
                    const FileReader& reader) {
  CheckedSource result;
  check::Checked checked =
      check::check(std::move(name), std::move(text), entry, reader, result.diagnostics);
  result.program = std::move(checked.program);
  result.files = std::move(checked.files);
  return result;
}

}  // namespace maskjit::driver
