// Blocked attention under a static mask.
#include "kernels_templates/nvptx/attention_forward/forward.h"

namespace mj {
namespace {

// Tiles that the mask does not exclude.
struct MaskedTiles {
  const MjAttentionArgs* args;
  QueryBlock block;
  KeyTiles tiles;

  static MJ_MEMBER bool weighs() { return mj_weighted != 0; }
  MJ_MEMBER int next(int tile, int* found) const {
    return next_tile(args, block, tiles, tile, kNoTile, found);
  }
  template <typename RowOf>
  MJ_MEMBER void finish(int found, bool raw, WarpTile part, int lane, int k_begin, RowOf row,
                        Scores& s, Adjustment& adjustment) const {
    if (!raw) apply_score(args, block, part, lane, k_begin, row, s);
    if (found == 1) apply_mask(args, block, part, lane, k_begin, row, s);
    find_adjustment(args, block, part, lane, k_begin, row, adjustment);
  }
};

}  // namespace
}  // namespace mj

extern "C" MJ_KERNEL void mj_attention(const MjDeviceArgs device_args) {
  using namespace mj;
  const MjAttentionArgs* args = &device_args.attention;
  const auto all_queries = [&]() __attribute__((always_inline)) {
    return QueryRange{0, static_cast<int>(args->q_len)};
  };
  run_forward<MaskedTiles>(args, all_queries,
                           [&](const QueryBlock& block) __attribute__((always_inline)) {
                             return MaskedTiles{args, block, key_tiles(args, block)};
                           });
}
