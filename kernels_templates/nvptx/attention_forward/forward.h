#pragma once
// Blocked attention for sm_80 and up: a block of mj_warps warps takes mj_tile_q query rows of one
// head and visits tiles of mj_tile_k keys. While a tile's scores and softmax are computed its
// values arrive, while its values are multiplied the next keys.
//
// Each warp owns 16 or 32 rows: scores, probabilities and sums stay in its registers. Which tiles
// are visited, and what becomes of their scores, is up to `Keys`.
#include "kernels_templates/nvptx/common/results.h"
#include "kernels_templates/nvptx/common/softmax.h"

namespace mj {

MJ_INLINE WarpTile warp_tile() { return {mj_tile_q / (16 * mj_warps), mj_tile_k / 8}; }
MJ_INLINE int warp_rows() { return mj_tile_q / mj_warps; }

// Shared memory: queries (later the results), keys, values.
struct Layout {
  uint32_t queries, keys, values;
  int query_pitch, key_pitch, value_pitch;
};
MJ_INLINE Layout layout() {
  Layout s;
  s.key_pitch = pitch_of(mj_head_dim);
  s.value_pitch = pitch_of(mj_head_dim_v);
  s.query_pitch = forward_query_pitch(mj_head_dim, mj_head_dim_v, single());
  s.queries = shared_base();
  s.keys = s.queries + static_cast<uint32_t>(mj_tile_q * s.query_pitch);
  s.values = s.keys + static_cast<uint32_t>(mj_tile_k * s.key_pitch);
  return s;
}

// Query row (index) of this lane's row r (0 or 1) of row tile m.
MJ_INLINE int query_of(const QueryBlock& block, int warp, int lane, int m, int r) {
  return block.query + warp * warp_rows() + m * 16 + r * 8 + (lane >> 2);
}

// Results go through shared memory, eight rows of f32 at a time in the place of the warp's queries,
// so that global memory sees whole rows. 32 bytes more than the columns: no bank conflicts.
MJ_INLINE int staged_pitch() { return padded(mj_head_dim_v) * 4 + 32; }

// Eight rows of sums times `factor` to this lane's row of the stage.
MJ_INLINE void stage_rows(const Sums& o, int m, int r, float factor, uint32_t row) {
  MJ_UNROLL
  for (int n = 0; n < padded(mj_head_dim_v) / 8; ++n) {
    const Floats2 pair = {o[m][n][2 * r] * factor, o[m][n][2 * r + 1] * factor};
    store_shared<Floats2>(row, n * 32, pair);
  }
}

// Zeros in this lane's columns: sums of an empty row may be anything, NaN included.
MJ_INLINE void clear_columns(uint32_t row) {
  MJ_ROLL
  for (int n = 0; n < padded(mj_head_dim_v) / 8; ++n)
    store_shared<Floats2>(row + static_cast<uint32_t>(n * 32), Floats2{0.0f, 0.0f});
}

// `rows` staged rows to global memory as f32 or as mj_element, by one warp; stride in bytes.
MJ_INLINE void copy_rows(int lane, uint32_t from, char* to, int64_t stride, int rows,
                         bool as_single, bool wide) {
  if (mj_head_dim_v % 4 == 0 && wide) {
    const int chunks = mj_head_dim_v / 4;
    MJ_ROLL
    for (int i = lane; i < rows * chunks; i += kWarp) {
      const int row = i / chunks;
      const int chunk = i % chunks;
      const Floats4 v =
          load_shared<Floats4>(from + static_cast<uint32_t>(row * staged_pitch() + chunk * 16));
      char* there = to + row * stride;
      if (as_single) {
        reinterpret_cast<Floats4*>(there)[chunk] = v;
      } else {
        reinterpret_cast<Words2*>(there)[chunk] =
            Words2{pack(v.x, v.y, mj_element), pack(v.z, v.w, mj_element)};
      }
    }
    return;
  }
  MJ_ROLL
  for (int i = lane; i < rows * mj_head_dim_v; i += kWarp) {
    const int row = i / mj_head_dim_v;
    const int column = i % mj_head_dim_v;
    const float v =
        load_shared<float>(from + static_cast<uint32_t>(row * staged_pitch() + column * 4));
    store_element(to + row * stride, column, v, as_single ? MJ_F32 : mj_element);
  }
}

// Output and numerator of this warp's rows.
MJ_INLINE void write_rows(const MjAttentionArgs* args, const QueryBlock& block, uint32_t own,
                          int lane, int warp, const Sums& o, const RowState& state) {
  const int groups = 2 * warp_tile().rows;
  const uint32_t own_row =
      own + static_cast<uint32_t>((lane >> 2) * staged_pitch() + (lane & 3) * 8);
  // The output's groups of eight rows, then the numerator's: rolled, the code is half as long.
  MJ_ROLL
  for (int i = args->output.data != nullptr ? 0 : groups; i < 2 * groups; ++i) {
    const bool numerator = i >= groups;
    if (numerator && args->numerator.data == nullptr) break;
    const int group = numerator ? i - groups : i;
    bool empty = false;
    sync_warp();
    MJ_UNROLL
    for (int m = 0; m < warp_tile().rows; ++m) {
      MJ_UNROLL
      for (int r = 0; r < 2; ++r) {
        if (group != 2 * m + r) continue;
        empty = is_empty(state.total[m][r]);
        stage_rows(o, m, r, numerator ? 1.0f : 1.0f / state.total[m][r], own_row);
      }
    }
    if (empty) clear_columns(own_row);
    sync_warp();
    const int first = block.query + warp * warp_rows() + group * 8;
    const int rows = smaller(block.query + block.queries - first, 8);
    const bool as_single = single() || numerator;
    const MjOperand& output = args->output;
    const MjOperand& numerators = args->numerator;
    char* to =
        const_cast<char*>(numerator ? row_of(numerators, MJ_F32, block.batch, block.head, first)
                                    : row_of(output, mj_element, block.batch, block.head, first));
    const int64_t stride =
        numerator ? numerators.row_stride * 4 : output.row_stride * element_bytes(mj_element);
    const bool wide = numerator ? is_wide(numerators, MJ_F32, mj_head_dim_v)
                                : is_wide(output, mj_element, mj_head_dim_v);
    copy_rows(lane, own, to, stride, rows, as_single, wide);
  }
}

// The results of this warp's rows.
MJ_INLINE void write_results(const MjAttentionArgs* args, const QueryBlock& block,
                             const Layout& shared, int lane, int warp, const Sums& o,
                             RowState& state) {
  // The four lanes that share rows write the scalars of one each.
  const int t = lane & 3;
  float own_total = 0.0f, own_maximum = kNegativeInfinity;
  MJ_UNROLL
  for (int m = 0; m < warp_tile().rows; ++m) {
    MJ_UNROLL
    for (int r = 0; r < 2; ++r) {
      float& total = state.total[m][r];
      total += shuffle_xor(total, 1);
      total += shuffle_xor(total, 2);
      if (t == 2 * m + r) {
        own_total = total;
        own_maximum = state.maximum[m][r];
      }
    }
  }
  const int query = query_of(block, warp, lane, t >> 1, t & 1);
  if (t < 2 * warp_tile().rows && query < block.query + block.queries) {
    write_row_scalars(args, row_index(args, block.batch, block.head, query), own_maximum, own_total,
                      own_maximum, 1.0f);
  }
  const uint32_t own =
      shared.queries + static_cast<uint32_t>(warp * warp_rows() * shared.query_pitch);
  write_rows(args, block, own, lane, warp, o, state);
}

// The queries that a launch computes, of each head.
struct QueryRange {
  int first, end;
};

// The last query blocks first: under causal masks they are the heavy ones.
MJ_INLINE QueryBlock block_of(const MjAttentionArgs* args, QueryRange queries, int index) {
  const int num_heads = static_cast<int>(args->num_heads);
  const int heads = static_cast<int>(args->batch_size) * num_heads;
  const int query_blocks = (queries.end - queries.first + mj_tile_q - 1) / mj_tile_q;
  QueryBlock block;
  block.batch = index % heads / num_heads;
  block.head = index % num_heads;
  block.heads = 1;
  block.kv_head = block.head / (num_heads / static_cast<int>(args->num_kv_heads));
  block.query = queries.first + (query_blocks - 1 - index / heads) * mj_tile_q;
  block.queries = smaller(queries.end - block.query, mj_tile_q);
  block.position = block.query + static_cast<int>(args->q_offset);
  return block;
}

// Grid: query blocks times batch times heads. `range_of()`: the queries, asked for where they are
// needed; `keys_of(block)`: the keys of a block of rows.
template <typename Keys, typename RangeOf, typename KeysOf>
MJ_INLINE void run_forward(const MjAttentionArgs* args, const RangeOf& range_of,
                           const KeysOf& keys_of) {
  const int lane = thread_index() % kWarp;
  const int warp = thread_index() / kWarp;
  const int kv_len = static_cast<int>(args->kv_len);
  const QueryBlock block = block_of(args, range_of(), block_index());

  const Layout shared = layout();
  const Team team = whole_block();
  const char* keys = row_of(args->key, mj_element, block.batch, block.kv_head, 0);
  const char* values = row_of(args->value, mj_element, block.batch, block.kv_head, 0);
  const bool wide_keys = is_wide(args->key, mj_element, mj_head_dim);
  const bool wide_values = is_wide(args->value, mj_element, mj_head_dim_v);
  const int64_t key_bytes = args->key.row_stride * element_bytes(mj_element);
  const int64_t value_bytes = args->value.row_stride * element_bytes(mj_element);
  const char* queries = row_of(args->query, mj_element, block.batch, block.head, block.query);
  const int64_t query_bytes = args->query.row_stride * element_bytes(mj_element);
  const bool wide_queries = is_wide(args->query, mj_element, mj_head_dim);
  MJ_ROLL
  for (int first = 0; first < mj_tile_q; first += mj_tile_q / 4) {
    load_tile(team, shared.queries + static_cast<uint32_t>(first * shared.query_pitch),
              shared.query_pitch, queries + first * query_bytes, args->query.row_stride,
              mj_tile_q / 4, block.queries - first, mj_head_dim, wide_queries);
  }
  copy_commit();
  clear_padding(team, shared.queries, shared.query_pitch, mj_tile_q, mj_head_dim);
  clear_padding(team, shared.keys, shared.key_pitch, mj_tile_k, mj_head_dim);
  clear_padding(team, shared.values, shared.value_pitch, mj_tile_k, mj_head_dim_v);

  const WarpTile part = warp_tile();
  const Rows own_queries = {
      shared.queries + static_cast<uint32_t>(warp * warp_rows() * shared.query_pitch),
      shared.query_pitch};
  const auto row_of_lane = [&](int m, int r) __attribute__((always_inline)) {
    const int last = block.query + block.queries - 1;
    const int query = smaller(query_of(block, warp, lane, m, r), last);
    return LaneRow{block.head, query, query - block.query + block.position};
  };
  const bool raw = keeps_products(args);
  const float factor = raw ? args->scale * kLog2E : kLog2E;
  Probabilities p;
  Sums o;
  RowState state;
  start(part, state, o);

  const Keys active = keys_of(block);
  int tile = -1;
  MJ_ROLL
  for (;;) {
    int found = 0;
    const int next = active.next(tile + 1, &found);
    if (next != kNoTile) {
      load_tile(team, shared.keys, shared.key_pitch, keys + next * mj_tile_k * key_bytes,
                args->key.row_stride, mj_tile_k, kv_len - next * mj_tile_k, mj_head_dim, wide_keys);
      copy_commit();
    }
    if (tile >= 0) multiply_values(part, {shared.values, shared.value_pitch}, lane, p, o);
    if (next == kNoTile) break;
    tile = next;
    copy_wait_all();
    sync_threads();  // the keys are there; nobody reads the last values any more
    load_tile(team, shared.values, shared.value_pitch, values + tile * mj_tile_k * value_bytes,
              args->value.row_stride, mj_tile_k, kv_len - tile * mj_tile_k, mj_head_dim_v,
              wide_values);
    copy_commit();
    Scores s;
    multiply_keys(part, own_queries, {shared.keys, shared.key_pitch}, lane, s);
    Adjustment adjustment;
    active.finish(found, raw, part, lane, tile * mj_tile_k, row_of_lane, s, adjustment);
    softmax(args, Keys::weighs(), part, factor, adjustment, s, o, state);
    pack_probabilities(part, s, p);
    copy_wait_all();
    sync_threads();  // the values are there; nobody reads the keys any more
  }
  // Without a tile the queries are still on their way, to where the results go.
  copy_wait_all();
  sync_threads();
  // Once more, so that no register holds it through the loop.
  write_results(args, block_of(args, range_of(), here(block_index())), shared, lane, warp, o,
                state);
}

}  // namespace mj
