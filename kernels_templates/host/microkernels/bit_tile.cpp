#include "kernels_templates/host/microkernels/microkernels.h"

namespace mj {
namespace {

struct Range {
  int64_t lo, hi;
};

// The part of lo..hi that is in the dimension, as blocks; `whole` becomes false if there is more.
// A dimension of extent 1 broadcasts.
inline bool blocks_of(const MjTensor* mask, int32_t dim, const int64_t* ends, bool* whole,
                      Range* blocks) {
  const int64_t extent = mask->extent[dim];
  int64_t lo = ends[0];
  int64_t hi = ends[1];
  if (lo > hi) return false;
  if (extent == 1 || (mask->stride[dim] == 0 && lo >= 0 && hi < extent)) {
    *blocks = {0, 0};
    return true;
  }
  *whole = *whole && lo >= 0 && hi < extent;
  lo = lo < 0 ? 0 : lo;
  hi = hi >= extent ? extent - 1 : hi;
  if (lo > hi) return false;
  *blocks = {lo / mj_summary_block, hi / mj_summary_block};
  if (mask->stride[dim] == 0) *blocks = {0, 0};
  return true;
}

}  // namespace
}  // namespace mj

extern "C" int32_t mj_bit_tile(const MjTensor* mask, int32_t rank, const int64_t* subscripts) {
  using namespace mj;
  int64_t group = 0;
  for (int32_t d = 0; d + 2 < rank; ++d) {
    const int64_t extent = mask->extent[d];
    const int64_t i = extent == 1 ? 0 : subscripts[d];
    if (i < 0 || i >= extent) return 0;
    if (mask->stride[d] != 0) group = group * extent + i;
  }
  bool whole = true;
  Range rows, keys;
  if (!blocks_of(mask, rank - 2, subscripts + rank - 2, &whole, &rows)) return 0;
  if (!blocks_of(mask, rank - 1, subscripts + rank, &whole, &keys)) return 0;
  const int64_t row_blocks =
      mask->stride[rank - 2] == 0
          ? 1
          : (mask->extent[rank - 2] + mj_summary_block - 1) / mj_summary_block;
  const uint8_t* classes = static_cast<const uint8_t*>(mask->block_min);
  bool some = false;
  for (int64_t r = rows.lo; r <= rows.hi; ++r) {
    const uint8_t* row = classes + (group * row_blocks + r) * mask->blocks;
    for (int64_t k = keys.lo; k <= keys.hi; ++k) {
      some = some || row[k] != 0;
      whole = whole && row[k] == 2;
      if (some && !whole) return 1;
    }
  }
  return (some ? 1 : 0) | (whole ? 2 : 0);
}
