// maskjit check: parse and type-check files.
#include <fmt/format.h>

#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>

#include "masker_dsl/driver/driver.h"
#include "tools/io/file.h"
#include "tools/maskjit/command.h"
#include "tools/maskjit/console.h"

namespace maskjit::cli {
namespace {

struct Options {
  std::vector<std::string> files;
  std::string entry;
  bool json = false;
};

// Having nothing, or several things, to compile is no fault of a file that is only checked.
bool about_the_choice_of_entry(diag::Kind kind) {
  return kind == diag::Kind::NoEntry || kind == diag::Kind::AmbiguousEntry;
}

nlohmann::ordered_json to_json(const diag::Diagnostic& diagnostic) {
  nlohmann::ordered_json json;
  json["kind"] = diag::name_of(diagnostic.kind);
  json["severity"] = diagnostic.severity == diag::Severity::Error ? "error" : "warning";
  if (diagnostic.range.file != nullptr) {
    const auto begin = diagnostic.range.file->line_column(diagnostic.range.begin);
    const auto end = diagnostic.range.file->line_column(diagnostic.range.end);
    json["file"] = diagnostic.range.file->name();
    json["line"] = begin.line;
    json["column"] = begin.column;
    json["end_line"] = end.line;
    json["end_column"] = end.column;
  }
  json["message"] = diagnostic.message;
  if (!diagnostic.hint.empty()) json["hint"] = diagnostic.hint;
  return json;
}

int run(const Options& options) {
  bool failed = false;
  nlohmann::ordered_json all = nlohmann::ordered_json::array();
  for (const std::string& file : options.files) {
    const Result<std::string> text = io::read_text(file);
    if (!text) {
      failed = true;
      if (options.json) {
        all.push_back({{"file", file}, {"ok", false}, {"problem", text.error().message}});
      } else {
        report(text.error());
      }
      continue;
    }
    const driver::CheckedSource checked = driver::check(file, *text, options.entry);
    bool ok = true;
    nlohmann::ordered_json diagnostics = nlohmann::ordered_json::array();
    for (const diag::Diagnostic& diagnostic : checked.diagnostics.diagnostics()) {
      if (options.entry.empty() && about_the_choice_of_entry(diagnostic.kind)) continue;
      ok = ok && diagnostic.severity != diag::Severity::Error;
      if (options.json) {
        diagnostics.push_back(to_json(diagnostic));
      } else {
        std::fputs(diag::render(diagnostic, {.color = color_on_stderr()}).c_str(), stderr);
      }
    }
    failed = failed || !ok;
    if (options.json) {
      all.push_back({{"file", file}, {"ok", ok}, {"diagnostics", std::move(diagnostics)}});
    } else if (ok) {
      print(fmt::format("{}: ok\n", file));
    }
  }
  if (options.json) print_json(all);
  return failed ? kInvalidInput : kOk;
}

void declare(CLI::App& command, std::string_view, Action& action) {
  auto options = std::make_shared<Options>();
  command.footer(
      "Examples:\n"
      "  maskjit check examples/*.masker\n"
      "  maskjit check --json streaming_llm.masker");
  command.add_option("files", options->files, "The files")->required();
  command.add_option("--entry", options->entry, "Also require this attention or masker");
  command.add_flag("--json", options->json, "Print the diagnostics as JSON");
  command.callback([options, &action] { action = [options] { return run(*options); }; });
}

}  // namespace

const Subcommand kCheck = {"check", "Check .masker files and report every error", declare};

}  // namespace maskjit::cli
