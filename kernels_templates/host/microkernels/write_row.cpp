// Writes the results of one row.
#include "kernels_templates/host/common/elements.h"
#include "kernels_templates/host/common/exp2.h"
#include "kernels_templates/host/common/math.h"
#include "kernels_templates/host/microkernels/microkernels.h"

namespace mj {
namespace {

// Natural log-sum-exp of a row with base-2 maximum m and denominator l.
MJ_INLINE float log_sum_exp(float m, float l) {
  if (l == 0.0f) return kNegativeInfinity;
  return __builtin_fmaf(m, kLn2, log_scalar(l));
}

template <int kElement>
void store_row(void* out, int columns, const float* sums, float factor) {
#pragma clang loop vectorize(assume_safety)
  for (int d = 0; d < columns; ++d) store_element(out, d, sums[d] * factor, kElement);
}

}  // namespace
}  // namespace mj

extern "C" void mj_write_row(const MjAttentionArgs* args, int32_t element, int32_t head_dim_v,
                             int32_t batch, int32_t head, int64_t query, const float* sums, float m,
                             float l, float reported) {
  using namespace mj;
  // No active key, or dropout left none. (A row without a maximum may be NaN.)
  const bool empty = l == 0.0f;
  if (args->output.data != nullptr) {
    char* out =
        static_cast<char*>(const_cast<void*>(row_of(args->output, element, batch, head, query)));
    if (empty) {
      __builtin_memset(out, 0, static_cast<uint64_t>(head_dim_v) * element_bytes(element));
    } else {
      MJ_FOR_ELEMENT(element, store_row<kElement>(out, head_dim_v, sums, 1.0f / l));
    }
  }
  const float rescale = empty ? 0.0f : exp2_scalar(m - exponent_base(reported));
  if (args->numerator.data != nullptr) {
    float* numerator =
        static_cast<float*>(const_cast<void*>(row_of(args->numerator, MJ_F32, batch, head, query)));
    for (int d = 0; d < head_dim_v; ++d) numerator[d] = empty ? 0.0f : sums[d] * rescale;
  }
  const int64_t index = (int64_t{batch} * args->num_heads + head) * args->q_len + query;
  if (args->lse != nullptr) args->lse[index] = log_sum_exp(m, l);
  if (args->row_max != nullptr) args->row_max[index] = reported * kLn2;
  if (args->denominator != nullptr) args->denominator[index] = empty ? 0.0f : l * rescale;
}
