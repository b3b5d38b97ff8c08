// maskjit fmt: the one layout of .masker files.
#include <fmt/format.h>

#include <cstdio>
#include <memory>

#include "masker_dsl/format/formatter.h"
#include "masker_dsl/parse/parser.h"
#include "tools/io/file.h"
#include "tools/maskjit/command.h"
#include "tools/maskjit/console.h"

namespace maskjit::cli {
namespace {

struct Options {
  std::vector<std::string> files;
  bool check = false;
};

// kOk, or kInvalidInput for a file that cannot be formatted or (with --check) is not.
int run_file(const Options& options, const std::string& path) {
  const bool standard_input = path == "-";
  const std::string name = standard_input ? "/dev/stdin" : path;
  const Result<std::string> text = io::read_text(name);
  if (!text) return report(text.error());
  diag::DiagnosticEmitter diagnostics;
  const source::SourceFile file(path, *text);
  const lex::TokenBuffer tokens = lex::tokenize(file, diagnostics);
  const parse::Ast ast = parse::parse(file, tokens, diagnostics);
  if (diagnostics.has_errors()) {
    return report(
        {ErrorKind::InvalidInput, diag::render_all(diagnostics, {.color = color_on_stderr()})});
  }
  const std::string formatted = format::format(file, tokens, ast);
  if (options.check) {
    if (formatted == *text) return kOk;
    print(fmt::format("{}: not formatted\n", path));
    return kInvalidInput;
  }
  if (standard_input) {
    print(formatted);
    return kOk;
  }
  if (formatted == *text) return kOk;
  const Status done = io::write_text(path, formatted);
  return done ? kOk : report(done.error());
}

int run(const Options& options) {
  int code = kOk;
  for (const std::string& path : options.files) code = std::max(code, run_file(options, path));
  return code;
}

void declare(CLI::App& command, std::string_view, Action& action) {
  auto options = std::make_shared<Options>();
  command.footer(
      "Examples:\n"
      "  maskjit fmt examples/*.masker\n"
      "  maskjit fmt --check examples/*.masker\n"
      "  maskjit fmt - < spec.masker");
  command
      .add_option("files", options->files, "The files, or - for standard input to standard output")
      ->required();
  command.add_flag("--check", options->check,
                   "Only say which files are not formatted; exit code 1 if any");
  command.callback([options, &action] { action = [options] { return run(*options); }; });
}

}  // namespace

const Subcommand kFmt = {"fmt", "Format .masker files in place", declare};

}  // namespace maskjit::cli
