// The maskjit command line: one subcommand a file, exit codes in command.h.
#include <signal.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <exception>
#include <new>
#include <span>
#include <string_view>

#include "tools/maskjit/command.h"
#include "tools/maskjit/console.h"

namespace maskjit::cli {
namespace {

// Failed internal checks abort; the exit code is the one of an internal error.
extern "C" void on_abort(int) {
  constexpr char kMessage[] = "maskjit: please report this with the command line that led to it\n";
  if (::write(STDERR_FILENO, kMessage, sizeof(kMessage) - 1) < 0) ::_exit(kInternal);
  ::_exit(kInternal);
}

constexpr const Subcommand* kSubcommands[] = {&kCheck,   &kFmt,  &kShow,  &kExplain,
                                              &kCompile, &kRun,  &kBench, &kProfile,
                                              &kPack,    &kInfo, &kCache};

// Options are declared when a subcommand is met, and only the one is added that the first word
// names: declaring all takes longer than a kernel takes to come from the cache.
void add_subcommands(CLI::App& app, std::span<char* const> words, Action& action) {
  const auto add = [&](const Subcommand& subcommand) {
    CLI::App* command = app.add_subcommand(subcommand.name, subcommand.description);
    command->preparse_callback([command, &subcommand, words, &action](size_t left) {
      const bool any = left > 0 && left <= words.size();
      subcommand.declare(*command, any ? words[words.size() - left] : "", action);
    });
  };
  for (const Subcommand* subcommand : kSubcommands) {
    if (words.size() > 1 && words[1] == std::string_view(subcommand->name)) return add(*subcommand);
  }
  for (const Subcommand* subcommand : kSubcommands) add(*subcommand);
}

int run(int argc, char** argv) {
  CLI::App app("Compile attention masks to kernels, look at them and run them", "maskjit");
  app.set_version_flag("--version", MASKJIT_VERSION);
  app.require_subcommand(1);
  app.footer(
      "Exit codes: 0 success, 1 the input is wrong, 2 the command line is wrong, 3 an internal "
      "error.\n"
      "maskjit SUBCOMMAND --help has examples.");
  Action action;
  add_subcommands(app, {argv, static_cast<size_t>(argc)}, action);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? kOk : kUsage;
  }
  const int code = action();
  if (std::fflush(stdout) != 0) return report({ErrorKind::Io, "cannot write to standard output"});
  return code;
}

}  // namespace
}  // namespace maskjit::cli

int main(int argc, char** argv) {
  ::signal(SIGABRT, maskjit::cli::on_abort);
  try {
    return maskjit::cli::run(argc, argv);
  } catch (const std::bad_alloc&) {
    std::fputs("maskjit: out of memory\n", stderr);
    return maskjit::cli::kInvalidInput;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "maskjit: internal error: %s\n", error.what());
    return maskjit::cli::kInternal;
  }
}
