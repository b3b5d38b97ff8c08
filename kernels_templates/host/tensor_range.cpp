// Minimum and maximum of a stretch of a tensor's last dimension, from the block summaries: what
// TensorMin and TensorMax of the tile functions are lowered to. Blocks that the stretch only
// touches count in full, so the result may be wider than the stretch's own, never narrower.
#include "kernels_templates/host/common/vector.h"
#include "kernels_templates/include/hooks.h"

namespace mj {

// Row of the summaries, or -1 if a leading subscript is out of range.
MJ_INLINE int64_t summary_row(const MjTensor* t, int32_t rank, const int64_t* subscripts) {
  int64_t row = 0;
  for (int d = 0; d + 1 < rank; ++d) {
    int64_t i = subscripts[d];
    if (t->extent[d] == 1) i = 0;
    if (i < 0 || i >= t->extent[d]) return -1;
    row = row * t->extent[d] + i;
  }
  return row;
}

template <typename T, bool kMinimum>
MJ_INLINE T extreme(const MjTensor* t, int32_t rank, bool broadcast, const int64_t* subscripts) {
  int64_t lo = subscripts[rank - 1];
  int64_t hi = subscripts[rank];
  const int64_t row = summary_row(t, rank, subscripts);
  if (row < 0 || lo > hi) return T(0);
  const T* blocks = static_cast<const T*>(kMinimum ? t->block_min : t->block_max) + row * t->blocks;
  if (broadcast) return blocks[0];
  const int64_t extent = t->extent[rank - 1];
  bool any = lo < 0 || hi >= extent;  // reads out of range give 0
  T result = T(0);
  lo = lo < 0 ? 0 : lo;
  hi = hi >= extent ? extent - 1 : hi;
  if (lo > hi) return result;
  for (int64_t b = lo / mj_summary_block; b <= hi / mj_summary_block; ++b) {
    const bool better = kMinimum ? blocks[b] < result : blocks[b] > result;
    if (!any || better) result = blocks[b];
    any = true;
  }
  return result;
}

}  // namespace mj

extern "C" {
// subscripts: the leading dimensions', then lo and hi of the last one.
__attribute__((noinline)) int64_t mj_tensor_min_int(const MjTensor* t, int32_t rank, bool broadcast,
                                                    const int64_t* subscripts) {
  return mj::extreme<int64_t, true>(t, rank, broadcast, subscripts);
}
__attribute__((noinline)) int64_t mj_tensor_max_int(const MjTensor* t, int32_t rank, bool broadcast,
                                                    const int64_t* subscripts) {
  return mj::extreme<int64_t, false>(t, rank, broadcast, subscripts);
}
__attribute__((noinline)) float mj_tensor_min_float(const MjTensor* t, int32_t rank, bool broadcast,
                                                    const int64_t* subscripts) {
  return mj::extreme<float, true>(t, rank, broadcast, subscripts);
}
__attribute__((noinline)) float mj_tensor_max_float(const MjTensor* t, int32_t rank, bool broadcast,
                                                    const int64_t* subscripts) {
  return mj::extreme<float, false>(t, rank, broadcast, subscripts);
}
}
