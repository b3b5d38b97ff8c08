// File tests of diagnostics. Every .masker file of diagnostics/ says what is wrong with it in
// trailing comments:
//   #! error: [kind] part of the message       on its line (several are allowed); also "warning"
//   #! error@-2: ...   error@none: ...   error@other.masker:3: ...    on another line, without a
//   place, in another file
//   #! entry: name     #! bind: a=1 b=10%                             what to compile and bind
// The runner compares exactly this set, and the rendered text with NAME.expected beside the file;
// MASKJIT_UPDATE=1 writes the latter anew.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <regex>
#include <set>
#include <sstream>

#include "masker_dsl/driver/driver.h"

namespace maskjit {
namespace {

namespace fs = std::filesystem;

const fs::path kFolder = fs::path(MASKJIT_SOURCE_DIR) / "tests/frontend/diagnostics";

std::string read(const fs::path& path) {
  std::ifstream stream(path, std::ios::binary);
  std::ostringstream text;
  text << stream.rdbuf();
  return text.str();
}

struct Expectation {
  std::string place;  // "file:line", or "none"
  std::string severity, kind, part;

  std::string text() const { return fmt::format("{}: {}: [{}] {}", place, severity, kind, part); }
};

struct TestFile {
  std::string name, text, entry;
  std::vector<std::pair<std::string, std::string>> values;
  std::vector<Expectation> expected;
};

TestFile load(const fs::path& path) {
  TestFile file{path.filename().string(), read(path), {}, {}, {}};
  static const std::regex directive(R"(^(error|warning)(@([^ ]+))?: \[([a-z-]+)\] (.*)$)");
  std::istringstream lines(file.text);
  std::string line;
  for (int number = 1; std::getline(lines, line); ++number) {
    size_t at = line.find("#!");
    while (at != std::string::npos) {
      const size_t next = line.find("#!", at + 2);
      std::string words = line.substr(at + 2, next == std::string::npos ? next : next - at - 2);
      words.erase(0, words.find_first_not_of(' '));
      words.erase(words.find_last_not_of(" \r") + 1);
      at = next;
      std::smatch match;
      if (words.rfind("entry: ", 0) == 0) {
        file.entry = words.substr(7);
      } else if (words.rfind("bind: ", 0) == 0) {
        std::istringstream items(words.substr(6));
        for (std::string item; items >> item;) {
          const size_t equal = item.find('=');
          file.values.emplace_back(item.substr(0, equal), item.substr(equal + 1));
        }
      } else if (std::regex_match(words, match, directive)) {
        std::string place = match[3];
        if (place.empty()) {
          place = fmt::format("{}:{}", file.name, number);
        } else if (place[0] == '+' || place[0] == '-') {
          place = fmt::format("{}:{}", file.name, number + std::stoi(place));
        }
        file.expected.push_back({place, match[1], match[4], match[5]});
      } else {
        ADD_FAILURE() << file.name << ":" << number << ": no directive: " << words;
      }
    }
  }
  return file;
}

// Imports are read from the folder of the test files.
driver::FileReader reader() {
  return [](const std::string& path) -> std::optional<std::string> {
    if (!fs::is_regular_file(kFolder / path)) return std::nullopt;
    return read(kFolder / path);
  };
}

std::vector<fs::path> test_files() {
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(kFolder)) {
    if (entry.path().extension() == ".masker") files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  return files;
}

class Diagnostics : public testing::TestWithParam<fs::path> {};

TEST_P(Diagnostics, AreAsWritten) {
  const TestFile file = load(GetParam());
  driver::CheckedSource checked = driver::check(file.name, file.text, file.entry, reader());
  if (checked.program) {
    std::map<std::string, driver::ParamValue> values;
    for (const auto& [name, text] : file.values) {
      const auto value = driver::parse_param_value(text);
      ASSERT_TRUE(value) << text;
      values.emplace(name, *value);
    }
    driver::bind(*checked.program, values, checked.diagnostics);
  }

  std::vector<Expectation> expected = file.expected;
  for (const diag::Diagnostic& diagnostic : checked.diagnostics.diagnostics()) {
    std::string place = "none";
    if (diagnostic.range.file != nullptr) {
      place = fmt::format("{}:{}", diagnostic.range.file->name(),
                          diagnostic.range.file->line_column(diagnostic.range.begin).line);
    }
    const std::string severity = diagnostic.severity == diag::Severity::Error ? "error" : "warning";
    const auto found = std::find_if(expected.begin(), expected.end(), [&](const Expectation& e) {
      return e.place == place && e.severity == severity && e.kind == name_of(diagnostic.kind) &&
             diagnostic.message.find(e.part) != std::string::npos;
    });
    if (found == expected.end()) {
      ADD_FAILURE() << "not expected: " << diag::render(diagnostic);
    } else {
      expected.erase(found);
    }
  }
  for (const Expectation& missing : expected) ADD_FAILURE() << "missing: " << missing.text();

  const std::string rendered = diag::render_all(checked.diagnostics);
  const fs::path golden = fs::path(GetParam()).replace_extension(".expected");
  if (std::getenv("MASKJIT_UPDATE") != nullptr) {
    std::ofstream(golden, std::ios::binary) << rendered;
  } else {
    EXPECT_EQ(rendered, read(golden)) << "run with MASKJIT_UPDATE=1 if the new text is right";
  }
}

INSTANTIATE_TEST_SUITE_P(Files, Diagnostics, testing::ValuesIn(test_files()),
                         [](const auto& info) { return info.param.stem().string(); });

TEST(DiagnosticKinds, EveryKindHasAnExample) {
  std::set<std::string> shown;
  for (const fs::path& path : test_files()) {
    for (const Expectation& expectation : load(path).expected) shown.insert(expectation.kind);
  }
  for (const diag::KindInfo& kind : diag::kKinds) {
    EXPECT_TRUE(shown.erase(std::string(kind.name))) << kind.name << " has no example";
    EXPECT_FALSE(kind.description.empty());
  }
  EXPECT_TRUE(shown.empty()) << *shown.begin() << " is no kind";
}

}  // namespace
}  // namespace maskjit
