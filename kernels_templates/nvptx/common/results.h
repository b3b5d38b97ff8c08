#pragma once
// The results of one row in global memory.
#include "kernels_templates/nvptx/common/operands.h"

namespace mj {

// Nothing to divide: no active key, or dropout left none. (A row without a maximum may be NaN.)
MJ_INLINE bool is_empty(float total) { return total == 0.0f; }

MJ_INLINE int64_t row_index(const MjAttentionArgs* args, int batch, int head, int query) {
  return (static_cast<int64_t>(batch) * args->num_heads + head) * args->q_len + query;
}

// lse, row maximum and denominator of a row whose maximum is in the base-2 domain. The maximum that
// is reported may be another one; `rescale` = 2^(maximum - reported).
MJ_INLINE void write_row_scalars(const MjAttentionArgs* args, int64_t row, float maximum,
                                 float total, float reported, float rescale) {
  if (args->lse != nullptr) {
    args->lse[row] = is_empty(total) ? kNegativeInfinity : (maximum + log2_approx(total)) * kLn2;
  }
  if (args->row_max != nullptr) args->row_max[row] = reported * kLn2;
  if (args->denominator != nullptr)
    args->denominator[row] = is_empty(total) ? 0.0f : total * rescale;
}

// One column of output and numerator; `inverse` is 1 / total, `rescale` as above, both 0 for an
// empty row.
MJ_INLINE void write_column(const MjAttentionArgs* args, int batch, int head, int query, int column,
                            float sum, float inverse, float rescale) {
  // Sums of an empty row may be anything, NaN included.
  const bool empty = inverse == 0.0f;
  if (args->output.data != nullptr) {
    store_element(const_cast<char*>(row_of(args->output, mj_element, batch, head, query)), column,
                  empty ? 0.0f : sum * inverse, mj_element);
  }
  if (args->numerator.data != nullptr) {
    reinterpret_cast<float*>(const_cast<char*>(row_of(
        args->numerator, MJ_F32, batch, head, query)))[column] = empty ? 0.0f : sum * rescale;
  }
}

}  // namespace mj
