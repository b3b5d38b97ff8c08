// Blocked attention over the keys that a sequence of maskers selects. Three kernels: mj_select
// leaves the active keys of each row as bits, mj_tiles finds the tiles that have any, and
// mj_attention visits those, with a word of 64 keys a row.
#include "kernels_templates/nvptx/attention_forward/forward.h"
#include "kernels_templates/nvptx/select/stages.h"

namespace mj {
namespace {

// The tile bits of a block of query rows of the round.
MJ_INLINE uint32_t* tiles_of(const MjSelectArgs* args, int batch, int head, int query_block) {
  const MjAttentionArgs* attention = &args->device.attention;
  const int64_t query_blocks = (args->plan.query_count + mj_tile_q - 1) / mj_tile_q;
  const int64_t index = (int64_t{batch} * attention->num_heads + head) * query_blocks + query_block;
  return args->plan.tiles + index * args->plan.tile_words;
}

// The keys of a tile that are active for a row, from bit 0 on.
MJ_INLINE uint64_t word_of_tile(const uint32_t* set, int k_begin) {
  return reinterpret_cast<const uint64_t*>(set)[k_begin / 64] >> (k_begin % 64);
}

struct SelectedTiles {
  const MjSelectArgs* select;
  const MjAttentionArgs* args;
  QueryBlock block;
  const uint32_t* tiles;

  static MJ_MEMBER bool weighs() { return mj::weighs(); }
  MJ_MEMBER int next(int tile, int* found) const {
    *found = 1;
    MJ_ROLL
    for (int word = tile / 32; word < select->plan.tile_words; ++word) {
      uint32_t bits = tiles[word];
      if (word == tile / 32) bits &= ~0u << (tile % 32);
      if (bits != 0) return word * 32 + __builtin_ctz(bits);
    }
    return kNoTile;
  }

  // 1 / weight of the active elements, before products become logits.
  template <typename RowOf>
  MJ_MEMBER void find_weights_of(WarpTile part, int lane, int k_begin, RowOf row, const Scores& s,
                                 Adjustment& adjustment) const {
    // With a subscript that is no constant: a copy in memory, and only where a weight needs it.
    float products[kMaxRowTiles][4 * kMaxKeyTiles];
    if (uses_rule(MJ_MAGIC_PIG)) {
      MJ_UNROLL
      for (int m = 0; m < part.rows; ++m) {
        MJ_UNROLL
        for (int n = 0; n < part.keys; ++n) {
          MJ_UNROLL
          for (int e = 0; e < 4; ++e) products[m][n * 4 + e] = s[m][n][e];
        }
      }
    }
    MJ_ROLL
    for (int m = 0; m < part.rows; ++m) {
      MJ_ROLL
      for (int e = 0; e < part.keys * 4; ++e) {
        const LaneRow at = row(m, e >> 1 & 1);
        const SelectedRow selected = {plan_row(select, block.batch, at.head, at.query), block.batch,
                                      at.head, block.kv_head, at.position};
        const int key = k_begin + (e >> 2) * 8 + (lane & 3) * 2 + (e & 1);
        adjustment.inverse[m][e] = 0.0f;
        if (key < static_cast<int>(args->kv_len) && is_selected(select, selected, key)) {
          adjustment.inverse[m][e] =
              selected_inverse(select, selected, key, [&]() __attribute__((always_inline)) {
                return uses_rule(MJ_MAGIC_PIG) ? products[m][e] : 0.0f;
              });
        }
      }
    }
  }

  template <typename RowOf>
  MJ_MEMBER void finish(int, bool raw, WarpTile part, int lane, int k_begin, RowOf row, Scores& s,
                        Adjustment& adjustment) const {
    if (weighs()) find_weights_of(part, lane, k_begin, row, s, adjustment);
    if (!raw) apply_score(args, block, part, lane, k_begin, row, s);
    MJ_UNROLL
    for (int m = 0; m < part.rows; ++m) {
      MJ_UNROLL
      for (int r = 0; r < 2; ++r) {
        const LaneRow at = row(m, r);
        const int64_t index = plan_row(select, block.batch, at.head, here(at.query));
        keep_word(word_of_tile(sets_of(select, index), k_begin), part, lane, m, r, s);
      }
    }
    if (mj_dropout != MJ_NO_DROPOUT)
      find_dropout(args, block, part, lane, k_begin, row, adjustment);
  }
};

}  // namespace
}  // namespace mj

extern "C" MJ_KERNEL void mj_select(const MjSelectArgs args) {
  mj::select_rows(&args, [](const mj::SelectRow&) __attribute__((always_inline)) {});
}

// Grid: a warp for 32 tiles of a block of query rows.
extern "C" MJ_KERNEL void mj_tiles(const MjSelectArgs args) {
  using namespace mj;
  const MjAttentionArgs* attention = &args.device.attention;
  const int num_heads = static_cast<int>(attention->num_heads);
  const int queries = args.plan.query_count;
  const int query_blocks = (queries + mj_tile_q - 1) / mj_tile_q;
  const int64_t warp =
      static_cast<int64_t>(block_index()) * (mj_tiles_threads / kWarp) + warp_index();
  const int64_t words = attention->batch_size * num_heads * query_blocks * args.plan.tile_words;
  if (warp >= words) return;
  const int word = static_cast<int>(warp % args.plan.tile_words);
  const int block = static_cast<int>(warp / args.plan.tile_words);
  const int query_block = block % query_blocks;
  const int64_t row_head = block / query_blocks;
  const int k_begin = (word * 32 + lane_index()) * mj_tile_k;
  const bool there = k_begin < static_cast<int>(attention->kv_len);
  const int first = query_block * mj_tile_q, end = smaller(first + mj_tile_q, queries);
  uint64_t any = 0;
  MJ_ROLL
  for (int query = first; there && query < end; ++query)
    any |= word_of_tile(sets_of(&args, row_head * queries + query), k_begin);
  if (mj_tile_k < 64) any &= (uint64_t{1} << (mj_tile_k % 64)) - 1;
  const uint32_t bits = vote(any != 0);
  if (lane_index() == 0) {
    tiles_of(&args, static_cast<int>(row_head / num_heads), static_cast<int>(row_head % num_heads),
             query_block)[word] = bits;
  }
}

extern "C" MJ_KERNEL void mj_attention(const MjSelectArgs select_args) {
  using namespace mj;
  const MjAttentionArgs* args = &select_args.device.attention;
  const MjSelectPlan& plan = select_args.plan;
  const auto queries_of_round = [&]() __attribute__((always_inline)) {
    return QueryRange{plan.first_query, plan.first_query + plan.query_count};
  };
  run_forward<SelectedTiles>(
      args, queries_of_round, [&](const QueryBlock& block) __attribute__((always_inline)) {
        const int query_block = (block.query - plan.first_query) / mj_tile_q;
        return SelectedTiles{&select_args, args, block,
                             tiles_of(&select_args, block.batch, block.head, query_block)};
      });
}
