#pragma once
// The state of a launch and its interpreter; private to execute_*.cpp.
//
// A warp is a set of splits, groups of lanes that are at the same place. A divergent jump makes two
// of one; they wait at the jump's join, the start of its immediate post-dominator, and go on as one
// from there. That is what the machine's compiler arranges, so that instruction counts and what
// ".aligned" instructions see are those of a device; a scheduler that always runs the lowest
// program counter would not reconverge where LLVM lays blocks out of order. Splits of a warp all
// make progress: a split that waits for lanes (shfl.sync, bar.warp.sync, barriers) gives way to the
// others.
#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "runtime/device/emulator/alu.h"
#include "runtime/device/emulator/launch.h"
#include "runtime/device/emulator/layout.h"
#include "runtime/device/emulator/program.h"
#include "runtime/device/emulator/shared_memory.h"

namespace maskjit::emulator {

enum class SplitState : uint8_t { Ready, WarpWait, BarrierWait };

struct Split {
  uint32_t pc = 0;
  uint32_t mask = 0;
  uint32_t join = kNone;  // index into Warp::joins
  uint32_t frame = 0;     // index into Warp::frames
  SplitState state = SplitState::Ready;
  uint32_t executing = 0;  // WarpWait: the lanes that the guard lets through
};

struct Join {
  uint32_t pc = 0;
  uint32_t frame = 0;
  uint32_t parent = kNone;
  uint32_t expected = 0, arrived = 0;
  bool used = false;
};

struct Frame {
  uint32_t part = 0;  // of the layout
  uint32_t parent = kNone;
  uint32_t return_pc = 0;
  uint32_t site = kNone;  // of the call, in the caller
  uint32_t lanes = 0;     // that have not returned yet
};

// A cp.async of one instruction; lanes land on their own.
struct PendingCopy {
  uint32_t counter = 0, serial = 0;
  uint32_t mask = 0;
  uint8_t bytes = 16;
  std::array<uint32_t, kLanes> to{}, group{};
  std::array<uint64_t, kLanes> from{};
  std::array<uint8_t, kLanes> size{};
};

// cp.async.mbarrier.arrive: arrives when the copies before it have landed.
struct PendingArrive {
  uint64_t barrier = 0;
  uint32_t warp = 0, mask = 0;
  uint32_t copies_before = 0;  // serial
  bool increments = true;
  VectorClock clock{};
};

struct Warp {
  uint32_t index = 0;
  uint32_t live = 0;  // lanes that exist and have not exited
  uint32_t exists = 0;
  std::vector<Split> splits;
  std::vector<Join> joins;
  std::vector<Frame> frames;
  std::byte* registers = nullptr;
  VectorClock clock{};
  std::vector<PendingCopy> copies;
  std::array<uint32_t, kLanes> groups{};  // committed by each lane
  bool done() const { return live == 0; }
};

struct CtaBarrier {
  uint32_t arrived = 0;   // threads, whole warps for aligned arrivals
  uint32_t expected = 0;  // 0: all threads
  bool counted = false;
  bool active = false;
  std::array<uint32_t, kMaxWarps> lanes{};  // that arrived, by warp
  VectorClock clock{};
  bool all = true, any = false;
  uint32_t ones = 0;
  uint32_t counter = 0;  // of the first arrival
};

// An mbarrier object in shared memory.
struct BarrierObject {
  uint32_t expected = 0;  // arrivals a phase
  int64_t pending = 0;    // arrivals still missing
  int64_t transactions = 0;
  uint64_t phase = 0;
  VectorClock arriving{}, completed{};
};

class Executor {
 public:
  Executor(const Module& module, Memory& memory, const LaunchConfig& config,
           const LaunchOptions& options, Report& report);
  void run(std::string_view kernel);

 private:
  enum class Step : uint8_t { Next, Yield, Leave };  // go on; let others run; the split is gone

  // executor.cpp: launch, CTAs, scheduling
  bool prepare(std::string_view kernel);
  bool fail_launch(std::string message);
  void fill_constants(Warp& warp);
  void fill_cta_registers(Warp& warp, Dim3 cta);
  void run_cta(Dim3 cta);
  void report_deadlock();
  void note_positions();
  void collect_counts();
  std::string place_of(uint32_t counter) const;

  // execute_control.cpp: one split of a warp, joins, calls, barriers
  void run_warp(Warp& warp, uint32_t quantum);
  void diverge(Warp& warp, uint32_t split, uint32_t taken, uint32_t target, const Instruction& in);
  Step jump_table(Warp& warp, uint32_t split, uint32_t mask, const Instruction& in);
  bool arrive_at_join(Warp& warp, uint32_t split);
  void release_join(Warp& warp, uint32_t join);
  Step call(Warp& warp, uint32_t split, uint32_t mask, const Instruction& in);
  Step leave(Warp& warp, uint32_t split, uint32_t mask, bool exits);
  void pass_results(Warp& warp, const Frame& frame, uint32_t lanes);
  void remove_split(Warp& warp, uint32_t split);
  uint32_t add_join(Warp& warp, uint32_t pc, uint32_t frame, uint32_t parent, uint32_t mask);
  Step cta_barrier(Warp& warp, uint32_t split, uint32_t mask, const Instruction& in);
  void complete_barriers();
  void complete_barrier(uint32_t number);
  bool check_registers(std::byte* registers, uint32_t pc, uint32_t whole, uint32_t mask);
  void advance_clock(Warp& warp) { ++warp.clock[warp.index]; }
  static void join_clock(VectorClock& to, const VectorClock& from);

