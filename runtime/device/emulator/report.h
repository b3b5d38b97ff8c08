#pragma once
// What a launch gives: the first fault, if any, and exact counts.
#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace maskjit::emulator {

using Dim3 = std::array<uint32_t, 3>;

enum class FaultKind : uint8_t {
  InvalidLaunch,  // the launch itself: block too large, wrong parameters, ...
  OutOfBounds,
  Misaligned,
  UninitialisedMemory,
  UninitialisedRegister,
  ReadOnlyMemory,
  StaleRead,         // of bytes that an asynchronous copy is still about to write
  AsyncConflict,     // a write to such bytes
  Race,              // between threads, with nothing that orders them
  DivergentBarrier,  // a barrier or warp-wide instruction that part of a warp executes
  Deadlock,
  InvalidMask,     // shfl, vote, ...: an executing lane that its own mask does not name
  InvalidOperand,  // a barrier number, a branch index, a misused mbarrier
  Trap,
  StepLimit,
};
const char* name_of(FaultKind kind);  // "out of bounds", ...

struct Fault {
  FaultKind kind = FaultKind::InvalidLaunch;
  std::string message;  // what happened, without the place
  std::string kernel, function;
  uint32_t line = 0;  // of the PTX text
  std::string instruction;
  Dim3 cta{}, thread{};
  uint32_t warp = 0, lane = 0;
  std::optional<uint64_t> address;
  std::vector<std::string> notes;  // the other side of a race, who waits where, ...

  // Everything, on several lines.
  std::string render() const;
};

// Traffic of one direction between a kernel and global memory. A request is one instruction of one
// warp; sectors are 32 aligned bytes, counted once a request.
struct GlobalTraffic {
  uint64_t requests = 0;
  uint64_t sectors = 0;
  uint64_t useful_bytes = 0;  // distinct bytes of each request that some lane wants
  uint64_t lane_bytes = 0;    // what the lanes ask for, repetitions included

  uint64_t sector_bytes() const { return 32 * sectors; }
  uint64_t wasted_bytes() const { return sector_bytes() - useful_bytes; }
  GlobalTraffic& operator+=(const GlobalTraffic& other);
};

// Traffic between a kernel and shared memory. A wavefront serves each of the 32 banks once.
struct SharedTraffic {
  uint64_t requests = 0;
  uint64_t wavefronts = 0;
  uint64_t conflicts = 0;  // wavefronts beyond those that the width of the access needs
  SharedTraffic& operator+=(const SharedTraffic& other);
};

// Counts of one instruction of the text.
struct LineCounts {
  std::string function;
  uint32_t line = 0;
  std::string opcode;       // with modifiers
  uint64_t executions = 0;  // by warps, also with all lanes predicated off
  uint64_t lanes = 0;       // lanes that took part
  GlobalTraffic global;
  SharedTraffic shared;
};

struct Counts {
  uint64_t warp_instructions = 0;
  uint64_t thread_instructions = 0;
  // By class: "integer", "float", "special" (ex2, rcp, ...), "compare", "convert", "move",
  // "control", "global", "shared", "local", "param", "const", "generic", "async", "matrix", "matrix
  // memory", "warp", "barrier", "other".
  std::map<std::string, uint64_t> by_class;
  std::map<std::string, uint64_t> by_opcode;  // with modifiers
  GlobalTraffic global_loads, global_stores, global_atomics, async_copies;
  SharedTraffic shared_loads, shared_stores, shared_atomics, matrix_loads, matrix_stores,
      async_writes;
  uint64_t matrix_operations = 0;  // mma instructions
  uint64_t matrix_multiply_adds = 0;
  uint64_t barriers = 0;  // completed barriers of CTAs
  uint64_t divergent_jumps = 0;
  uint64_t ctas = 0, warps = 0;
  uint64_t shared_bytes = 0;       // of a CTA: static and dynamic
  uint64_t peak_shared_bytes = 0;  // the end of the highest byte that was accessed
  std::vector<LineCounts> lines;   // of every instruction that ran, in the order of the text

  uint64_t global_sectors() const {
    return global_loads.sectors + global_stores.sectors + global_atomics.sectors +
           async_copies.sectors;
  }
};

struct Report {
  std::optional<Fault> fault;
  Counts counts;  // up to the fault, if there is one
  bool ok() const { return !fault.has_value(); }
};

}  // namespace maskjit::emulator
