#pragma once

namespace maskjit::codegen {

// Runs the constructors of LLVM's globals in programs that were linked to put that off
// (maskjit_start_without_llvm in CMake); once a process, and nothing in others. Before any use of
// LLVM that reaches a pass, a target or an option. Thread-safe.
void start_llvm();

}  // namespace maskjit::codegen
