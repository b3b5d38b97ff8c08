#pragma once
// How the blocked device kernels lay out shared memory: templates address it by these functions,
// and codegen knows its size by the same ones. Sizes are bytes.
#include <stdint.h>

namespace mj {

#define MJ_LAYOUT static inline constexpr __attribute__((always_inline))

// `single`: elements of 32 bits, else of 16. Columns of a product's inner dimension, and of its
// result, are padded to the instruction's.
MJ_LAYOUT int padded_columns(int columns, bool single) {
  const int multiple = single ? 8 : 16;
  return (columns + multiple - 1) / multiple * multiple;
}

// From one row of a tile to the next: 16 bytes more than its columns, which keeps ldmatrix and
// 32-bit accesses free of bank conflicts for any number of columns.
MJ_LAYOUT int tile_pitch(int columns, bool single) {
  return padded_columns(columns, single) * (single ? 4 : 2) + 16;
}

// nvptx/attention_forward: queries (later the results), keys, values.
MJ_LAYOUT int forward_query_pitch(int head_dim, int head_dim_v, bool single) {
  const int wider = head_dim > head_dim_v ? head_dim : head_dim_v;
  return tile_pitch(wider, single);
}
MJ_LAYOUT int forward_shared_bytes(int tile_q, int tile_k, int head_dim, int head_dim_v,
                                   bool single) {
  return tile_q * forward_query_pitch(head_dim, head_dim_v, single) +
         tile_k * (tile_pitch(head_dim, single) + tile_pitch(head_dim_v, single));
}

// nvptx/attention_decode: queries, then for each warp its stages, each the keys and the values of
// one tile; in the end, in their place, what each warp computed.
enum { kDecodeRows = 16, kDecodeKeys = 16, kMaxDecodeStages = 4 };

MJ_LAYOUT int decode_stage_bytes(int head_dim, int head_dim_v, bool single) {
  return kDecodeKeys * (tile_pitch(head_dim, single) + tile_pitch(head_dim_v, single));
}
// Four warps where two stages of each fit in 88 KiB, which leaves room on every device.
MJ_LAYOUT int decode_warps(int head_dim, int head_dim_v, bool single) {
  const int pairs = (88 << 10) / (2 * decode_stage_bytes(head_dim, head_dim_v, single));
  return pairs >= 4 ? 4 : pairs >= 2 ? 2 : 1;
}
MJ_LAYOUT int decode_stages(int head_dim, int head_dim_v, bool single) {
  const int of_all_warps =
      decode_stage_bytes(head_dim, head_dim_v, single) * decode_warps(head_dim, head_dim_v, single);
  const int stages = (88 << 10) / of_all_warps;
  return stages < kMaxDecodeStages ? stages : static_cast<int>(kMaxDecodeStages);
}
// Floats from one row of a warp's sums to the next: 8 banks further.
MJ_LAYOUT int decode_part_pitch(int head_dim_v, bool single) {
  return (padded_columns(head_dim_v, single) + 31) / 32 * 32 + 8;
}
// Bytes of all sums, and of the maximum and denominator of each row of each warp and of the block.
MJ_LAYOUT int decode_sums_bytes(int head_dim_v, bool single, int warps) {
  return warps * kDecodeRows * decode_part_pitch(head_dim_v, single) * 4;
}
MJ_LAYOUT int decode_parts_bytes(int head_dim_v, bool single, int warps) {
  return decode_sums_bytes(head_dim_v, single, warps) + (warps + 1) * kDecodeRows * 8;
}
MJ_LAYOUT int decode_shared_bytes(int head_dim, int head_dim_v, bool single) {
  const int warps = decode_warps(head_dim, head_dim_v, single);
  const int stages = warps * decode_stages(head_dim, head_dim_v, single) *
                     decode_stage_bytes(head_dim, head_dim_v, single);
  const int parts = decode_parts_bytes(head_dim_v, single, warps);
  return kDecodeRows * tile_pitch(head_dim, single) + (stages > parts ? stages : parts);
}
// Floats that a split leaves for a row in the workspace: sums, then maximum and denominator.
MJ_LAYOUT int decode_record_floats(int head_dim_v) { return (head_dim_v + 3) / 4 * 4 + 4; }

#undef MJ_LAYOUT

}  // namespace mj
