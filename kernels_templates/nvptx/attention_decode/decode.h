#pragma once
// Decoding for sm_80 and up: few query rows against many keys, bound by the bytes of keys and
// values, which are read once. The visited key tiles of a block of rows are split evenly over
// blocks; in a second kernel their parts are merged by log-sum-exp.
//
// A key tile is 16 keys for each warp. Warps have a pipeline of asynchronous copies and an online
// softmax each, so that nothing in the loop waits for another warp; in the end their sums meet in
// shared memory. Which keys a tile has, and what becomes of their scores, is up to `Keys`.
#include "kernels_templates/nvptx/common/results.h"
#include "kernels_templates/nvptx/common/softmax.h"

namespace mj {

constexpr WarpTile kWarpTile = {1, kDecodeKeys / 8};

MJ_INLINE int stages() { return decode_stages(mj_head_dim, mj_head_dim_v, single()); }
MJ_INLINE int stage_bytes() { return decode_stage_bytes(mj_head_dim, mj_head_dim_v, single()); }

// How query rows are cut into blocks of at most 16: all queries of as many heads as fit.
struct Blocks {
  int queries, heads;             // of a block
  int query_blocks, head_blocks;  // of a key head
  int count;
};
MJ_INLINE Blocks blocks_of(const MjAttentionArgs* args, int most_queries, int most_rows) {
  const int q_len = static_cast<int>(args->q_len);
  const int kv_heads = static_cast<int>(args->num_kv_heads);
  const int group = static_cast<int>(args->num_heads) / kv_heads;
  Blocks b;
  b.queries = smaller(q_len, most_queries);
  b.heads = smaller(most_rows / b.queries, group);
  b.query_blocks = (q_len + b.queries - 1) / b.queries;
  b.head_blocks = (group + b.heads - 1) / b.heads;
  b.count = static_cast<int>(args->batch_size) * kv_heads * b.query_blocks * b.head_blocks;
  return b;
}
MJ_INLINE QueryBlock block_of(const MjAttentionArgs* args, const Blocks& blocks, int index) {
  const int kv_heads = static_cast<int>(args->num_kv_heads);
  const int group = static_cast<int>(args->num_heads) / kv_heads;
  const int head_block = index % blocks.head_blocks;
  index /= blocks.head_blocks;
  const int query_block = index % blocks.query_blocks;
  index /= blocks.query_blocks;
  QueryBlock b;
  b.kv_head = index % kv_heads;
  b.batch = index / kv_heads;
  b.head = b.kv_head * group + head_block * blocks.heads;
  b.heads = smaller(blocks.heads, group - head_block * blocks.heads);
  b.query = query_block * blocks.queries;
  b.queries = smaller(blocks.queries, static_cast<int>(args->q_len) - b.query);
  b.position = b.query + static_cast<int>(args->q_offset);
  return b;
}

// Row r of a block; rows past its last stand for that one.
MJ_INLINE LaneRow lane_row(const QueryBlock& block, int row) {
  const int there = smaller(row, block.heads * block.queries - 1);
  const int head = there / block.queries;
  const int query = there - head * block.queries;
  return {block.head + head, block.query + query, block.position + query};
}

MJ_INLINE void load_queries(const MjAttentionArgs* args, const QueryBlock& block, uint32_t to) {
  const int pitch = pitch_of(mj_head_dim);
  const int rows = block.heads * block.queries;
  const int bytes = element_bytes(mj_element);
  const int threads = mj_warps * kWarp;
  const auto query = [&](int row) __attribute__((always_inline)) {
    const LaneRow at = lane_row(block, row);
    return row_of(args->query, mj_element, block.batch, at.head, at.query);
  };
  if (mj_head_dim * bytes % 16 == 0 && is_wide(args->query, mj_element, mj_head_dim)) {
    const int chunks = mj_head_dim * bytes / 16;
    MJ_ROLL
    for (int i = thread_index(); i < kDecodeRows * chunks; i += threads) {
      const int row = i / chunks;
      const int chunk = i % chunks;
      copy_async(to + static_cast<uint32_t>(row * pitch + chunk * 16), query(row) + chunk * 16,
                 row < rows);
    }
    return;
  }
  MJ_ROLL
  for (int i = thread_index(); i < kDecodeRows * mj_head_dim; i += threads) {
    const int row = i / mj_head_dim;
    const int column = i % mj_head_dim;
    copy_element(to + static_cast<uint32_t>(row * pitch + column * bytes),
                 query(row) + column * bytes, row < rows);
  }
}

// Where the rows of keys and values of a head begin, their distance in bytes, and whether 16 bytes
// of them can be copied at once.
struct KeyRows {
  const char *keys, *values;
  int64_t key_bytes, value_bytes;
  bool wide_keys, wide_values;
};
MJ_INLINE KeyRows key_rows(const MjAttentionArgs* args, int batch, int kv_head) {
  const int bytes = element_bytes(mj_element);
  return {row_of(args->key, mj_element, batch, kv_head, 0),
          row_of(args->value, mj_element, batch, kv_head, 0),
          args->key.row_stride * bytes,
          args->value.row_stride * bytes,
          is_wide(args->key, mj_element, mj_head_dim),
          is_wide(args->value, mj_element, mj_head_dim_v)};
}

// The tiles of one split: `count` visited ones from `first` on.
struct Share {
  int first, count;
};

// Where the warps' sums are, in the place of their stages, and then maximum and denominator of
// their rows; the block's own come last.
struct Parts {
  uint32_t sums, states;
};
MJ_INLINE uint32_t part_of(const Parts& parts, int warp, int row) {
  return parts.sums + static_cast<uint32_t>((warp * kDecodeRows + row) *
                                            decode_part_pitch(mj_head_dim_v, single()) * 4);
}
MJ_INLINE uint32_t state_of(const Parts& parts, int warp, int row) {
  return parts.states + static_cast<uint32_t>((warp * kDecodeRows + row) * 8);
}

MJ_INLINE void write_part(const Parts& parts, int lane, int warp, const Sums& o,
                          const RowState& state) {
  const int g = lane >> 2, t = lane & 3;
  MJ_UNROLL
  for (int r = 0; r < 2; ++r) {
    float total = state.total[0][r];
    total += shuffle_xor(total, 1);
    total += shuffle_xor(total, 2);
    const int row = r * 8 + g;
    const uint32_t at = part_of(parts, warp, row) + static_cast<uint32_t>(t * 8);
    MJ_UNROLL
    for (int n = 0; n < padded(mj_head_dim_v) / 8; ++n) {
      store_shared<Floats2>(at, n * 32, Floats2{o[0][n][2 * r], o[0][n][2 * r + 1]});
    }
    if (t == 0)
      store_shared<Floats2>(state_of(parts, warp, row), Floats2{state.maximum[0][r], total});
  }
}

// One thread a row: the block's maximum and denominator; of each warp's maximum there remains what
// its sums are multiplied with.
MJ_INLINE void merge_states(const Parts& parts, int row) {
  float maximum = kNegativeInfinity;
  MJ_ROLL
  for (int w = 0; w < mj_warps; ++w)
    maximum = __builtin_fmaxf(maximum, load_shared<Floats2>(state_of(parts, w, row)).x);
  const float base = maximum == kNegativeInfinity ? 0.0f : maximum;
  float total = 0.0f;
  MJ_ROLL
  for (int w = 0; w < mj_warps; ++w) {
    const Floats2 state = load_shared<Floats2>(state_of(parts, w, row));
    const float factor = exp2_approx(state.x - base);
    total = __builtin_fmaf(state.y, factor, total);
    store_shared<float>(state_of(parts, w, row), factor);
  }
  store_shared<Floats2>(state_of(parts, mj_warps, row), Floats2{maximum, total});
}

MJ_INLINE float* record_of(const MjDeviceArgs& args, int split, int64_t row) {
  const int64_t rows = args.attention.batch_size * args.attention.num_heads * args.attention.q_len;
  return static_cast<float*>(args.workspace) +
         (split * rows + row) * decode_record_floats(mj_head_dim_v);
}
MJ_INLINE int record_state() { return decode_record_floats(mj_head_dim_v) - 4; }

// The results of the block's rows, or what the merge needs of them.
MJ_INLINE void write_results(const MjDeviceArgs& device_args, const QueryBlock& block,
                             const Parts& parts, int split) {
  const MjAttentionArgs* args = &device_args.attention;
  const int rows = block.heads * block.queries;
  MJ_ROLL
  for (int i = thread_index(); i < rows * mj_head_dim_v; i += mj_warps * kWarp) {
    const int row = i / mj_head_dim_v;
    const int column = i % mj_head_dim_v;
    float sum = 0.0f;
    MJ_ROLL
    for (int w = 0; w < mj_warps; ++w) {
      sum = __builtin_fmaf(
          load_shared<float>(part_of(parts, w, row) + static_cast<uint32_t>(column * 4)),
          load_shared<float>(state_of(parts, w, row)), sum);
    }
    const Floats2 state = load_shared<Floats2>(state_of(parts, mj_warps, row));
    const LaneRow at = lane_row(block, row);
    const int64_t index = row_index(args, block.batch, at.head, at.query);
    if (device_args.splits > 1) {
      float* record = record_of(device_args, split, index);
      record[column] = sum;
      if (column == 0) {
        record[record_state()] = state.x;
        record[record_state() + 1] = state.y;
      }
      continue;
    }
    const bool empty = is_empty(state.y);
    write_column(args, block.batch, at.head, at.query, column, sum, empty ? 0.0f : 1.0f / state.y,
                 1.0f);
    if (column == 0) write_row_scalars(args, index, state.x, state.y, state.x, 1.0f);
  }
}

// Of the merge: loads on their way at a time, and where the factor of a split is.
constexpr int kMergeLoads = 4;
MJ_INLINE uint32_t factor_of(int split) { return shared_base() + static_cast<uint32_t>(split * 4); }

// A tile on its way: its class, and of listed keys the one that this lane knows.
struct Ahead {
  int tile, found, key;
};

// Where a tile of a warp is copied to.
struct Stage {
  uint32_t keys, values;
  int key_pitch, value_pitch;
};

// Grid: blocks of query rows times splits. `keys_of(block)`: the keys of a block of rows.
template <typename Keys, typename KeysOf>
MJ_INLINE void run_decode(const MjDeviceArgs& device_args, const KeysOf& keys_of) {
  const MjAttentionArgs* args = &device_args.attention;
  const int lane = thread_index() % kWarp;
  const int warp = thread_index() / kWarp;
  const int kv_len = static_cast<int>(args->kv_len);
  const Blocks blocks = Keys::blocks(args);
  const QueryBlock block = block_of(args, blocks, block_index() % blocks.count);
  const int split = block_index() / blocks.count;

  const uint32_t queries = shared_base();
  const int key_pitch = pitch_of(mj_head_dim), value_pitch = pitch_of(mj_head_dim_v);
  const uint32_t all_stages = queries + static_cast<uint32_t>(kDecodeRows * key_pitch);
  load_queries(args, block, queries);
  copy_commit();
  clear_padding(whole_block(), queries, key_pitch, kDecodeRows, mj_head_dim);

  Keys keys = keys_of(block);
  const Share share = keys.share(split, device_args.splits, all_stages);
  copy_wait_all();
  sync_threads();  // the queries are there; nobody reads the counts of the tiles any more

  const Team team = own_warp();
  const uint32_t own_stages = all_stages + static_cast<uint32_t>(warp * stages() * stage_bytes());
  const uint32_t values_at = static_cast<uint32_t>(kDecodeKeys * key_pitch);
  MJ_ROLL
  for (int i = 0; i < stages(); ++i) {
    const uint32_t stage = own_stages + static_cast<uint32_t>(i * stage_bytes());
    clear_padding(team, stage, key_pitch, kDecodeKeys, mj_head_dim);
    clear_padding(team, stage + values_at, value_pitch, kDecodeKeys, mj_head_dim_v);
  }
  keys.start(kv_len, warp, lane);
  const LaneRow upper = lane_row(block, lane >> 2), lower = lane_row(block, (lane >> 2) + 8);
  const auto row_of_lane = [&](int, int r) __attribute__((always_inline)) {
    return LaneRow{r == 0 ? upper.head : lower.head, r == 0 ? upper.query : lower.query,
                   r == 0 ? upper.position : lower.position};
  };
  const bool raw = keeps_products(args);
  const float factor = raw ? args->scale * kLog2E : kLog2E;
  Sums o;
  RowState state;
  start(kWarpTile, state, o);

  // ahead[0] is the tile whose turn it is. A round starts one copy and computes one tile; the first
  // rounds only start copies.
  Ahead ahead[kMaxDecodeStages];
  MJ_UNROLL
  for (int i = 0; i < stages(); ++i) ahead[i] = {kNoTile, 0, 0};
  int left = share.count, next = share.first;
  int filling = stages() - 1;
  uint32_t free_stage = own_stages, stage = own_stages;
  const uint32_t end_of_stages = own_stages + static_cast<uint32_t>(stages() * stage_bytes());
  MJ_ROLL
  for (;;) {
    if (filling == 0) {
      if (ahead[0].tile == kNoTile) break;
      copy_wait(stages() - 2);
      sync_warp();  // this tile is there; no lane reads the one before any more
    }
    const Ahead now = ahead[0];
    MJ_UNROLL
    for (int i = 0; i + 2 < stages(); ++i) ahead[i] = ahead[i + 1];
    Ahead& last = ahead[stages() - 2];
    last = {kNoTile, 0, 0};
    if (left > 0) last.tile = keys.next(next, &last.found);
    if (last.tile == kNoTile) {
      left = 0;
    } else {
      --left;
      next = last.tile + 1;
      last.key = keys.load(last.tile, {free_stage, free_stage + values_at, key_pitch, value_pitch});
    }
    copy_commit();
    free_stage += static_cast<uint32_t>(stage_bytes());
    if (free_stage == end_of_stages) free_stage = own_stages;
    if (filling > 0) {
      --filling;
      continue;
    }
    Scores s;
    multiply_keys(kWarpTile, {queries, key_pitch}, {stage, key_pitch}, lane, s);
    Adjustment adjustment;
    keys.finish(now, raw, row_of_lane, s, adjustment);
    softmax(args, Keys::weighs(), kWarpTile, factor, adjustment, s, o, state);
    Probabilities p;
    pack_probabilities(kWarpTile, s, p);
    multiply_values(kWarpTile, {stage + values_at, value_pitch}, lane, p, o);
    stage += static_cast<uint32_t>(stage_bytes());
    if (stage == end_of_stages) stage = own_stages;
  }

  copy_wait_all();
  sync_threads();  // nobody reads keys and values any more
  const Parts parts = {all_stages, all_stages + static_cast<uint32_t>(decode_sums_bytes(
                                                    mj_head_dim_v, single(), mj_warps))};
  write_part(parts, lane, warp, o, state);
  sync_threads();
  if (thread_index() < kDecodeRows) merge_states(parts, thread_index());
  sync_threads();
  write_results(device_args, block, parts, split);
}

// Grid: query rows times heads times batch. Merges the splits of one row.
MJ_INLINE void run_merge(const MjDeviceArgs& device_args) {
  const MjAttentionArgs* args = &device_args.attention;
  const int64_t index = block_index();
  const int lane = thread_index() % kWarp;
  const int splits = device_args.splits;
  // Every warp for itself: the row's maximum and denominator.
  float maximum = kNegativeInfinity;
  MJ_ROLL
  for (int i = lane; i < splits; i += kWarp)
    maximum = __builtin_fmaxf(maximum, record_of(device_args, i, index)[record_state()]);
  MJ_UNROLL
  for (int lanes = 16; lanes > 0; lanes >>= 1)
    maximum = __builtin_fmaxf(maximum, shuffle_xor(maximum, lanes));
  const float base = maximum == kNegativeInfinity ? 0.0f : maximum;
  float total = 0.0f;
  MJ_ROLL
  for (int i = lane; i < splits; i += kWarp) {
    const float* state = record_of(device_args, i, index) + record_state();
    const float factor = exp2_approx(state[0] - base);
    total = __builtin_fmaf(state[1], factor, total);
    if (thread_index() < kWarp) store_shared<float>(factor_of(i), factor);
  }
  MJ_UNROLL
  for (int lanes = 16; lanes > 0; lanes >>= 1) total += shuffle_xor(total, lanes);
  sync_threads();
  const int q_len = static_cast<int>(args->q_len);
  const int num_heads = static_cast<int>(args->num_heads);
  const int query = block_index() % q_len;
  const int head = block_index() / q_len % num_heads;
  const int batch = block_index() / q_len / num_heads;
  const float inverse = is_empty(total) ? 0.0f : 1.0f / total;
  MJ_ROLL
  for (int column = thread_index(); column < mj_head_dim_v; column += mj_merge_threads) {
    float sum = 0.0f;
    MJ_ROLL
    for (int first = 0; first < splits; first += kMergeLoads) {
      float values[kMergeLoads];
      MJ_UNROLL
      for (int i = 0; i < kMergeLoads; ++i)
        values[i] = record_of(device_args, smaller(first + i, splits - 1), index)[column];
      MJ_UNROLL
      for (int i = 0; i < kMergeLoads; ++i) {
        if (first + i < splits)
          sum = __builtin_fmaf(values[i], load_shared<float>(factor_of(first + i)), sum);
      }
    }
    write_column(args, batch, head, query, column, sum, inverse, 1.0f);
  }
  if (thread_index() == 0) write_row_scalars(args, index, maximum, total, maximum, 1.0f);
}

}  // namespace mj