  // execute_warp.cpp: instructions of a whole warp
  Step synchronise(Warp& warp, uint32_t split, uint32_t mask, const Instruction& in);
  bool whole_warp(Warp& warp, uint32_t mask);
  void warp_operation(Warp& warp, std::byte* registers, uint32_t executing, uint32_t members,
                      const Instruction& in);
  void multiply_matrix(std::byte* registers, const Instruction& in);
  void move_matrix(std::byte* registers, const Instruction& in);
  void clock(std::byte* registers, uint32_t mask, const Instruction& in);

  // execute_memory.cpp
  struct Addresses {
    std::array<uint64_t, kLanes> of{};
  };
  Addresses addresses(std::byte* registers, uint32_t slot, const MemoryAccess& access) const;
  bool load_store(Warp& warp, std::byte* registers, uint32_t mask, const Instruction& in);
  bool access_global(Warp& warp, std::byte* registers, uint32_t mask, const Instruction& in,
                     const MemoryAccess& access, const Addresses& at);
  bool access_shared(Warp& warp, std::byte* registers, uint32_t mask, const Instruction& in,
                     const MemoryAccess& access, const Addresses& at);
  bool access_local(Warp& warp, std::byte* registers, uint32_t mask, const Instruction& in,
                    const MemoryAccess& access, const Addresses& at, Space space);
  bool atomic(Warp& warp, std::byte* registers, uint32_t mask, const Instruction& in);
  bool matrix_memory(Warp& warp, std::byte* registers, uint32_t mask, const Instruction& in);
  std::byte* global_bytes(uint64_t address, uint32_t bytes, uint32_t lane, bool writes);
  bool check_global_reads(uint64_t address, uint32_t bytes, uint32_t lane);
  void note_global_write(uint64_t address, uint32_t bytes);
  bool shared_bounds(uint64_t address, uint32_t bytes, uint32_t lane);
  bool aligned(const Addresses& at, uint32_t mask, uint32_t bytes);
  bool shared_fault(const SharedProblem& problem, uint32_t lane, uint64_t address);
  void synchronising_access(Warp& warp, const MemoryAccess& access, uint64_t address);
  void count_global(GlobalTraffic& traffic, const Addresses& at, uint32_t mask, uint32_t bytes);
  void count_shared(SharedTraffic& traffic, const Addresses& at, uint32_t mask, uint32_t bytes);

  // execute_async.cpp
  bool copy_async(Warp& warp, std::byte* registers, uint32_t mask, const Instruction& in);
  void land_copies(Warp& warp, uint32_t mask, uint32_t groups_left, bool all);
  void land(Warp& warp, PendingCopy& copy, uint32_t mask, uint32_t step);
  Step barrier_object(Warp& warp, std::byte* registers, uint32_t mask, const Instruction& in);
  BarrierObject* object_at(uint64_t address, uint32_t lane);
  bool arrive_on(BarrierObject& object, int64_t count, uint32_t lane, uint64_t address);
  void complete_phase(BarrierObject& object);
  bool trigger_arrivals(uint64_t address, uint32_t lane);

  // Stops the launch. The place is that of the instruction being executed.
  bool fault(FaultKind kind, std::string message, uint32_t lane,
             std::optional<uint64_t> address = std::nullopt);
  void note(std::string text);
  bool faulted() const { return report_.fault.has_value(); }
  Accessor accessor(const Warp& warp, uint32_t lane, bool strong) const {
    return {warp.index, lane, counter_, serial_, strong, false};
  }

  const Module& module_;
  const Program& program_;
  Memory& memory_;
  const LaunchConfig& config_;
  const LaunchOptions& options_;
  Report& report_;

  KernelLayout layout_;
  std::vector<uint64_t> executions_, missing_lanes_;
  struct LineTraffic {
    GlobalTraffic global;
    SharedTraffic shared;
  };
  std::vector<LineTraffic> traffic_;
  std::vector<Memory::Allocation*> recent_;  // allocation that an instruction hit last

  uint32_t threads_ = 0, warps_count_ = 0;
  uint64_t shared_bytes_ = 0, frame_bytes_ = 0;
  std::vector<std::byte> registers_storage_;
  std::vector<std::byte> local_;  // [thread][frame_bytes_]
  std::vector<uint8_t> local_written_;
  std::vector<Warp> warps_;
  SharedMemory shared_;
  std::array<CtaBarrier, 16> barriers_;
  std::map<uint64_t, BarrierObject> objects_;
  std::vector<PendingArrive> arrives_;
  std::map<uint64_t, VectorClock> released_;  // by address in shared memory
  std::mt19937_64 random_;
  MultiplyFunction multiply_;

  // What is being executed, for faults.
  Dim3 cta_{};
  Warp* warp_ = nullptr;
  uint32_t part_ = 0, pc_ = 0, counter_ = 0, serial_ = 0;
  uint64_t steps_ = 0;
  bool threads_exited_ = false;
};

template <typename F>
inline void each_lane(uint32_t mask, F f) {
  for (; mask != 0; mask &= mask - 1) f(static_cast<uint32_t>(__builtin_ctz(mask)));
}

template <typename T>
inline T& lane_of(std::byte* registers, uint32_t slot, uint32_t lane) {
  return reinterpret_cast<T*>(registers + slot)[lane];
}

}  // namespace maskjit::emulator
