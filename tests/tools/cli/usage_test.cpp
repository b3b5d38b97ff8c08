// Help, usage errors and the exit codes of bad input, for every subcommand.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/tools/cli/program.h"

namespace maskjit::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::StartsWith;

TEST(Usage, EverySubcommandHasHelpWithExamples) {
  const Program program;
  const std::vector<std::vector<std::string>> commands = {
      {"check"},   {"fmt"},  {"show"},  {"explain"},
      {"compile"}, {"run"},  {"bench"}, {"bench", "compile"},
      {"info"},    {"cache"}};
  for (std::vector<std::string> command : commands) {
    const std::string name = command.back();
    command.push_back("--help");
    const Outcome outcome = program.run(command);
    EXPECT_EQ(outcome.code, 0) << name;
    EXPECT_THAT(outcome.out, AllOf(HasSubstr("Examples:"), HasSubstr("maskjit"))) << name;
  }
}

TEST(Usage, HelpNamesEverySubcommandAndTheExitCodes) {
  const Outcome outcome = Program().run({"--help"});
  EXPECT_EQ(outcome.code, 0);
  for (const char* name :
       {"check", "fmt", "show", "explain", "compile", "run", "bench", "info", "cache",
        "Exit codes: 0 success, 1 the input is wrong, 2 the command line is wrong"}) {
    EXPECT_THAT(outcome.out, HasSubstr(name));
  }
}

TEST(Usage, Version) {
  const Outcome outcome = Program().run({"--version"});
  EXPECT_EQ(outcome.code, 0);
  EXPECT_EQ(outcome.out, "0.1.0\n");
}

TEST(Usage, WrongCommandLinesExitWithTwo) {
  const Program program;
  const std::vector<std::vector<std::string>> lines = {
      {},
      {"frobnicate"},
      {"check"},
      {"show"},
      {"show", "causal", "--kv-len", "many"},
      {"show", "causal", "--no-such-option"},
      {"compile", "causal", "--emit=poetry"},
      {"compile", "causal", "--emit=object"},
      {"compile", "causal", "--emit=cubin", "--target", "sm_80"},
      {"compile", "causal", "--emit=sass-report"},
      {"pack"},
      {"profile"},
      {"run", "causal", "--layout", "hbld"},
      {"bench"},
      {"bench", "causal", "--seconds", "-1"},
      {"bench", "compile"},
      {"cache"},
      {"cache", "eat"},
      {"explain", "causal", "--opt-level", "2"},
  };
  for (const auto& line : lines) {
    const Outcome outcome = program.run(line);
    EXPECT_EQ(outcome.code, 2) << (line.empty() ? "" : line[0]) << outcome.err;
    EXPECT_THAT(outcome.err, ::testing::Not(IsEmpty()));
  }
}

struct BadInput {
  std::vector<std::string> arguments;
  std::string message;
};

TEST(Usage, BadInputExitsWithOneAndSaysWhatIsWrong) {
  const Program program;
  program.write("broken.masker", "masker broken() = q <\n");
  program.write("typed.masker", "masker typed(n: int) = q + n\n");
  program.write("mask.masker", "masker near(n: int = 8, runtime m: int) = local(n) | k < m\n");
  const std::string no_file = "none.masker: cannot open it: No such file or directory\n";
  const std::vector<BadInput> cases = {
      {{"check", "none.masker"}, no_file},
      {{"show", "none.masker"}, no_file},
      {{"explain", "none.masker"}, no_file},
      {{"compile", "none.masker"}, no_file},
      {{"bench", "none.masker"}, no_file},
      {{"fmt", "none.masker"}, no_file},
      {{"check", "/"}, "maskjit: /: is a directory\n"},
      {{"show", "cousal"}, "cousal"},
      {{"show", "broken.masker"}, "broken.masker:1:"},
      {{"compile", "broken.masker", "--emit=ir"}, "broken.masker:1:"},
      {{"explain", "typed.masker"}, "typed.masker:1:"},
      {{"show", "mask.masker", "--set", "m=1", "--set", "x=1"}, "x"},
      {{"show", "mask.masker", "--set", "m"}, "maskjit: --set m: name=value is expected\n"},
      {{"show", "mask.masker", "--set", "m=1", "--set", "m=2"},
       "maskjit: --set m=2: 'm' is set twice\n"},
      {{"show", "mask.masker", "--set", "m=soon"},
       "maskjit: --set m=soon: 'soon' is not a value; 12, 0.5, true and 10% are\n"},
      {{"show", "mask.masker"},
       "maskjit: the run-time parameter 'm' (int) needs a value: --set m=VALUE\n"},
      {{"show", "document"}, "maskjit: the tensor 'id' is not given: --tensor id=FILE\n"},
      {{"show", "document", "--tensor", "doc=x.npy"},
       "maskjit: --tensor doc=x.npy: the spec has no tensor 'doc'"},
      {{"show", "document", "--tensor", "id=x.npy"},
       "maskjit: x.npy: cannot open it: No such file or directory\n"},
      {{"show", "causal", "--kv-len", "-5"}, "maskjit: --kv-len -5: 1 to 1073741824 is possible\n"},
      {{"show", "causal", "--heads", "4", "--kv-heads", "3"},
       "maskjit: --heads 4 is not a multiple of --kv-heads 3\n"},
      {{"show", "causal", "--tile-q", "0"}, "maskjit: --tile-q and --tile-k are at least 1\n"},
      {{"show", "causal", "--kv-len", "8", "--png", "no/such/folder.png"},
       "maskjit: no/such/folder.png: cannot create it: No such file or directory\n"},
      {{"explain", "causal", "--target", "z80"}, "maskjit: --target z80: the targets are x86-64, "},
      {{"explain", "causal", "--dtype", "f8"},
       "maskjit: --dtype f8: f32, f16 and bf16 are possible\n"},
      {{"explain", "causal", "--head-dim", "100000000"},
       "maskjit: head dimensions 100000000 and 100000000: 1 to 65536"},
      {{"compile", "causal", "--template", "host/magic"},
       "maskjit: --template host/magic: the templates are host/"},
      {{"run", "causal", "--out", "o.npy"}, "maskjit: --query, --key and --value are needed\n"},
      {{"cache", "ls", "--dir", "/dev/null/x"}, ""},
  };
  for (const BadInput& c : cases) {
    const Outcome outcome = program.run(c.arguments);
    std::string line;
    for (const std::string& argument : c.arguments) line += argument + " ";
    if (c.message.empty()) {
      EXPECT_EQ(outcome.code, 0) << line;  // an impossible directory is an empty cache
      continue;
    }
    EXPECT_EQ(outcome.code, 1) << line << outcome.out << outcome.err;
    EXPECT_THAT(outcome.err, HasSubstr(c.message)) << line;
    EXPECT_THAT(outcome.out, IsEmpty()) << line;
  }
}

}  // namespace
}  // namespace maskjit::testing
