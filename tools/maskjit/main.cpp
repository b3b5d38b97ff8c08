// The maskjit command line: one subcommand a file, exit codes in command.h.
#include <signal.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <exception>
#include <new>

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

int run(int argc, char** argv) {
  CLI::App app("Compile attention masks to kernels, look at them and run them", "maskjit");
  app.set_version_flag("--version", MASKJIT_VERSION);
  app.require_subcommand(1);
  app.footer(
      "Exit codes: 0 success, 1 the input is wrong, 2 the command line is wrong, 3 an internal "
      "error.\n"
      "maskjit SUBCOMMAND --help has examples.");
  Action action;
  add_check(app, action);
  add_fmt(app, action);
  add_show(app, action);
  add_explain(app, action);
  add_compile(app, action);
  add_run(app, action);
  add_bench(app, action);
  add_profile(app, action);
  add_pack(app, action);
  add_info(app, action);
  add_cache(app, action);
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
