// Decoding on the host: a few query rows (q_len times the group) against many keys, bound by the
// bandwidth of keys and values. Keys and values are read once, in place, in their own element type;
// the visited key tiles are split evenly over the threads and the parts merged by log-sum-exp in a
// second phase.
#include "kernels_templates/host/common/adjust.h"
#include "kernels_templates/host/common/exp2.h"
#include "kernels_templates/host/common/key_tiles.h"
#include "kernels_templates/host/common/scores.h"
#include "kernels_templates/host/microkernels/microkernels.h"

namespace mj {
namespace {

constexpr int kMaxRows = 16;
constexpr int kMostStepTiles = 4;                     // key tiles of a step
constexpr int kLongRowBytes = 512;                    // half as many where rows are longer
constexpr int64_t kThreadBytes = int64_t{256} << 10;  // of keys and values, worth waking a thread

// MjPlan::parameters of this kernel.
enum Parameter { kHeadsPerBlock, kQueriesPerBlock, kQueryBlocks, kHeadBlocks, kSplits };

// The keys of a step and those asked for meanwhile stay in the second-level cache beside its
// values.
MJ_INLINE int step_tiles() {
  const int columns = mj_head_dim > mj_head_dim_v ? mj_head_dim : mj_head_dim_v;
  const bool long_rows = columns * element_bytes(mj_element) > kLongRowBytes;
  return long_rows ? kMostStepTiles / 2 : kMostStepTiles;
}
MJ_INLINE int step_keys() { return step_tiles() * mj_tile_k; }
MJ_INLINE int padded_head_columns() { return round_up(mj_head_dim, kLanes); }
MJ_INLINE int padded_value_columns() { return round_up(mj_head_dim_v, kLanes); }

// One row is bound by memory whatever multiplies it, and its weights stay in f32.
MJ_INLINE bool in_pairs(int rows) { return mj_element == MJ_BF16 && rows > 1; }

struct Scratch {
  float* queries;  // [kMaxRows][padded D]
  float* scores;   // [kMaxRows][step_keys]
  float* sums;     // [kMaxRows][padded Dv]
  float* maximum;  // [kMaxRows]
  float* total;    // [kMaxRows]
  float* rescale;  // [kMaxRows]; twice that where exponentials are adjusted
  int64_t bytes;
};

MJ_INLINE Scratch layout(void* base) {
  Scratch s = {};
  int64_t used = 0;
  const auto take = [&](int64_t floats) __attribute__((always_inline)) {
    float* p =
        reinterpret_cast<float*>(reinterpret_cast<uintptr_t>(base) + static_cast<uintptr_t>(used));
    used += round_up64(floats * 4, 64);
    return p;
  };
  s.queries = take(kMaxRows * padded_head_columns());
  s.scores = take(static_cast<int64_t>(kMaxRows) * step_keys());
  s.sums = take(kMaxRows * padded_value_columns());
  s.maximum = take(kMaxRows);
  s.total = take(kMaxRows);
  s.rescale = take(adjusts() ? 2 * kMaxRows : kMaxRows);
  s.bytes = used;
  return s;
}

// Where exponentials are adjusted: room for the sums of what they were before, which nothing takes.
MJ_INLINE float* unadjusted_sums(const Scratch& s) { return s.rescale + kMaxRows; }

// Floats that one row of a split leaves in the workspace: its sums, maximum and denominator.
MJ_INLINE int64_t part_floats() { return padded_value_columns() + kLanes; }

MJ_INLINE int keys_of_tile(const MjAttentionArgs* args, int64_t tile) {
  const int64_t left = args->kv_len - tile * mj_tile_k;
  return left < mj_tile_k ? static_cast<int>(left) : mj_tile_k;
}

MJ_INLINE int32_t class_of(const MjAttentionArgs* args, const RowBlock& block, int64_t tile) {
  return classify(args, block, tile * mj_tile_k, keys_of_tile(args, tile));
}

// `tiles` neighbouring tiles from `tile` on that are not Empty.
MJ_OUTLINE void visit_step(const MjAttentionArgs* args, const RowBlock& block, const Scratch& s,
                           int64_t tile, int tiles, const int32_t* classes) {
  const int64_t k_begin = tile * mj_tile_k;
  const int keys = tiles * mj_tile_k;
  const int64_t left = args->kv_len - k_begin;
  const int count = left < keys ? static_cast<int>(left) : keys;
  const int rows = block.rows();
  const int element = element_bytes(mj_element);
  const MjRowsAhead values = {row_of(args->value, mj_element, block.batch, block.kv_head, k_begin),
                              args->value.row_stride * element, mj_head_dim_v * element};
  const MjRowsAhead next_keys = {
      row_of(args->key, mj_element, block.batch, block.kv_head, k_begin + count),
      args->key.row_stride * element, mj_head_dim * element};
  mj_dot_rows(s.queries, padded_head_columns(), rows,
              row_of(args->key, mj_element, block.batch, block.kv_head, k_begin),
              next_keys.row_bytes, count, mj_element, in_pairs(rows), mj_head_dim, s.scores,
              step_keys(), &values);
  for (int i = 0; i < tiles; ++i) {
    for (int r = 0; r < rows; ++r) {
      finish_row(args, block, r, k_begin + i * mj_tile_k, keys_of_tile(args, tile + i),
                 classes[i] != 2, s.scores + r * step_keys() + i * mj_tile_k);
    }
  }
  const int columns = padded_value_columns();
  mj_softmax_rows(s.scores, rows, keys, step_keys(),
                  keeps_products(args) ? args->scale * kLog2E : kLog2E, s.maximum,
                  adjusts() ? unadjusted_sums(s) : s.total, s.rescale, s.sums, columns, nullptr);
  for (int r = 0; adjusts() && r < rows; ++r) {
    const float taken =
        mj_adjust_row(args, block.batch, block.head_of(r), block.kv_head, block.query_of(r),
                      k_begin, count, s.scores + r * step_keys());
    s.total[r] = s.total[r] * s.rescale[r] + taken;
  }
  mj_add_value_rows(values.first, values.row_bytes, count, mj_element, in_pairs(rows),
                    mj_head_dim_v, s.scores, step_keys(), rows, s.sums, columns,
                    left > keys ? &next_keys : nullptr);
}

// Tiles [first, end) of a run: those that are not Empty, up to step_tiles() neighbours at a time,
// as more keys at once keep more loads in flight and there are fewer pauses between them.
MJ_INLINE void visit_tiles(const MjAttentionArgs* args, const RowBlock& block, const Scratch& s,
                           int64_t first, int64_t end) {
  int32_t classes[kMostStepTiles] = {};
  int waiting = 0;  // tiles before `tile` that are to be visited
  for (int64_t tile = first; tile < end; ++tile) {
    const int32_t tile_class = class_of(args, block, tile);
    const bool empty = tile_class == 0;
    if (!empty) classes[waiting++] = tile_class;
    const bool ends = empty || tile + 1 == end || waiting == step_tiles();
    if (!ends || waiting == 0) continue;
    visit_step(args, block, s, (empty ? tile : tile + 1) - waiting, waiting, classes);
    waiting = 0;
  }
}

MJ_INLINE RowBlock block_of(const MjAttentionArgs* args, const MjPlan* plan, int64_t index) {
  const int64_t* p = plan->parameters;
  const int64_t per_head = p[kQueryBlocks] * p[kHeadBlocks];
  const int64_t key_head = index / per_head;
  const int64_t i = index % per_head;
  return row_block(args, key_head, i, p[kHeadsPerBlock], p[kHeadBlocks], p[kQueriesPerBlock]);
}

MJ_INLINE float* part_of(const MjPlan* plan, int64_t block, int64_t split, int row) {
  const int64_t index = (block * plan->parameters[kSplits] + split) * kMaxRows + row;
  return static_cast<float*>(plan->workspace) + index * part_floats();
}

MJ_INLINE void write_row(const MjAttentionArgs* args, const RowBlock& block, int row, float* sums,
                         float m, float l) {
  mj_close_gap(sums, mj_head_dim_v);
  mj_write_row(args, mj_element, mj_head_dim_v, block.batch, block.head_of(row),
               block.query_of(row), sums, m, l, m);
}

MJ_INLINE void run_split(const MjAttentionArgs* args, const MjPlan* plan, int64_t item,
                         void* scratch) {
  const int64_t splits = plan->parameters[kSplits];
  const int64_t index = item / splits;
  const int64_t split = item % splits;
  const RowBlock block = block_of(args, plan, index);
  const Scratch s = layout(scratch);
  const int columns = padded_value_columns();
  const int rows = block.rows();
  for (int r = 0; r < rows; ++r) {
    const void* query =
        row_of(args->query, mj_element, block.batch, block.head_of(r), block.query_of(r));
    mj_widen_query(query, mj_element, mj_head_dim, s.queries + r * padded_head_columns());
    for (int d = 0; d < columns; d += kLanes) store(s.sums + r * columns + d, splat(0.0f));
  }
  store(s.maximum, splat(kNegativeInfinity));
  store(s.total, splat(0.0f));
  if (adjusts()) store(unadjusted_sums(s), splat(0.0f));
  MjTileRuns runs;
  runs.count = 0;
  const int32_t q_lo = position(args, block.query);
  for (int h = 0; h < (mj_by_head ? block.heads : 1); ++h) {
    add_key_tiles(args, block.batch, block.head + h, block.kv_head, q_lo, q_lo + block.queries - 1,
                  0, args->kv_len, &runs);
  }
  int64_t tiles = 0;
  for (int i = 0; i < runs.count; ++i) tiles += runs.end[i] - runs.begin[i];
  int64_t skip = tiles * split / splits;
  int64_t take = tiles * (split + 1) / splits - skip;
  if (in_pairs(rows)) mj_pairs_begin();
  for (int i = 0; i < runs.count; ++i) {
    const int64_t length = runs.end[i] - runs.begin[i];
    const int64_t first = skip < length ? skip : length;
    skip -= first;
    const int64_t visited = length - first < take ? length - first : take;
    visit_tiles(args, block, s, runs.begin[i] + first, runs.begin[i] + first + visited);
    take -= visited;
  }
  if (in_pairs(rows)) mj_pairs_end();
  for (int r = 0; r < rows; ++r) {
    if (splits == 1) {
      write_row(args, block, r, s.sums + r * columns, s.maximum[r], s.total[r]);
      continue;
    }
    float* part = part_of(plan, index, split, r);
    for (int d = 0; d < columns; d += kLanes) store(part + d, load(s.sums + r * columns + d));
    part[columns] = s.maximum[r];
    part[columns + 1] = s.total[r];
  }
}

MJ_INLINE void merge(const MjAttentionArgs* args, const MjPlan* plan, int64_t index,
                     void* scratch) {
  const RowBlock block = block_of(args, plan, index);
  const Scratch s = layout(scratch);
  const int columns = padded_value_columns();
  const int64_t splits = plan->parameters[kSplits];
  const int64_t stride = kMaxRows * part_floats();
  for (int r = 0; r < block.rows(); ++r) {
    mj_merge_parts(part_of(plan, index, 0, r), stride, splits, columns, s.sums);
    write_row(args, block, r, s.sums, s.sums[columns], s.sums[columns + 1]);
  }
}

// Of each of `blocks`, for `items` in all, at most `most`.
MJ_INLINE int64_t splits_of(int64_t items, int64_t blocks, int64_t most) {
  const int64_t splits = (items + blocks - 1) / blocks;
  const int64_t allowed = splits < most ? splits : most;
  return allowed > 1 ? allowed : 1;
}

}  // namespace
}  // namespace mj

