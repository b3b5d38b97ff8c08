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

// `rows` rows of `columns` elements from shared to global memory, by one warp.
MJ_INLINE void copy_rows(int lane, uint32_t from, int pitch, char* to, int64_t stride, int rows,
                         int columns, int bytes, bool wide) {
  if (columns * bytes % 16 == 0 && wide) {
    const int chunks = columns * bytes / 16;
    MJ_ROLL
    for (int i = lane; i < rows * chunks; i += kWarp) {
      const int row = i / chunks;
      const int chunk = i % chunks;
      *reinterpret_cast<Words4*>(to + row * stride + chunk * 16) =
          load_shared<Words4>(from + static_cast<uint32_t>(row * pitch + chunk * 16));
    }
    return;
  }
  MJ_ROLL
  for (int i = lane; i < rows * columns; i += kWarp) {
    const int row = i / columns;
    const int column = i % columns;
    const uint32_t at = from + static_cast<uint32_t>(row * pitch + column * bytes);
    char* there = to + row * stride + column * bytes;
    if (bytes == 4) {
      *reinterpret_cast<uint32_t*>(there) = load_shared<uint32_t>(at);
    } else {
      *reinterpret_cast<uint16_t*>(there) = load_shared<uint16_t>(at);
    }
  }
}

// Zeros in this lane's two columns of every column tile (of so many bytes) of a row: sums of an
// empty row may be anything, NaN included.
MJ_INLINE void clear_columns(uint32_t row, int tile_bytes) {
  MJ_ROLL
  for (int n = 0; n < padded(mj_head_dim_v) / 8; ++n) {
    store_shared<uint32_t>(row + static_cast<uint32_t>(n * tile_bytes), 0);
    if (tile_bytes == 32)
      store_shared<uint32_t>(row + static_cast<uint32_t>(n * tile_bytes + 4), 0);
  }
}

// The numerators of this warp's rows, eight at a time: as f32 they take the place of 16 rows of
// queries at `own`.
MJ_INLINE void write_numerator(const MjAttentionArgs* args, const QueryBlock& block, uint32_t own,
                               int lane, int warp, const Sums& o, const RowState& state) {
  const int pitch = tile_pitch(padded(mj_head_dim_v), true);
  MJ_UNROLL
  for (int m = 0; m < warp_tile().rows; ++m) {
    MJ_UNROLL
    for (int r = 0; r < 2; ++r) {
      const bool empty = is_empty(state.maximum[m][r], state.total[m][r]);
      const uint32_t row = own + static_cast<uint32_t>((lane >> 2) * pitch + (lane & 3) * 8);
      sync_warp();
      MJ_UNROLL
      for (int n = 0; n < padded(mj_head_dim_v) / 8; ++n) {
        const Floats2 pair = {o[m][n][2 * r], o[m][n][2 * r + 1]};
        store_shared<Floats2>(row, n * 32, pair);
      }
      if (empty) clear_columns(row, 32);
      sync_warp();
      const int first = block.query + warp * warp_rows() + m * 16 + r * 8;
      const int left = block.query + block.queries - first;
      char* to = const_cast<char*>(row_of(args->numerator, MJ_F32, block.batch, block.head, first));
      copy_rows(lane, own, pitch, to, args->numerator.row_stride * 4, smaller(left, 8),
                mj_head_dim_v, 4, false);
    }
  }
}

