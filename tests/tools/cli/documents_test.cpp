// The command lines of the documents, run as they stand.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <sstream>

#include "tests/tools/cli/program.h"
#include "tools/io/file.h"

namespace maskjit::testing {
namespace {

constexpr const char* kDocuments[] = {"README.md", "docs/device.md", "examples/masks/README.md",
                                      "examples/recipes/README.md"};

// Lines of code blocks that begin with the program, and what names a file of the examples in the
// text.
std::vector<std::string> commands_of(const std::string& text) {
  std::vector<std::string> commands;
  bool inside = false;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with("```")) {
      inside = !inside;
    } else if (inside && line.starts_with("maskjit ")) {
      commands.push_back(line);
    }
    for (size_t at = 0; !inside && (at = line.find("`maskjit ", at)) != std::string::npos; ++at) {
      const std::string command = line.substr(at + 1, line.find('`', at + 1) - at - 1);
      if (command.find(" examples/") != std::string::npos) commands.push_back(command);
    }
  }
  return commands;
}

TEST(Documents, CommandsRun) {
  const Program program;
  const std::filesystem::path root = MASKJIT_SOURCE_DIR;
  std::filesystem::create_directory_symlink(root / "examples", program.folder() / "examples");
  for (const char* name : {"q.npy", "k.npy", "v.npy"}) program.write_tensor(name, {1, 2, 40, 128});
  for (const char* document : kDocuments) {
    const std::vector<std::string> commands = commands_of(*io::read_text(root / document));
    EXPECT_FALSE(commands.empty()) << document;
    for (const std::string& command : commands) {
      std::istringstream words(command);
      std::vector<std::string> arguments;
      for (std::string word; words >> word;) arguments.push_back(word);
      arguments.erase(arguments.begin());
      const Outcome outcome = program.run(arguments);
      const bool without_assembler =
          outcome.code == 1 && outcome.err.find("no ptxas") != std::string::npos;
      EXPECT_TRUE(outcome.code == 0 || without_assembler) << document << ": " << command << "\n"
                                                          << outcome.err;
    }
  }
}

}  // namespace
}  // namespace maskjit::testing
