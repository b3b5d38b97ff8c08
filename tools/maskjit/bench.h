#pragma once
#include "tools/maskjit/command.h"

namespace maskjit::cli {

// "bench compile" and the hidden command that its fresh processes execute.
extern const Subcommand kBenchCompile;

}  // namespace maskjit::cli
