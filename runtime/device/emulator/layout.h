#pragma once
// Where a kernel and the functions that it calls have their registers, frames and shared variables.
#include <unordered_map>
#include <vector>

#include "runtime/device/emulator/program.h"

namespace maskjit::emulator {

struct KernelLayout {
  struct Part {
    uint32_t function;
    uint64_t registers;  // offset of its registers in a warp's register file
    uint64_t frame;      // offset of its frame in a thread's local memory
    uint64_t counters;   // index of its first instruction among all counters
  };
  std::vector<Part> functions;                     // the kernel first
  std::unordered_map<uint32_t, uint32_t> part_of;  // function -> index into functions
  std::unordered_map<uint32_t, uint64_t> shared;   // variable -> offset
  uint64_t register_bytes = 0, local_bytes = 0, counters = 0;
  uint64_t static_shared_bytes = 0;  // dynamic shared memory begins here
  uint32_t shared_granule = 16;
};

KernelLayout lay_out(const Program& program, uint32_t kernel);

}  // namespace maskjit::emulator
