#pragma once
// A subcommand is one file with an add_... function: it declares its options and, when it is
// chosen, sets the action that main runs. Actions print results on stdout, everything else on
// stderr, and return an exit code.
#include <CLI/App.hpp>
#include <functional>
#include <string>

#include "runtime/api/result.h"

namespace maskjit::cli {

inline constexpr int kOk = 0;
inline constexpr int kInvalidInput = 1;  // what the user gave is wrong: spec, shapes, files
inline constexpr int kUsage = 2;         // the command line is wrong
inline constexpr int kInternal = 3;      // a bug of maskjit

using Action = std::function<int()>;

void add_check(CLI::App& app, Action& action);
void add_fmt(CLI::App& app, Action& action);
void add_show(CLI::App& app, Action& action);
void add_explain(CLI::App& app, Action& action);
void add_compile(CLI::App& app, Action& action);
void add_run(CLI::App& app, Action& action);
void add_bench(CLI::App& app, Action& action);
void add_profile(CLI::App& app, Action& action);
void add_pack(CLI::App& app, Action& action);
void add_info(CLI::App& app, Action& action);
void add_cache(CLI::App& app, Action& action);

// Prints the error and returns its exit code.
int report(const Error& error);
int report_usage(const std::string& message);

}  // namespace maskjit::cli
