// Instructions that lanes of a warp execute together.
#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstring>

#include "runtime/device/emulator/executor.h"

namespace maskjit::emulator {
namespace {

// The operand that names the participating lanes.
int mask_operand(Kind kind) {
  switch (kind) {
    case Kind::WarpBarrier:
      return 0;
    case Kind::Shuffle:
      return 5;
    case Kind::Vote:
      return 2;
    case Kind::Match:
      return 3;
    case Kind::WarpReduce:
      return 2;
    default:
      return 2;  // Elect
  }
}

uint32_t* predicate_at(std::byte* registers, uint32_t slot) {
  return reinterpret_cast<uint32_t*>(registers + slot);
}

void put_predicate(std::byte* registers, uint32_t slot, uint32_t lanes, uint32_t value) {
  if (slot == kNone) return;
  uint32_t* to = predicate_at(registers, slot);
  *to = (*to & ~lanes) | (value & lanes);
}

}  // namespace

// All 32 lanes have to execute an .aligned instruction of the warp together.
bool Executor::whole_warp(Warp& warp, uint32_t mask) {
  if (mask == kAllLanes) return true;
  return fault(
      FaultKind::DivergentBarrier,
      fmt::format("only lanes {:#010x} of the warp execute this, and it takes all 32{}", mask,
                  warp.exists != kAllLanes ? " (the block does not fill the warp)"
                  : warp.live != kAllLanes ? " (some have exited)"
                                           : ""),
      static_cast<uint32_t>(std::countr_zero(mask)));
}

// shfl.sync and its like wait for the lanes of their masks, which may be in other splits.
Executor::Step Executor::synchronise(Warp& warp, uint32_t split, uint32_t mask,
                                     const Instruction& in) {
  std::byte* registers = warp.registers + layout_.functions[part_].registers;
  const uint32_t slot = in.operands[mask_operand(in.kind)];
  const auto members_of = [&](uint32_t lane) { return lane_of<uint32_t>(registers, slot, lane); };
  uint32_t stray = 0;
  each_lane(mask, [&](uint32_t lane) {
    if ((members_of(lane) >> lane & 1) == 0) stray |= 1u << lane;
  });
  if (stray != 0) {
    const auto lane = static_cast<uint32_t>(std::countr_zero(stray));
    fault(FaultKind::InvalidMask,
          fmt::format("lane {} executes this with the mask {:#010x}, which does not name it", lane,
                      members_of(lane)),
          lane);
    return Step::Leave;
  }
  // Lanes that are here: of this split and of those that wait at the same instruction.
  uint32_t here = mask;
  const uint32_t frame = warp.splits[split].frame;
  for (uint32_t i = 0; i < warp.splits.size(); ++i) {
    const Split& other = warp.splits[i];
    if (i != split && other.state == SplitState::WarpWait && other.pc == pc_ &&
        other.frame == frame)
      here |= other.executing;
  }
  uint32_t missing = 0;
  each_lane(mask, [&](uint32_t lane) { missing |= members_of(lane) & warp.live & ~here; });
  if (missing != 0) {
    // A lane that is in this very split, but that the guard keeps out, will never come.
    const uint32_t guarded_out = missing & warp.splits[split].mask;
    if (guarded_out != 0) {
      fault(FaultKind::InvalidMask,
            fmt::format("the mask names lanes {:#010x}, whose guard keeps them from executing this",
                        guarded_out),
            static_cast<uint32_t>(std::countr_zero(mask)));
      return Step::Leave;
    }
    warp.splits[split].state = SplitState::WarpWait;
    warp.splits[split].executing = mask;
    return Step::Yield;
  }
  // The groups of equal masks that are complete now.
  uint32_t left = here;
  uint32_t finished = 0;
  while (left != 0) {
    const uint32_t members = members_of(static_cast<uint32_t>(std::countr_zero(left)));
    uint32_t group = 0;
    each_lane(left, [&](uint32_t lane) {
      if (members_of(lane) == members) group |= 1u << lane;
    });
    left &= ~group;
    if ((members & warp.live & ~here) != 0) continue;  // waits on
    if ((members & warp.live & ~group) != 0) {
      const auto lane = static_cast<uint32_t>(std::countr_zero(members & warp.live & ~group));
      fault(FaultKind::InvalidMask,
            fmt::format("lanes {:#010x} name the mask {:#010x}, but lane {} of it names {:#010x}",
                        group, members, lane, members_of(lane)),
            static_cast<uint32_t>(std::countr_zero(group)));
      return Step::Leave;
    }
    if (in.kind == Kind::WarpBarrier) {
      advance_clock(warp);
    } else {
      warp_operation(warp, registers, group, members, in);
      if (faulted()) return Step::Leave;
    }
    finished |= group;
  }
  for (uint32_t i = 0; i < warp.splits.size(); ++i) {
    Split& other = warp.splits[i];
    const bool waits =
        other.state == SplitState::WarpWait && other.pc == pc_ && other.frame == frame;
    if (i != split && !(waits && (other.executing & ~finished) == 0)) continue;
    other.state = SplitState::Ready;
    ++other.pc;
  }
  return Step::Next;
}

void Executor::warp_operation(Warp& warp, std::byte* registers, uint32_t executing,
                              uint32_t members, const Instruction& in) {
  const auto first = static_cast<uint32_t>(std::countr_zero(executing));
  switch (in.kind) {
    case Kind::Shuffle: {
      // operands: result, predicate, value, lane or distance, clamp and segment, mask
      std::array<uint32_t, kLanes> from{}, result{};
      std::memcpy(from.data(), registers + in.operands[2], sizeof(from));
      uint32_t valid = 0;
      uint32_t unread = kNone, source = 0;
      each_lane(executing, [&](uint32_t lane) {
        const uint32_t b = lane_of<uint32_t>(registers, in.operands[3], lane) & 31;
        const uint32_t c = lane_of<uint32_t>(registers, in.operands[4], lane);
        const uint32_t clamp = c & 31, segment = c >> 8 & 31;
        const uint32_t low = lane & segment;
        const uint32_t high = low | (clamp & ~segment);
        int64_t j = lane;
        bool in_range = false;
        switch (static_cast<ShuffleMode>(in.immediate)) {
          case ShuffleMode::Up:
            j = int64_t{lane} - b;
            in_range = j >= int64_t{high};
            break;
          case ShuffleMode::Down:
            j = int64_t{lane} + b;
            in_range = j <= int64_t{high};
            break;
          case ShuffleMode::Butterfly:
            j = lane ^ b;
            in_range = j <= int64_t{high};
            break;
          case ShuffleMode::Index:
            j = low | (b & ~segment);
            in_range = j <= int64_t{high};
            break;
        }
        const uint32_t read = in_range ? static_cast<uint32_t>(j) : lane;
        if ((executing >> read & 1) == 0 && unread == kNone) {
          unread = lane;
          source = read;
        }
        result[lane] = from[read];
        valid |= in_range ? 1u << lane : 0;
      });
      if (unread != kNone) {
        fault(
            FaultKind::InvalidMask,
            fmt::format("reads lane {}, which does not take part (mask {:#010x})", source, members),
            unread);
        return;
      }
      if (in.operands[0] != kNone)
        each_lane(executing, [&](uint32_t lane) {
          lane_of<uint32_t>(registers, in.operands[0], lane) = result[lane];
        });
      put_predicate(registers, in.operands[1], executing, valid);
      return;
    }
    case Kind::Vote: {
      uint32_t predicate = *predicate_at(registers, in.operands[1]);
      if (in.modes.negate_combined) predicate = ~predicate;
      predicate &= executing;
      if (in.operands[0] == kNone) return;
      bool value = false;
      switch (static_cast<VoteMode>(in.immediate)) {
        case VoteMode::All:
          value = predicate == executing;
          break;
        case VoteMode::Any:
          value = predicate != 0;
          break;
        case VoteMode::Uniform:
          value = predicate == 0 || predicate == executing;
          break;
        case VoteMode::Ballot:
          each_lane(executing, [&](uint32_t lane) {
            lane_of<uint32_t>(registers, in.operands[0], lane) = predicate;
          });
          return;
      }
      return put_predicate(registers, in.operands[0], executing, value ? executing : 0);
    }
    case Kind::Match: {
      const auto value = [&](uint32_t lane) {
        return in.type == ScalarType::B64 ? lane_of<uint64_t>(registers, in.operands[2], lane)
                                          : lane_of<uint32_t>(registers, in.operands[2], lane);
      };
      std::array<uint32_t, kLanes> same{};
      each_lane(executing, [&](uint32_t lane) {
        each_lane(executing, [&](uint32_t other) {
          if (value(other) == value(lane)) same[lane] |= 1u << other;
        });
      });
      const bool all_equal = same[first] == executing;
      if (in.operands[0] != kNone)
        each_lane(executing, [&](uint32_t lane) {
          lane_of<uint32_t>(registers, in.operands[0], lane) = in.immediate == 0 ? same[lane]
                                                               : all_equal       ? executing
                                                                                 : 0;
        });
      if (in.immediate != 0)
        put_predicate(registers, in.operands[1], executing, all_equal ? executing : 0);
      return;
    }
    case Kind::WarpReduce: {
      uint32_t sum = lane_of<uint32_t>(registers, in.operands[1], first);
      const bool is_s32 = in.type == ScalarType::S32;
      each_lane(executing & (executing - 1), [&](uint32_t lane) {
        const uint32_t x = lane_of<uint32_t>(registers, in.operands[1], lane);
        const bool less = is_s32 ? static_cast<int32_t>(x) < static_cast<int32_t>(sum) : x < sum;
        switch (in.immediate) {
          case 0:
            sum += x;
            break;
          case 1:
            sum = less ? x : sum;
            break;
          case 2:
            sum = less ? sum : x;
            break;
          case 3:
            sum &= x;
            break;
          case 4:
            sum |= x;
            break;
          default:
            sum ^= x;
            break;
        }
      });
      if (in.operands[0] != kNone)
        each_lane(executing,
                  [&](uint32_t lane) { lane_of<uint32_t>(registers, in.operands[0], lane) = sum; });
      return;
    }
    default: {  // Elect: the lowest lane
      if (in.operands[0] != kNone)
        each_lane(executing, [&](uint32_t lane) {
          lane_of<uint32_t>(registers, in.operands[0], lane) = first;
        });
      return put_predicate(registers, in.operands[1], executing, 1u << first);
    }
  }
}

void Executor::clock(std::byte* registers, uint32_t mask, const Instruction& in) {
  if (in.operands[0] == kNone) return;
  each_lane(mask, [&](uint32_t lane) {
    if (in.type == ScalarType::B64) {
      lane_of<uint64_t>(registers, in.operands[0], lane) = steps_;
    } else {
      lane_of<uint32_t>(registers, in.operands[0], lane) =
          static_cast<uint32_t>(steps_ >> in.immediate);
    }
  });
}

// Row i of the result is column i of the operand.
void Executor::move_matrix(std::byte* registers, const Instruction& in) {
  std::array<uint32_t, kLanes> from{}, to{};
  std::memcpy(from.data(), registers + in.operands[1], sizeof(from));
  const auto element = [&](uint32_t row, uint32_t column) {
    return from[4 * row + column / 2] >> (16 * (column % 2)) & 0xFFFF;
  };
  for (uint32_t lane = 0; lane < kLanes; ++lane) {
    const uint32_t row = lane / 4, column = 2 * (lane % 4);
    to[lane] = element(column, row) | element(column + 1, row) << 16;
  }
  if (in.operands[0] != kNone) std::memcpy(registers + in.operands[0], to.data(), sizeof(to));
}

// The fragments of alu.inc, with four elements a register.
void Executor::multiply_matrix(std::byte* registers, const Instruction& in) {
  const Function& function = program_.functions[layout_.functions[part_].function];
  const MatrixShape& shape = function.matrices[in.detail];
  const uint32_t* d = function.lists.data() + in.list;
  if (!shape.integer) return multiply_(registers, shape, d);
  const uint32_t* a = d + shape.c_registers;
  const uint32_t* b = a + shape.a_registers;
  const uint32_t* c = b + shape.b_registers;
  const auto word = [&](uint32_t slot, uint32_t lane) {
    return reinterpret_cast<const uint32_t*>(registers + slot)[lane];
  };
  const uint32_t k = shape.k;
  std::array<int32_t, 16 * 32> left{};
  std::array<int32_t, 32 * 8> right{};
  const auto byte = [](uint32_t bits, uint32_t i, MatrixType type) {
    const auto value = static_cast<uint8_t>(bits >> (8 * i));
    return type == MatrixType::S8 ? static_cast<int32_t>(static_cast<int8_t>(value))
                                  : static_cast<int32_t>(value);
  };
  for (uint32_t lane = 0; lane < kLanes; ++lane) {
    const uint32_t group = lane / 4, member = lane % 4;
    for (uint32_t r = 0; r < shape.a_registers; ++r) {
      for (uint32_t i = 0; i < 4; ++i)
        left[(group + 8 * (r % 2)) * k + 16 * (r / 2) + 4 * member + i] =
            byte(word(a[r], lane), i, shape.a);
    }
    for (uint32_t r = 0; r < shape.b_registers; ++r) {
      for (uint32_t i = 0; i < 4; ++i)
        right[(16 * r + 4 * member + i) * 8 + group] = byte(word(b[r], lane), i, shape.b);
    }
  }
  std::array<std::array<uint32_t, kLanes>, 4> result{};
  for (uint32_t lane = 0; lane < kLanes; ++lane) {
    for (uint32_t r = 0; r < 4; ++r) {
      const uint32_t row = lane / 4 + 8 * (r / 2), column = 2 * (lane % 4) + r % 2;
      int64_t sum = static_cast<int32_t>(word(c[r], lane));
      for (uint32_t i = 0; i < k; ++i) sum += left[row * k + i] * right[i * 8 + column];
      if (shape.saturate) sum = std::clamp<int64_t>(sum, INT32_MIN, INT32_MAX);
      result[r][lane] = static_cast<uint32_t>(sum);
    }
  }
  for (uint32_t r = 0; r < 4; ++r) {
    if (d[r] != kNone) std::memcpy(registers + d[r], result[r].data(), sizeof(result[r]));
  }
}

}  // namespace maskjit::emulator
