#pragma once
// Sets of keys as bits, by groups of 128 keys a warp; votes, sums and scans over warps and blocks.
#include "kernels_templates/include/select_abi.h"
#include "kernels_templates/nvptx/common/device.h"

namespace mj {

constexpr int kSelectWarps = mj_select_threads / kWarp;
constexpr int kGroupWords = mj_select_group / 32;

MJ_INLINE int lane_index() { return thread_index() % kWarp; }
MJ_INLINE int warp_index() { return thread_index() / kWarp; }
MJ_INLINE uint32_t vote(bool holds) { return __nvvm_vote_ballot_sync(0xFFFFFFFFu, holds); }
MJ_INLINE bool has_bit(uint32_t word, int bit) { return (word >> bit & 1) != 0; }

MJ_INLINE Words4 load_group(const uint32_t* set, int group) {
  return reinterpret_cast<const Words4*>(set)[group];
}
// By one lane of the warp whose group it is.
MJ_INLINE void store_group(uint32_t* set, int group, Words4 bits) {
  if (lane_index() == 0) reinterpret_cast<Words4*>(set)[group] = bits;
}
MJ_INLINE bool is_empty_group(Words4 bits) { return (bits.x | bits.y | bits.z | bits.w) == 0; }
MJ_INLINE int count_group(Words4 bits) {
  return __builtin_popcount(bits.x) + __builtin_popcount(bits.y) + __builtin_popcount(bits.z) +
         __builtin_popcount(bits.w);
}

template <typename T>
MJ_INLINE T shuffle_xor_of(T v, int lanes) {
  if constexpr (sizeof(T) == 4) {
    return __builtin_bit_cast(
        T, __nvvm_shfl_sync_bfly_i32(0xFFFFFFFFu, __builtin_bit_cast(int, v), lanes, 31));
  } else {
    const uint64_t bits = __builtin_bit_cast(uint64_t, v);
    const int low = __nvvm_shfl_sync_bfly_i32(0xFFFFFFFFu, static_cast<int>(bits), lanes, 31);
    const int high =
        __nvvm_shfl_sync_bfly_i32(0xFFFFFFFFu, static_cast<int>(bits >> 32), lanes, 31);
    return __builtin_bit_cast(T, static_cast<uint64_t>(static_cast<uint32_t>(low)) |
                                     static_cast<uint64_t>(static_cast<uint32_t>(high)) << 32);
  }
}

// Combines a value of every thread, in an order that is always the same. `scratch`: shared memory
// of the block, 8 bytes a warp; it may be used again when this returns.
template <typename T, typename Combine>
MJ_INLINE T reduce_block(T v, uint32_t scratch, const Combine& combine) {
  MJ_UNROLL
  for (int lanes = 16; lanes > 0; lanes >>= 1) v = combine(v, shuffle_xor_of(v, lanes));
  if (lane_index() == 0) store_shared<T>(scratch + static_cast<uint32_t>(warp_index() * 8), v);
  sync_threads();
  v = load_shared<T>(scratch);
  MJ_ROLL
  for (int w = 1; w < kSelectWarps; ++w)
    v = combine(v, load_shared<T>(scratch + static_cast<uint32_t>(w * 8)));
  sync_threads();
  return v;
}
template <typename T>
MJ_INLINE T sum_of_block(T v, uint32_t scratch) {
  return reduce_block(v, scratch, [](T a, T b) __attribute__((always_inline)) { return a + b; });
}
MJ_INLINE float maximum_of_block(float v, uint32_t scratch) {
  return reduce_block(v, scratch, [](float a, float b) __attribute__((always_inline)) {
    return __builtin_fmaxf(a, b);
  });
}

// The sum over the lanes before this one.
template <typename T>
MJ_INLINE T sum_before(T v) {
  T sum = v;
  MJ_UNROLL
  for (int lanes = 1; lanes < kWarp; lanes <<= 1) {
    T other;
    if constexpr (sizeof(T) == 4) {
      other = static_cast<T>(shuffle_up(static_cast<int>(sum), lanes));
    } else {
      const auto low = static_cast<uint32_t>(shuffle_up(static_cast<int>(sum), lanes));
      const auto high = static_cast<uint32_t>(shuffle_up(static_cast<int>(sum >> 32), lanes));
      other = static_cast<T>(low) | static_cast<T>(high) << 32;
    }
    if (lane_index() >= lanes) sum += other;
  }
  return sum - v;
}

// visit(group) for the groups of this warp.
template <typename Visit>
MJ_INLINE void for_each_group(int groups, const Visit& visit) {
  MJ_ROLL
  for (int group = warp_index(); group < groups; group += kSelectWarps) visit(group);
}

}  // namespace mj
