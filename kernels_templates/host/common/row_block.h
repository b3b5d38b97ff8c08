#pragma once
// A block of at most mj_tile_q query rows that share a key head: `heads` consecutive query heads of
// the group times `queries` consecutive query rows. Short queries (decoding) put several heads into
// one block.
#include "kernels_templates/host/common/elements.h"

namespace mj {

struct RowBlock {
  int32_t batch;
  int32_t kv_head;
  int32_t head;  // first query head
  int32_t heads;
  int64_t query;  // first query row (index, not position)
  int32_t queries;

  MJ_MEMBER int rows() const { return heads * queries; }
  MJ_MEMBER int32_t head_of(int row) const { return head + row / queries; }
  MJ_MEMBER int64_t query_of(int row) const { return query + row % queries; }
};

// Block `index` of a key head whose rows are cut into `head_blocks` blocks of heads for each block
// of queries.
MJ_INLINE RowBlock row_block(const MjAttentionArgs* args, int64_t key_head, int64_t index,
                             int64_t heads, int64_t head_blocks, int64_t queries) {
  const int64_t group = args->num_heads / args->num_kv_heads;
  const int64_t head = index % head_blocks * heads;
  const int64_t query = index / head_blocks * queries;
  RowBlock b;
  b.batch = static_cast<int32_t>(key_head / args->num_kv_heads);
  b.kv_head = static_cast<int32_t>(key_head % args->num_kv_heads);
  b.head = static_cast<int32_t>(b.kv_head * group + head);
  b.heads = static_cast<int32_t>(group - head < heads ? group - head : heads);
  b.query = query;
  b.queries = static_cast<int32_t>(args->q_len - query < queries ? args->q_len - query : queries);
  return b;
}

// Of `threads`, as many as have `share` of `work`; at least one.
MJ_INLINE int64_t occupied(int64_t threads, int64_t work, int64_t share) {
  const int64_t most = work / share;
  return most < 1 ? 1 : most < threads ? most : threads;
}

MJ_INLINE int32_t position(const MjAttentionArgs* args, int64_t query) {
  return static_cast<int32_t>(query + args->q_offset);
}

// Offset of [batch, head, row] in a contiguous [batch, num_heads, q_len] result.
MJ_INLINE int64_t result_index(const MjAttentionArgs* args, const RowBlock& block, int row) {
  return (static_cast<int64_t>(block.batch) * args->num_heads + block.head_of(row)) * args->q_len +
         block.query_of(row);
}

// The class of a key tile for all rows of the block.
MJ_OUTLINE int32_t classify(const MjAttentionArgs* args, const RowBlock& block, int64_t k_begin,
                            int count) {
  if (mj_mask_full) return 2;
  const int32_t q_lo = position(args, block.query);
  const int32_t q_hi = q_lo + block.queries - 1;
  const int32_t k_lo = static_cast<int32_t>(k_begin);
  const int32_t k_hi = k_lo + count - 1;
  int32_t result =
      mj_tile_class(args, block.batch, block.head, block.kv_head, q_lo, q_hi, k_lo, k_hi);
  if (mj_by_head) {
    for (int h = 1; h < block.heads; ++h) {
      const int32_t other =
          mj_tile_class(args, block.batch, block.head + h, block.kv_head, q_lo, q_hi, k_lo, k_hi);
      result = other == result ? result : 1;
    }
  }
  return result;
}

}  // namespace mj
