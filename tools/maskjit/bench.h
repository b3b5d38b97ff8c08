#pragma once
#include "tools/maskjit/command.h"

namespace maskjit::cli {

// "bench compile" and the hidden command that its fresh processes execute.
void add_bench_compile(CLI::App& bench, Action& action);

}  // namespace maskjit::cli
