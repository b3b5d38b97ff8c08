// docs/language.md: its examples are compiled, its tables of kinds and of the library are complete.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <regex>
#include <sstream>

#include "masker_dsl/check/modules.h"
#include "masker_dsl/check/names.h"
#include "masker_dsl/check/selectors.h"
#include "masker_dsl/driver/driver.h"

namespace maskjit {
namespace {

namespace fs = std::filesystem;

std::string read(const fs::path& path) {
  std::ifstream stream(path, std::ios::binary);
  std::ostringstream text;
  text << stream.rdbuf();
  return text.str();
}

std::string language_page() { return read(fs::path(MASKJIT_SOURCE_DIR) / "docs/language.md"); }

// The fenced blocks of a language tag, with the line on which they start.
std::vector<std::pair<int, std::string>> blocks(const std::string& page, const std::string& tag) {
  std::vector<std::pair<int, std::string>> found;
  std::istringstream lines(page);
  std::string line;
  bool inside = false;
  for (int number = 1; std::getline(lines, line); ++number) {
    if (line.rfind("```", 0) == 0) {
      inside = !inside && line == "```" + tag;
      if (inside) found.emplace_back(number, "");
    } else if (inside) {
      found.back().second += line + "\n";
    }
  }
  return found;
}

driver::CheckedSource check(const std::string& text) {
  return driver::check("example.masker", text, {}, [](const std::string&) { return std::nullopt; });
}

TEST(LanguagePage, ExamplesCompile) {
  const auto examples = blocks(language_page(), "masker");
  EXPECT_GE(examples.size(), 8u);
  for (const auto& [line, text] : examples) {
    SCOPED_TRACE(fmt::format("docs/language.md:{}", line));
    const driver::CheckedSource checked = check(text);
    EXPECT_TRUE(checked.program);
    EXPECT_EQ(diag::render_all(checked.diagnostics), "");
    if (!checked.program) continue;
    diag::DiagnosticEmitter diagnostics;
    EXPECT_TRUE(driver::bind(*checked.program, {}, diagnostics)) << diag::render_all(diagnostics);
  }
}

TEST(LanguagePage, WrongExamplesFailAsTheySay) {
  const auto examples = blocks(language_page(), "masker-error");
  EXPECT_GE(examples.size(), 1u);
  for (const auto& [line, text] : examples) {
    SCOPED_TRACE(fmt::format("docs/language.md:{}", line));
    const driver::CheckedSource checked = check(text);
    ASSERT_FALSE(checked.diagnostics.diagnostics().empty());
    const std::string kind(name_of(checked.diagnostics.diagnostics()[0].kind));
    EXPECT_EQ(text.substr(0, text.find('\n')), "# " + kind);
  }
}

TEST(LanguagePage, IsComplete) {
  const std::string page = language_page();
  for (const diag::KindInfo& kind : diag::kKinds) {
    EXPECT_NE(page.find(fmt::format("| `{}` | {} |", kind.name, kind.description)),
              std::string::npos)
        << kind.name;
  }
  for (const auto& [name, callable] : check::standard_library().scope) {
    EXPECT_NE(page.find(fmt::format("`{}(", name)), std::string::npos) << name;
  }
  for (const check::SelectorInfo& selector : check::selectors()) {
    EXPECT_NE(page.find(fmt::format("| `{}(", selector.name)), std::string::npos) << selector.name;
  }
  for (const check::ScorerInfo& scorer : check::scorers()) {
    EXPECT_NE(page.find(fmt::format("| `{}", scorer.name)), std::string::npos) << scorer.name;
  }
  for (const check::BuiltinVariable& variable : check::builtin_variables()) {
    EXPECT_NE(page.find(fmt::format("`{}`", variable.name)), std::string::npos) << variable.name;
  }
  for (const check::BuiltinFunction& function : check::builtin_functions()) {
    EXPECT_NE(page.find(fmt::format("`{}`", function.name)), std::string::npos) << function.name;
  }
}

}  // namespace
}  // namespace maskjit
