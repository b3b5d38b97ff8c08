#pragma once
// The shared memory of a CTA, and what is known of every granule of it: whether it was written, who
// wrote and read it last, and whether an asynchronous copy is still about to write it.
//
// Order between warps is kept by vector clocks. clock[v] of a warp is the latest step of warp v
// that happened before the warp's present; its own entry counts its steps and grows at everything
// that other warps may synchronise with. An access of warp v at its step s precedes what a warp
// does now if s <= clock[v]. Lanes of one warp are ordered by its steps alone: two lanes conflict
// within one step. A granule is the width of the kernel's narrowest access, so that every access
// covers whole granules.
#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "runtime/device/emulator/report.h"

namespace maskjit::emulator {

inline constexpr int kMaxWarps = 32;
using VectorClock = std::array<uint32_t, kMaxWarps>;

// Who accesses: a lane of a warp, executing the instruction `counter` (its index among all).
struct Accessor {
  uint32_t warp = 0, lane = 0;
  uint32_t counter = 0;
  uint32_t serial = 0;      // of this execution of an instruction
  bool strong = false;      // does not race with other strong accesses
  bool whole_warp = false;  // the lanes act as one (ldmatrix)
};

// What is wrong with an access, and who is on the other side.
struct SharedProblem {
  FaultKind kind;
  const char* what;
  uint64_t address = 0;
  bool has_other = false;
  uint32_t other_counter = 0, other_warp = 0, other_lane = 0;
};

class SharedMemory {
 public:
  // Everything unwritten. granule: 1, 2, 4, 8 or 16.
  void reset(uint64_t bytes, uint32_t granule, uint32_t warps, bool check_races,
             bool check_warp_races);

  uint64_t size() const { return bytes_.size(); }
  std::byte* data(uint64_t offset) { return bytes_.data() + offset; }
  bool contains(uint64_t offset, uint64_t bytes) const {
    return bytes <= bytes_.size() && offset <= bytes_.size() - bytes;
  }

  // Checks and notes accesses within bounds; the bytes are the caller's to move. For a store that
  // meets another lane's of the same instruction, `value` are the bytes that it stores.
  std::optional<SharedProblem> read(uint64_t offset, uint32_t bytes, const Accessor& who,
                                    const VectorClock& clock);
  std::optional<SharedProblem> write(uint64_t offset, uint32_t bytes, const Accessor& who,
                                     const VectorClock& clock, const std::byte* value);
  // An asynchronous copy starts; later, it lands, in the step that its lane had then.
  std::optional<SharedProblem> begin_copy(uint64_t offset, uint32_t bytes, const Accessor& who,
                                          const VectorClock& clock);
  void land_copy(uint64_t offset, uint32_t bytes, const Accessor& who, uint32_t step);
  uint64_t peak() const { return peak_; }

 private:
  struct Granule {
    uint32_t write_step = 0;  // 0: never written
    uint32_t write_serial = 0;
    uint32_t write_counter = 0;
    uint32_t read_counter = 0;  // of the latest read
    uint32_t pending_counter = 0;
    uint8_t write_warp = 0, write_lane = 0;
    uint8_t pending_warp = 0, pending_lane = 0;
    bool write_strong = false, pending = false, written = false;
  };
  static constexpr uint8_t kSeveralLanes = 255;

  std::optional<SharedProblem> check_write(uint64_t g, const Accessor& who,
                                           const VectorClock& clock, const std::byte* value);
  SharedProblem problem(FaultKind kind, const char* what, uint64_t g, uint32_t counter,
                        uint32_t warp, uint32_t lane) const;
  SharedProblem problem_with_writer(const char* what, uint64_t g) const;

  std::vector<std::byte> bytes_;
  std::vector<Granule> granules_;
  std::vector<uint32_t> read_steps_;  // [granule][warp]: step of its latest read, 0: none
  std::vector<uint8_t> read_lanes_;   // [granule][warp]
  uint32_t shift_ = 2;                // log2 of the granule
  uint32_t warps_ = 1;
  bool check_races_ = true, check_warp_races_ = true;
  uint64_t peak_ = 0;
};

}  // namespace maskjit::emulator
