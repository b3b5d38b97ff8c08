// Runs files/*.ir. A file is a list of cases:
//
//   //! simplify                      the pass (or print, compact, pipeline), then the input
//   func @f() { ... }
//   //=>                              then the expected output
//   func @f() { ... }
//
// MASKJIT_UPDATE=1 writes what comes out into the files; review the difference.
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "masker_dsl/ir/text.h"
#include "masker_dsl/passes/fold.h"
#include "masker_dsl/passes/narrow.h"
#include "masker_dsl/passes/passes.h"
#include "masker_dsl/passes/separate.h"
#include "masker_dsl/passes/simplify.h"

namespace maskjit {
namespace {

constexpr std::string_view kCase = "//! ";
constexpr std::string_view kExpect = "//=>";

struct FileCase {
  std::string pass;
  std::string input;  // as written, comments included
  std::string expected;
  int line = 0;
};

std::optional<ir::Function> run_pass(const std::string& pass, const ir::Function& function) {
  if (pass == "print") return function;
  if (pass == "compact") return ir::compact(function, true);
  if (pass == "fold") return passes::fold(function);
  if (pass == "simplify") return passes::simplify(function);
  if (pass == "narrow") return passes::narrow(function);
  if (pass == "separate") return passes::separate(function);
  if (pass == "pipeline") return passes::run_pipeline(function);
  return std::nullopt;
}

// Lines before the first case are the head of the file.
std::vector<FileCase> read_cases(const std::filesystem::path& path, std::string& head) {
  std::ifstream file(path);
  std::vector<FileCase> cases;
  bool expecting = false;
  int number = 0;
  for (std::string line; std::getline(file, line);) {
    ++number;
    if (line.starts_with(kCase)) {
      cases.push_back({line.substr(kCase.size()), "", "", number + 1});
      expecting = false;
    } else if (line.starts_with(kExpect)) {
      expecting = true;
    } else if (cases.empty()) {
      head += line + "\n";
    } else {
      (expecting ? cases.back().expected : cases.back().input) += line + "\n";
    }
  }
  return cases;
}

class FileTest : public testing::TestWithParam<std::string> {};

TEST_P(FileTest, GivesTheExpectedOutput) {
  const std::filesystem::path path =
      std::filesystem::path(MASKJIT_SOURCE_DIR "/tests/ir/files") / GetParam();
  std::string head;
  std::vector<FileCase> cases = read_cases(path, head);
  ASSERT_FALSE(cases.empty());
  const char* update = std::getenv("MASKJIT_UPDATE");
  std::string rewritten = head;
  for (const FileCase& item : cases) {
    SCOPED_TRACE(fmt::format("{}:{}", path.string(), item.line));
    const auto parsed = ir::parse(item.input);
    const ir::TextError* error = std::get_if<ir::TextError>(&parsed);
    ASSERT_EQ(error, nullptr) << "line " << item.line + error->line - 1 << ": " << error->message;
    const auto output = run_pass(item.pass, std::get<ir::Function>(parsed));
    ASSERT_TRUE(output.has_value()) << "there is no pass " << item.pass;
    EXPECT_THAT(ir::verify(*output), testing::IsEmpty());
    const std::string text = ir::print(*output);
    rewritten += fmt::format("{}{}\n{}{}\n{}", kCase, item.pass, item.input, kExpect, text);
    if (update == nullptr) EXPECT_EQ(text, item.expected);
  }
  if (update != nullptr) std::ofstream(path) << rewritten;
}

std::vector<std::string> files() {
  std::vector<std::string> names;
  for (const auto& entry :
       std::filesystem::directory_iterator(MASKJIT_SOURCE_DIR "/tests/ir/files")) {
    if (entry.path().extension() == ".ir") names.push_back(entry.path().filename().string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

INSTANTIATE_TEST_SUITE_P(Files, FileTest, testing::ValuesIn(files()), [](const auto& test) {
  return test.param.substr(0, test.param.find('.'));
});

}  // namespace
}  // namespace maskjit
