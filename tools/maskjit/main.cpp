// The maskjit command line: one subcommand a file, exit codes in command.h.
#include <signal.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <exception>
#include <new>
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

struct Subcommand {
  std::string_view name;
  void (*add)(CLI::App&, Action&);
};
constexpr Subcommand kSubcommands[] = {
    {"check", add_check},     {"fmt", add_fmt},   {"show", add_show},   {"explain", add_explain},
    {"compile", add_compile}, {"run", add_run},   {"bench", add_bench}, {"profile", add_profile},
    {"pack", add_pack},       {"info", add_info}, {"cache", add_cache},
};

// Only the one that the first argument names: declaring the options of all takes longer than a
// kernel takes to come from the cache.
void add_subcommands(CLI::App& app, Action& action, std::string_view first) {
  for (const Subcommand& subcommand : kSubcommands) {
    if (subcommand.name == first) return subcommand.add(app, action);
  }
  for (const Subcommand& subcommand : kSubcommands) subcommand.add(app, action);
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
  add_subcommands(app, action, argc > 1 ? argv[1] : "");
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
