#include "runtime/index/extents.h"

namespace maskjit::index {

std::array<int64_t, 4> bytes_of_rows(const MjScorer& scorer, int64_t batch, int64_t num_heads,
                                     int64_t num_kv_heads, int64_t keys) {
  std::array<int64_t, 4> bytes{};
  if (keys == 0) return bytes;
  const int64_t heads = scorer.by_head != 0 ? num_heads : num_kv_heads;
  const int32_t* n = scorer.numbers;
  // `last`: of the rows of the last head.
  const auto rows = [&](size_t i, int64_t last) {
    const MjIndexRows& r = scorer.rows[i];
    if (r.data != nullptr)
      bytes[i] = (batch - 1) * r.batch_stride + (heads - 1) * r.head_stride + last;
  };
  const auto blocks = [&](size_t i, int64_t count) {
    rows(i, (count + mj_index_block - 1) / mj_index_block * scorer.rows[i].row_stride);
  };
  switch (static_cast<MjScorerKind>(scorer.kind)) {
    case MJ_SCORER_LOGITS:
      break;
    case MJ_SCORER_PAGE_BOUND:
      blocks(0, (keys + n[0] - 1) / n[0]);
      blocks(1, (keys + n[0] - 1) / n[0]);
      break;
    case MJ_SCORER_CHANNELS:
      blocks(0, keys);
      blocks(1, keys);
      rows(2, int64_t{4} * n[0]);
      break;
    case MJ_SCORER_HASH_BITS:
      blocks(0, keys);
      rows(1, scorer.rows[1].head_stride);
      break;
    case MJ_SCORER_PQ_CODES:
      blocks(0, keys);
      rows(1, int64_t{4} * n[3] * mj_pad_lanes(n[2]));
      break;
    case MJ_SCORER_LSH:
      blocks(0, keys);
      rows(1, int64_t{4} * (n[2] + 1));
      rows(2, int64_t{4} * (n[2] + 1) * mj_pad_lanes(n[0] * n[1]));
      blocks(3, keys);
      break;
  }
  return bytes;
}

}  // namespace maskjit::index
