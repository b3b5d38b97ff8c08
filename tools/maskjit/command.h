#pragma once
// A subcommand is one file with a Subcommand: when the command line names it, it declares its
// options, and when it is parsed, it sets the action that main runs. Actions print results on
// stdout, everything else on stderr, and return an exit code.
#include <CLI/App.hpp>
#include <functional>
#include <string>
#include <string_view>

#include "runtime/api/result.h"

namespace maskjit::cli {

inline constexpr int kOk = 0;
inline constexpr int kInvalidInput = 1;  // what the user gave is wrong: spec, shapes, files
inline constexpr int kUsage = 2;         // the command line is wrong
inline constexpr int kInternal = 3;      // a bug of maskjit

using Action = std::function<int()>;

struct Subcommand {
  const char* name;
  const char* description;
  // `next` is the word that follows the name, if any.
  void (*declare)(CLI::App& command, std::string_view next, Action& action);
};
extern const Subcommand kCheck, kFmt, kShow, kExplain, kCompile, kRun, kBench, kProfile, kPack,
    kInfo, kCache;

// Prints the error and returns its exit code.
int report(const Error& error);
int report_usage(const std::string& message);

}  // namespace maskjit::cli