extern "C" {

MJ_DIRECTOR void mj_plan(const MjAttentionArgs* args, int64_t threads, MjPlan* plan) {
  using namespace mj;
  const int64_t group = args->num_heads / args->num_kv_heads;
  const int64_t queries = args->q_len < kMaxRows ? args->q_len : kMaxRows;
  int64_t heads = queries > 0 ? kMaxRows / queries : 1;
  heads = heads < group ? heads : group;
  const int64_t query_blocks = queries > 0 ? (args->q_len + queries - 1) / queries : 0;
  const int64_t head_blocks = (group + heads - 1) / heads;
  const int64_t blocks = args->batch_size * args->num_kv_heads * query_blocks * head_blocks;
  const int64_t bytes =
      blocks * args->kv_len * (mj_head_dim + mj_head_dim_v) * element_bytes(mj_element);
  plan->threads = occupied(threads, bytes, kThreadBytes);
  int64_t splits = 1;
  if (threads > 1 && blocks > 0) {
    // Enough parts to occupy the threads, none below four tiles; and more to end at the same time,
    // none below 32.
    const int64_t few = splits_of(4 * threads, blocks, args->kv_len / mj_tile_k / 4);
    const int64_t many = splits_of(16 * threads, blocks, args->kv_len / mj_tile_k / 32);
    splits = few > many ? few : many;
  }
  plan->parameters[kHeadsPerBlock] = heads;
  plan->parameters[kQueriesPerBlock] = queries;
  plan->parameters[kQueryBlocks] = query_blocks;
  plan->parameters[kHeadBlocks] = head_blocks;
  plan->parameters[kSplits] = splits;
  plan->phase_items[0] = blocks * splits;
  plan->phase_items[1] = splits > 1 ? blocks : 0;
  plan->scratch_bytes = layout(nullptr).bytes;
  plan->workspace_bytes = splits > 1 ? blocks * splits * kMaxRows * part_floats() * 4 : 0;
}

MJ_DIRECTOR void mj_run(const MjAttentionArgs* args, const MjPlan* plan, int64_t phase,
                        int64_t item, void* scratch) {
  if (phase == 0) {
    mj::run_split(args, plan, item, scratch);
  } else {
    mj::merge(args, plan, item, scratch);
  }
}

}  // extern "C"