// The results of this warp's rows; outputs go through its rows of the query tile, so that global
// memory sees whole rows.
MJ_INLINE void write_results(const MjAttentionArgs* args, const QueryBlock& block,
                             const Layout& shared, int lane, int warp, Sums& o, RowState& state) {
  const int g = lane >> 2, t = lane & 3;
  const int bytes = element_bytes(mj_element);
  const uint32_t own =
      shared.queries + static_cast<uint32_t>(warp * warp_rows() * shared.query_pitch);
  MJ_UNROLL
  for (int m = 0; m < warp_tile().rows; ++m) {
    MJ_UNROLL
    for (int r = 0; r < 2; ++r) {
      float& total = state.total[m][r];
      const float maximum = state.maximum[m][r];
      total += shuffle_xor(total, 1);
      total += shuffle_xor(total, 2);
      const int query = query_of(block, warp, lane, m, r);
      if (t == 0 && query < block.query + block.queries)
        write_row_scalars(args, row_index(args, block.batch, block.head, query), maximum, total,
                          maximum, 1.0f);
    }
  }
  if (args->numerator.data != nullptr) write_numerator(args, block, own, lane, warp, o, state);
  if (args->output.data == nullptr) return;
  sync_warp();
  MJ_UNROLL
  for (int m = 0; m < warp_tile().rows; ++m) {
    MJ_UNROLL
    for (int r = 0; r < 2; ++r) {
      const bool empty = is_empty(state.maximum[m][r], state.total[m][r]);
      const float inverse = empty ? 0.0f : 1.0f / state.total[m][r];
      const uint32_t row =
          own + static_cast<uint32_t>((m * 16 + r * 8 + g) * shared.query_pitch + 2 * t * bytes);
      MJ_UNROLL
      for (int n = 0; n < padded(mj_head_dim_v) / 8; ++n) {
        const float first = o[m][n][2 * r] * inverse;
        const float second = o[m][n][2 * r + 1] * inverse;
        if (single()) {
          store_shared<float>(row, n * 32, first);
          store_shared<float>(row, n * 32 + 4, second);
        } else {
          store_shared<uint32_t>(row, n * 16, pack(first, second, mj_element));
        }
      }
      if (empty) clear_columns(row, 8 * bytes);
    }
  }
  sync_warp();
  const int first = block.query + warp * warp_rows();
  const int left = block.query + block.queries - first;
  char* to = const_cast<char*>(row_of(args->output, mj_element, block.batch, block.head, first));
  copy_rows(lane, own, shared.query_pitch, to, args->output.row_stride * bytes,
            smaller(left, warp_rows()), mj_head_dim_v, bytes,
            is_wide(args->output, mj_element, mj_head_dim_v));
}

// Grid: query blocks times batch times heads, the last query blocks first: under causal masks they
// are the heavy ones. `keys_of(block)`: the keys of a block of rows.
template <typename Keys, typename KeysOf>
MJ_INLINE void run_forward(const MjAttentionArgs* args, const KeysOf& keys_of) {
  const int lane = thread_index() % kWarp;
  const int warp = thread_index() / kWarp;
  const int num_heads = static_cast<int>(args->num_heads);
  const int heads = static_cast<int>(args->batch_size) * num_heads;
  const int q_len = static_cast<int>(args->q_len);
  const int kv_len = static_cast<int>(args->kv_len);
  const int query_blocks = (q_len + mj_tile_q - 1) / mj_tile_q;
  QueryBlock block;
  block.batch = block_index() % heads / num_heads;
  block.head = block_index() % num_heads;
  block.heads = 1;
  block.kv_head = block.head / (num_heads / static_cast<int>(args->num_kv_heads));
  block.query = (query_blocks - 1 - block_index() / heads) * mj_tile_q;
  block.queries = smaller(q_len - block.query, mj_tile_q);
  block.position = block.query + static_cast<int>(args->q_offset);

  const Layout shared = layout();
  const Team team = whole_block();
  const char* keys = row_of(args->key, mj_element, block.batch, block.kv_head, 0);
  const char* values = row_of(args->value, mj_element, block.batch, block.kv_head, 0);
  const bool wide_keys = is_wide(args->key, mj_element, mj_head_dim);
  const bool wide_values = is_wide(args->value, mj_element, mj_head_dim_v);
  const int64_t key_bytes = args->key.row_stride * element_bytes(mj_element);
  const int64_t value_bytes = args->value.row_stride * element_bytes(mj_element);
  load_tile(team, shared.queries, shared.query_pitch,
            row_of(args->query, mj_element, block.batch, block.head, block.query),
            args->query.row_stride, mj_tile_q, block.queries, mj_head_dim,
            is_wide(args->query, mj_element, mj_head_dim));
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
  write_results(args, block, shared, lane, warp, o, state);
}

}  // namespace mj
