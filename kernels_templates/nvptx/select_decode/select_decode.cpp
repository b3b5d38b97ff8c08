// Decoding over the keys that a sequence of maskers selects. Three kernels: mj_select leaves the
// active keys of each row as a list, mj_attention gathers them and nothing else, a share of the
// list a block, and mj_merge joins the shares.
#include "kernels_templates/nvptx/attention_decode/decode.h"
#include "kernels_templates/nvptx/select/list.h"
#include "kernels_templates/nvptx/select/stages.h"

namespace mj {
namespace {

// Tiles of a row's list. The list has no more than one row of queries, whose products are the first
// row of the matrix instructions' tile.
struct ListedKeys {
  const MjSelectArgs* select;
  const MjAttentionArgs* args;
  SelectedRow row;
  int query;
  const int32_t* list;
  int count;
  KeyRows rows;
  int warp, lane;
  int end;
  int upcoming;  // this lane's key of the tile that is loaded next

  static MJ_MEMBER Blocks blocks(const MjAttentionArgs* args) { return blocks_of(args, 1, 1); }
  static MJ_MEMBER bool weighs() { return mj::weighs(); }

  MJ_MEMBER Share share(int split, int splits, uint32_t) {
    const int64_t tiles = (count + mj_tile_k - 1) / mj_tile_k;
    const int begin = static_cast<int>(tiles * split / splits);
    end = static_cast<int>(tiles * (split + 1) / splits);
    upcoming = begin;
    return {begin, end - begin};
  }
  MJ_MEMBER void start(int, int own_warp_index, int own_lane) {
    warp = own_warp_index;
    lane = own_lane;
    rows = key_rows(args, row.batch, row.kv_head);
    upcoming = key_of(upcoming);
  }
  MJ_MEMBER int first_of(int tile) const { return tile * mj_tile_k + warp * kDecodeKeys; }
  MJ_MEMBER int key_of(int tile) const {
    const int at = first_of(tile) + lane % kDecodeKeys;
    return at < count ? list[at] : 0;
  }
  MJ_MEMBER int next(int tile, int* found) const {
    *found = 1;
    return tile < end ? tile : kNoTile;
  }

  // Starts to copy `columns` elements of the rows of this warp's keys.
  MJ_MEMBER void gather(uint32_t to, int pitch, const char* from, int64_t bytes, int present,
                        int columns, bool wide) const {
    const int element = element_bytes(mj_element);
    if (columns * element % 16 == 0 && wide) {
      const int chunks = columns * element / 16;
      MJ_UNROLL
      for (int start = 0; start < kDecodeKeys * chunks; start += kWarp) {
        const int i = start + lane;
        const int r = i / chunks, chunk = i % chunks;
        const int64_t key = shuffle_from(upcoming, r);
        if (kDecodeKeys * chunks % kWarp != 0 && i >= kDecodeKeys * chunks) continue;
        copy_async(to + static_cast<uint32_t>(r * pitch + chunk * 16),
                   from + key * bytes + chunk * 16, r < present);
      }
      return;
    }
    MJ_ROLL
    for (int start = 0; start < kDecodeKeys * columns; start += kWarp) {
      const int i = start + lane;
      const int r = i / columns, column = i % columns;
      const int64_t key = shuffle_from(upcoming, r % kDecodeKeys);
      if (i < kDecodeKeys * columns)
        copy_element(to + static_cast<uint32_t>(r * pitch + column * element),
                     from + key * bytes + column * element, r < present);
    }
  }
  MJ_MEMBER int load(int tile, const Stage& stage) {
    const int present = count - first_of(tile);
    const int key = upcoming;
    gather(stage.keys, stage.key_pitch, rows.keys, rows.key_bytes, present, mj_head_dim,
           rows.wide_keys);
    gather(stage.values, stage.value_pitch, rows.values, rows.value_bytes, present, mj_head_dim_v,
           rows.wide_values);
    upcoming = key_of(tile + 1);
    return key;
  }

  template <typename RowOf>
  MJ_MEMBER void finish(const Ahead& now, bool raw, RowOf, Scores& s,
                        Adjustment& adjustment) const {
    const void* additive = nullptr;
    if (mj_additive != MJ_NONE)
      additive = row_of(args->additive, mj_additive, row.batch, row.head, query);
    const int left = count - first_of(now.tile);
    adjustment.kept[0] = 0;
    float inverse[4] = {1.0f, 1.0f, 1.0f, 1.0f};
    if (weighs()) {
      // What a weight is is compiled once.
      MJ_ROLL
      for (int e = 0; e < 4; ++e) {
        const int key = shuffle_from(now.key, (e >> 1) * 8 + (lane & 3) * 2 + (e & 1));
        float product = s[0][0][0];
        MJ_UNROLL
        for (int i = 1; i < 4; ++i) product = e == i ? s[0][i >> 1][i & 1] : product;
        const float found = selected_inverse(
            select, row, key, [&]() __attribute__((always_inline)) { return product; });
        MJ_UNROLL
        for (int i = 0; i < 4; ++i) inverse[i] = e == i ? found : inverse[i];
      }
    }
    MJ_UNROLL
    for (int n = 0; n < kWarpTile.keys; ++n) {
      MJ_UNROLL
      for (int c = 0; c < 2; ++c) {
        const int column = n * 8 + (lane & 3) * 2 + c;
        const int key = shuffle_from(now.key, column);
        const bool kept =
            mj_dropout == MJ_NO_DROPOUT || dropout_keeps(args, row.batch, row.head, query, key);
        MJ_UNROLL
        for (int r = 0; r < 2; ++r) {
          const int e = n * 4 + 2 * r + c;
          float& x = s[0][n][2 * r + c];
          if (!raw)
            x = logit(args, row.batch, row.head, row.kv_head, row.position, key, additive, x);
          if (column >= left) x = kNegativeInfinity;
          adjustment.inverse[0][e] = inverse[n * 2 + c];
          adjustment.kept[0] |= static_cast<uint32_t>(kept) << e;
        }
      }
    }
  }
};

}  // namespace
}  // namespace mj

extern "C" MJ_KERNEL void mj_select(const MjSelectArgs args) {
  mj::select_rows(
      &args, [](const mj::SelectRow& row) __attribute__((always_inline)) { mj::write_list(row); });
}

// Grid: query rows times splits.
extern "C" MJ_KERNEL void mj_attention(const MjSelectArgs select_args) {
  using namespace mj;
  const MjAttentionArgs* args = &select_args.device.attention;
  run_decode<ListedKeys>(select_args.device,
                         [&](const QueryBlock& b) __attribute__((always_inline)) {
                           ListedKeys keys;
                           keys.select = &select_args;
                           keys.args = args;
                           keys.query = b.query;
                           keys.row = {plan_row(&select_args, b.batch, b.head, b.query), b.batch,
                                       b.head, b.kv_head, b.position};
                           keys.list = list_of(&select_args, keys.row.index);
                           keys.count = select_args.plan.counts[keys.row.index];
                           return keys;
                         });
}

extern "C" MJ_KERNEL void mj_merge(const MjSelectArgs args) { mj::run_merge(args.device); }
