// ldmatrix and stmatrix.
#include <fmt/format.h>

#include <bit>
#include <cstring>

#include "runtime/device/emulator/executor.h"
#include "runtime/device/emulator/generic_address.h"

namespace maskjit::emulator {

// Matrix i takes the addresses of its 8 rows from lanes 8 i to 8 i + 7. Lane 4 r + c holds elements
// 2 c and 2 c + 1 of row r, or with .trans of column r.
bool Executor::matrix_memory(Warp& warp, std::byte* registers, uint32_t mask,
                             const Instruction& in) {
  if (!whole_warp(warp, mask)) return false;
  const Function& function = program_.functions[layout_.functions[part_].function];
  const MemoryAccess& access = function.accesses[in.detail];
  const uint32_t* slots = function.lists.data() + in.list;
  const bool is_load = in.kind == Kind::LoadMatrix;
  Addresses at = addresses(registers, in.operands[0], access);
  const uint32_t rows = 8u * access.count;
  const uint32_t used = rows == kLanes ? kAllLanes : (1u << rows) - 1;
  for (uint32_t lane = 0; lane < rows; ++lane) {
    if (access.space == Space::Generic) {
      if (space_of(at.of[lane]) != Space::Shared)
        return fault(FaultKind::OutOfBounds, "a row that is not in shared memory", lane,
                     at.of[lane]);
      at.of[lane] -= kSharedWindow;
    }
    if (!shared_bounds(at.of[lane], 16, lane)) return false;
  }
  if (!aligned(at, used, 16)) return false;
  SharedTraffic& traffic = traffic_[counter_].shared;
  const uint64_t requests = traffic.requests;
  count_shared(traffic, at, used, 16);
  traffic.requests = requests + 1;
  for (uint32_t m = 0; m < access.count; ++m) {
    uint16_t tile[8][8];
    if (is_load) {
      for (uint32_t row = 0; row < 8; ++row) {
        const uint32_t lane = 8 * m + row;
        Accessor who = accessor(warp, lane, false);
        who.whole_warp = true;
        if (const auto problem = shared_.read(at.of[lane], 16, who, warp.clock))
          return shared_fault(*problem, lane, at.of[lane]);
        std::memcpy(tile[row], shared_.data(at.of[lane]), 16);
      }
      if (slots[m] == kNone) continue;
      auto* to = reinterpret_cast<uint32_t*>(registers + slots[m]);
      if (!access.transposed) {
        std::memcpy(to, tile, sizeof(tile));  // four lanes a row
        continue;
      }
      for (uint32_t r = 0; r < 8; ++r) {
        for (uint32_t c = 0; c < 4; ++c)
          to[4 * r + c] = tile[2 * c][r] | uint32_t{tile[2 * c + 1][r]} << 16;
      }
    } else {
      const auto* from = reinterpret_cast<const uint32_t*>(registers + slots[m]);
      for (uint32_t lane = 0; lane < kLanes; ++lane) {
        const uint32_t r = lane / 4, c = 2 * (lane % 4);
        (access.transposed ? tile[c][r] : tile[r][c]) = static_cast<uint16_t>(from[lane]);
        (access.transposed ? tile[c + 1][r] : tile[r][c + 1]) =
            static_cast<uint16_t>(from[lane] >> 16);
      }
      for (uint32_t row = 0; row < 8; ++row) {
        const uint32_t lane = 8 * m + row;
        Accessor who = accessor(warp, 255, false);
        if (const auto problem = shared_.write(at.of[lane], 16, who, warp.clock,
                                               reinterpret_cast<const std::byte*>(tile[row])))
          return shared_fault(*problem, lane, at.of[lane]);
        std::memcpy(shared_.data(at.of[lane]), tile[row], 16);
      }
    }
  }
  return true;
}

}  // namespace maskjit::emulator
