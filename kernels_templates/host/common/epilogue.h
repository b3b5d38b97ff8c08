#pragma once
// Writes the results of one row from its unnormalised sum of values, base-2 maximum and
// denominator.
#include "kernels_templates/host/common/row_block.h"
#include "kernels_templates/host/common/softmax.h"

namespace mj {

// `sums` holds mj_head_dim_v values. `reported` is the base-2 maximum that numerator and
// denominator are relative to (m itself unless row_max_over_all).
MJ_OUTLINE void write_row(const MjAttentionArgs* args, const RowBlock& block, int row,
                          const float* sums, float m, float l, float reported) {
  const int32_t head = block.head_of(row);
  const int64_t query = block.query_of(row);
  const bool empty = m == kNegativeInfinity;
  const float inverse = empty ? 0.0f : 1.0f / l;
  void* out = const_cast<void*>(row_of(args->output, mj_element, block.batch, head, query));
  if (args->output.data != nullptr) {
#pragma clang loop vectorize(assume_safety)
    for (int d = 0; d < mj_head_dim_v; ++d) {
      store_element(out, d, empty ? 0.0f : sums[d] * inverse, mj_element);
    }
  }
  const float rescale = empty ? 0.0f : exp2_scalar(m - exponent_base(reported));
  if (args->numerator.data != nullptr) {
    float* numerator = static_cast<float*>(
        const_cast<void*>(row_of(args->numerator, MJ_F32, block.batch, head, query)));
    for (int d = 0; d < mj_head_dim_v; ++d) numerator[d] = empty ? 0.0f : sums[d] * rescale;
  }
  const int64_t index = result_index(args, block, row);
  if (args->lse != nullptr) args->lse[index] = log_sum_exp(m, l);
  if (args->row_max != nullptr) args->row_max[index] = reported * kLn2;
  if (args->denominator != nullptr) args->denominator[index] = empty ? 0.0f : l * rescale;
}

}  // namespace mj
