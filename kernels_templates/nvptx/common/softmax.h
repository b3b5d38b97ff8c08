#pragma once
// Online softmax of a warp's rows, in the base-2 domain.
#include "kernels_templates/nvptx/common/adjust.h"

namespace mj {

// Of each of a lane's rows: the maximum so far, and this lane's part of the denominator.
struct RowState {
  float maximum[kMaxRowTiles][2], total[kMaxRowTiles][2];
};

MJ_INLINE void start(WarpTile tile, RowState& state, Sums& o) {
  MJ_UNROLL
  for (int m = 0; m < tile.rows; ++m) {
    MJ_UNROLL
    for (int r = 0; r < 2; ++r) {
      state.maximum[m][r] = kNegativeInfinity;
      state.total[m][r] = 0.0f;
    }
    MJ_UNROLL
    for (int n = 0; n < padded(mj_head_dim_v) / 8; ++n) {
      MJ_UNROLL
      for (int e = 0; e < 4; ++e) o[m][n][e] = 0.0f;
    }
  }
}

// s becomes 2^(factor s - maximum), adjusted by weights, if it is `weighted`, and dropout; o and
// the state are rescaled.
MJ_INLINE void softmax(const MjAttentionArgs* args, bool weighted, WarpTile tile, float factor,
                       const Adjustment& adjustment, Scores& s, Sums& o, RowState& state) {
  MJ_UNROLL
  for (int m = 0; m < tile.rows; ++m) {
    MJ_UNROLL
    for (int r = 0; r < 2; ++r) {
      float largest = kNegativeInfinity;
      MJ_UNROLL
      for (int n = 0; n < tile.keys; ++n) {
        largest = __builtin_fmaxf(largest, s[m][n][2 * r]);
        largest = __builtin_fmaxf(largest, s[m][n][2 * r + 1]);
      }
      largest = __builtin_fmaxf(largest, shuffle_xor(largest, 1));
      largest = __builtin_fmaxf(largest, shuffle_xor(largest, 2));
      const float updated = __builtin_fmaxf(state.maximum[m][r], largest * factor);
      const float base = updated == kNegativeInfinity ? 0.0f : updated;
      const float rescale = exp2_approx(state.maximum[m][r] - base);
      state.maximum[m][r] = updated;
      float sum = state.total[m][r] * rescale;
      MJ_UNROLL
      for (int n = 0; n < tile.keys; ++n) {
        MJ_UNROLL
        for (int c = 0; c < 2; ++c) {
          const int e = 2 * r + c;
          float& x = s[m][n][e];
          x = exp2_approx(__builtin_fmaf(x, factor, -base));
          adjust(weighted, weighted ? adjustment.inverse[m][n * 4 + e] : 1.0f,
                 mj_dropout == MJ_NO_DROPOUT || (adjustment.kept[m] >> (n * 4 + e) & 1) != 0,
                 args->dropout_scale, x, sum);
        }
      }
      state.total[m][r] = sum;
      MJ_UNROLL
      for (int n = 0; n < padded(mj_head_dim_v) / 8; ++n) {
        o[m][n][2 * r] *= rescale;
        o[m][n][2 * r + 1] *= rescale;
      }
    }
  }
}

}  // namespace mj
