// Blocked attention for the host: row blocks of mj_tile_q queries, key tiles of mj_tile_k, online
// softmax.
//
// An item is a few row blocks of one key head. Keys and values are packed by chunks of a few tiles,
// which stay in the second-level cache and serve all blocks of the item; the sums of a block stay
// in the first-level cache while a chunk streams by. For each row block, by steps of up to
// kStepTiles neighbouring tiles that are not empty for it: scores = Q K^T, logits (only where there
// is a score, an additive mask or a partial tile), softmax update, accumulators += P V.
#include "kernels_templates/host/common/adjust.h"
#include "kernels_templates/host/common/exp2.h"
#include "kernels_templates/host/common/key_tiles.h"
#include "kernels_templates/host/common/scores.h"
#include "kernels_templates/host/microkernels/microkernels.h"

namespace mj {
namespace {

constexpr int kMaxBlocks = 32;  // row blocks of an item
constexpr int kFewBlocks = 4;   // below this, packing costs more than an even split gains
constexpr int kStepTiles = 4;   // key tiles of a step
constexpr int kMaxChunkTiles = 8;
constexpr int64_t kThreadProducts = 500'000;  // worth waking a thread; twice that for pairs
constexpr int kAttempts = 2;  // in vain, of mj_attend_tiles for a row block of an item

// MjPlan::parameters of this kernel.
enum Parameter {
  kHeadsPerBlock,
  kQueriesPerBlock,
  kQueryBlocks,
  kHeadBlocks,
  kBlocksPerItem,
  kItems,  // of a key head
  kChunkTiles
};

struct Scratch {
  uint32_t* queries;  // [blocks][mj_tile_q][words]
  uint32_t* keys;     // [tiles of a chunk][mj_tile_k / 16][words][16]
  uint32_t* values;   // [columns / 16][keys of a chunk (half of it for pairs)][16]
  float* scores;      // [mj_tile_q][step_keys]
  uint32_t* weights;  // [mj_tile_q][step_keys / 2], pairs only
  float* sums;        // [blocks][mj_tile_q][columns]
  float* maximum;     // [blocks][mj_tile_q]
  float* total;       // [blocks][mj_tile_q]
  float* allowed;     // [blocks][mj_tile_q]: maximum over the allowed keys
  float* rescale;     // [mj_tile_q]; twice that where exponentials are adjusted
  int64_t panel;      // words from one panel of values to the next
  int64_t bytes;
};

MJ_INLINE int step_keys() { return kStepTiles * mj_tile_k; }
// Rows of a panel of values that a key tile takes.
MJ_INLINE int value_rows() { return mj_pairs ? mj_tile_k / 2 : mj_tile_k; }
// Words of a query row that hold elements, and what they are padded to for the matrix product.
MJ_INLINE int head_words() { return mj_pairs ? (mj_head_dim + 1) / 2 : mj_head_dim; }
MJ_INLINE int query_words() { return round_up(head_words(), mj_word_multiple); }
// Two panels at a time where the matrix unit takes them so.
MJ_INLINE int padded_value_columns() {
  const bool tiles = mj_pairs && mj_word_multiple == kLanes;
  return round_up(mj_head_dim_v, tiles ? 2 * kLanes : kLanes);
}

MJ_INLINE int64_t key_tile_words() { return static_cast<int64_t>(query_words()) * mj_tile_k; }

MJ_INLINE void multiply(const uint32_t* a, int lda, const uint32_t* b, int64_t panel, float* c,
                        int ldc, int m, int n, int k, bool accumulate) {
  const auto product = mj_pairs ? mj_multiply_pairs : mj_multiply_f32;
  product(a, lda, b, static_cast<int32_t>(panel), c, ldc, m, n, k, accumulate);
}

MJ_INLINE Scratch layout(const MjPlan* plan, void* base) {
  Scratch s = {};
  // An address: mj_plan lays out from null to learn the size.
  const uintptr_t at = reinterpret_cast<uintptr_t>(base);
  int64_t used = 0;
  const auto take = [&](int64_t words) __attribute__((always_inline)) {
    const uintptr_t p = at + static_cast<uintptr_t>(used);
    used += round_up64(words * 4, 64);
    return p;
  };
  const int64_t rows = plan->parameters[kBlocksPerItem] * mj_tile_q;
  const int64_t tiles = plan->parameters[kChunkTiles];
  const int64_t step = static_cast<int64_t>(mj_tile_q) * step_keys();
  const int columns = padded_value_columns();
  s.panel = tiles * value_rows() * kLanes;
  // Rows shorter than a vector are written as whole vectors.
  s.queries = reinterpret_cast<uint32_t*>(take(rows * query_words() + kLanes));
  s.keys = reinterpret_cast<uint32_t*>(take(tiles * key_tile_words() + kLanes * kLanes));
  s.values = reinterpret_cast<uint32_t*>(take(s.panel * (columns / kLanes)));
  s.scores = reinterpret_cast<float*>(take(step));
  s.weights = reinterpret_cast<uint32_t*>(take(mj_pairs ? step / 2 : 0));
  s.sums = reinterpret_cast<float*>(take(rows * columns));
  s.maximum = reinterpret_cast<float*>(take(rows));
  s.total = reinterpret_cast<float*>(take(rows));
  s.allowed = reinterpret_cast<float*>(take(rows));
  s.rescale = reinterpret_cast<float*>(take(adjusts() ? 2 * mj_tile_q : mj_tile_q));
  s.bytes = used;
  return s;
}

// Where exponentials are adjusted: room for the sums of what they were before, which nothing takes.
MJ_INLINE float* unadjusted_sums(const Scratch& s) { return s.rescale + mj_tile_q; }

MJ_INLINE int keys_of_tile(const MjAttentionArgs* args, int64_t tile) {
  const int64_t left = args->kv_len - tile * mj_tile_k;
  return left < mj_tile_k ? static_cast<int>(left) : mj_tile_k;
}

// Neighbouring key tiles of a chunk that a row block takes together.
struct Step {
  int64_t tile;  // the first
  int at;        // its place in the chunk
  int tiles;
  int32_t classes[kStepTiles];

  MJ_MEMBER int columns() const { return tiles * mj_tile_k; }
};

// From the products of a tile of class `tile_class`, rows `stride` apart, to logits.
MJ_OUTLINE void finish_tile(const MjAttentionArgs* args, const RowBlock& block, int64_t tile,
                            int32_t tile_class, float* scores, int stride) {
  const int count = keys_of_tile(args, tile);
  if (keeps_products(args) && tile_class == 2 && count == mj_tile_k) return;
  for (int r = 0; r < block.rows(); ++r) {
    finish_row(args, block, r, tile * mj_tile_k, count, tile_class != 2, scores + r * stride);
  }
}

// What turns what finish_tile leaves into base-2 exponents.
MJ_INLINE float exponent_factor(const MjAttentionArgs* args) {
  return keeps_products(args) ? args->scale * kLog2E : kLog2E;
}

// scores = Q K^T, then logits in place.
MJ_OUTLINE void step_logits(const MjAttentionArgs* args, const RowBlock& block,
                            const uint32_t* queries, const Scratch& s, const Step& step) {
  const int words = query_words();
  multiply(queries, words, s.keys + step.at * key_tile_words(), int64_t{words} * kLanes, s.scores,
           step_keys(), round_up(block.rows(), 16), step.columns(), words, false);
  for (int i = 0; i < step.tiles; ++i) {
    finish_tile(args, block, step.tile + i, step.classes[i], s.scores + i * mj_tile_k, step_keys());
  }
}

// accumulators += P V, P in s.weights for pairs and else in s.scores.
MJ_INLINE void multiply_values(const Scratch& s, int rows, const Step& step, float* sums) {
  const uint32_t* weights = mj_pairs ? s.weights : reinterpret_cast<const uint32_t*>(s.scores);
  const int stride = mj_pairs ? step_keys() / 2 : step_keys();
  const int columns = padded_value_columns();
  const uint32_t* values = s.values + static_cast<int64_t>(step.at) * value_rows() * kLanes;
  multiply(weights, stride, values, s.panel, sums, columns, round_up(rows, 16), columns,
           step.tiles * value_rows(), true);
}

// One step of one row block: softmax update and accumulators += P V.
MJ_OUTLINE void accumulate_step(const RowBlock& block, const Scratch& s, const Step& step,
                                float factor, float* sums, float* maximum, float* total) {
  const int rows = block.rows();
  mj_softmax_rows(s.scores, rows, step.columns(), step_keys(), factor, maximum, total, s.rescale,
                  sums, padded_value_columns(), mj_pairs ? s.weights : nullptr);
  multiply_values(s, rows, step, sums);
}

// accumulate_step where exponentials are adjusted before they multiply values: the denominator
// takes the sums that adjusting gives.
MJ_OUTLINE void accumulate_adjusted_step(const MjAttentionArgs* args, const RowBlock& block,
                                         const Scratch& s, const Step& step, float factor,
                                         float* sums, float* maximum, float* total) {
  const int rows = block.rows();
  mj_softmax_rows(s.scores, rows, step.columns(), step_keys(), factor, maximum, unadjusted_sums(s),
                  s.rescale, sums, padded_value_columns(), nullptr);
  for (int r = 0; r < rows; ++r) {
    float* x = s.scores + r * step_keys();
    float taken = 0.0f;
    for (int i = 0; i < step.tiles; ++i) {
      taken += mj_adjust_row(args, block.batch, block.head_of(r), block.kv_head, block.query_of(r),
                             (step.tile + i) * mj_tile_k, keys_of_tile(args, step.tile + i),
                             x + i * mj_tile_k);
    }
    total[r] = total[r] * s.rescale[r] + taken;
    if (mj_pairs) mj_round_pairs(x, s.weights + r * step_keys() / 2, step.columns());
  }
  multiply_values(s, rows, step, sums);
}

// Packs tile `tile` of keys as tile `at` of the chunk.
MJ_INLINE void pack_key_tile(const MjAttentionArgs* args, const RowBlock& block, int64_t tile,
                             int at, const Scratch& s) {
  mj_pack_keys(row_of(args->key, mj_element, block.batch, block.kv_head, tile * mj_tile_k),
               args->key.row_stride * element_bytes(mj_element), keys_of_tile(args, tile),
               mj_element, mj_pairs != 0, mj_head_dim, query_words(), mj_tile_k,
               s.keys + at * key_tile_words());
}

MJ_INLINE void pack_value_tile(const MjAttentionArgs* args, const RowBlock& block, int64_t tile,
                               int at, const Scratch& s) {
  mj_pack_values(row_of(args->value, mj_element, block.batch, block.kv_head, tile * mj_tile_k),
                 args->value.row_stride * element_bytes(mj_element), keys_of_tile(args, tile),
                 mj_element, mj_pairs != 0, mj_head_dim_v, mj_tile_k, static_cast<int32_t>(s.panel),
                 s.values + static_cast<int64_t>(at) * value_rows() * kLanes);
}

// The row maximum over every key that the additive mask allows (MjAttentionArgs::row_max_over_all).
MJ_OUTLINE void maximum_over_all(const MjAttentionArgs* args, const RowBlock* blocks,
                                 int count_blocks, const Scratch& s) {
  const int words = query_words();
  const int64_t tiles = (args->kv_len + mj_tile_k - 1) / mj_tile_k;
  for (int64_t tile = 0; tile < tiles; ++tile) {
    pack_key_tile(args, blocks[0], tile, 0, s);
    const Step step = {tile, 0, 1, {2}};
    for (int t = 0; t < count_blocks; ++t) {
      step_logits(args, blocks[t], s.queries + t * mj_tile_q * words, s, step);
      for (int r = 0; r < blocks[t].rows(); ++r) {
        float& allowed = s.allowed[t * mj_tile_q + r];
        const float largest =
            mj_row_maximum(s.scores + r * step_keys(), mj_tile_k, exponent_factor(args));
        allowed = largest > allowed ? largest : allowed;
      }
    }
  }
}

// Dense weights e / denominator of one row block; inactive tiles are zeros.
MJ_OUTLINE void write_weights(const MjAttentionArgs* args, const RowBlock& block, const Scratch& s,
                              int t) {
  const int words = query_words();
  const int64_t tiles = (args->kv_len + mj_tile_k - 1) / mj_tile_k;
  for (int64_t tile = 0; tile < tiles; ++tile) {
    const int count = keys_of_tile(args, tile);
    const Step step = {tile, 0, 1, {classify(args, block, tile * mj_tile_k, count)}};
    const bool empty = step.classes[0] == 0;
    const float factor = exponent_factor(args);
    if (!empty) {
      pack_key_tile(args, block, tile, 0, s);
      step_logits(args, block, s.queries + t * mj_tile_q * words, s, step);
    }
    for (int r = 0; r < block.rows(); ++r) {
      float* out = static_cast<float*>(const_cast<void*>(
          row_of(args->weights, MJ_F32, block.batch, block.head_of(r), block.query_of(r))));
      const float m = s.maximum[t * mj_tile_q + r];
      const float total = s.total[t * mj_tile_q + r];
      const bool none = empty || total == 0.0f;
      const float inverse = none ? 0.0f : 1.0f / total;
      float* x = s.scores + r * step_keys();
      if (!none) mj_exponentials(x, mj_tile_k, factor, exponent_base(m));
      if (!none && adjusts()) {
        mj_adjust_row(args, block.batch, block.head_of(r), block.kv_head, block.query_of(r),
                      tile * mj_tile_k, count, x);
      }
      for (int j = 0; j < count; ++j) out[tile * mj_tile_k + j] = none ? 0.0f : x[j] * inverse;
    }
  }
}

// The row blocks of an item; returns their number.
MJ_INLINE int blocks_of_item(const MjAttentionArgs* args, const MjPlan* plan, int64_t item,
                             RowBlock* blocks) {
  const int64_t* p = plan->parameters;
  const int64_t key_heads = args->batch_size * args->num_kv_heads;
  // Later queries first: under causal masks they are the heavy ones.
  const int64_t at = p[kItems] - 1 - item / key_heads;
  const int64_t all = p[kQueryBlocks] * p[kHeadBlocks];
  int count = 0;
  for (int64_t i = at * p[kBlocksPerItem]; i < all && count < p[kBlocksPerItem]; ++i) {
    blocks[count++] = row_block(args, item % key_heads, i, p[kHeadsPerBlock], p[kHeadBlocks],
                                p[kQueriesPerBlock]);
  }
  return count;
}

// Do exponentials follow from logits alone, and may they be relative to a maximum that is not the
// row's own?
MJ_INLINE bool takes_any_maximum(const MjAttentionArgs* args) {
  return mj_pairs && !adjusts() && args->row_max == nullptr && args->numerator.data == nullptr &&
         args->denominator == nullptr && !(mj_dense_results && args->weights.data != nullptr);
}

// What finish_tile takes of a row block, by tiles from `first` on.
struct TilesToFinish {
  const MjAttentionArgs* args;
  const RowBlock* block;
  int64_t first;
  const int32_t* classes;
};
MJ_OUTLINE MJ_DIRECTOR void finish_one(const void* tiles, int32_t i, float* scores) {
  const TilesToFinish* t = static_cast<const TilesToFinish*>(tiles);
  finish_tile(t->args, *t->block, t->first + i, t->classes[i], scores, mj_tile_k);
}

// mj_attend_tiles on `tiles` tiles of row block `t` from place `at` of the chunk on. begun: scores
// are the products of the last of them. next: the place of the tile that the next row block begins
// with, or -1.
MJ_OUTLINE MJ_DIRECTOR int attend_tiles(const TilesToFinish& finish, const Scratch& s, int t,
                                        int at, int tiles, bool begun, int next,
                                        MjRowsToFetch* ahead) {
  const int row = t * mj_tile_q;
  const MjAttentionArgs* args = finish.args;
  const MjTilesToAttend job = {s.queries + row * query_words(),
                               s.keys + at * key_tile_words(),
                               s.values + static_cast<int64_t>(at) * value_rows() * kLanes,
                               s.maximum + row,
                               s.total + row,
                               s.sums + row * padded_value_columns(),
                               s.scores,
                               s.weights,
                               static_cast<int32_t>(s.panel),
                               finish.block->rows(),
                               query_words(),
                               padded_value_columns(),
                               mj_tile_k,
                               exponent_factor(args),
                               args->lse != nullptr,
                               finish_one,
                               &finish,
                               ahead,
                               begun,
                               next < 0 ? nullptr : s.queries + (row + mj_tile_q) * query_words(),
                               next < 0 ? nullptr : s.keys + next * key_tile_words()};
  return mj_attend_tiles(&job, tiles);
}

// Neighbouring key tiles, at most a chunk.
struct Tiles {
  int64_t first;
  int count;
};

// Part `part` of `parts` of the keys and values of tiles that are packed next.
MJ_INLINE MjRowsToFetch rows_ahead(const MjAttentionArgs* args, const RowBlock& block,
                                   const Tiles& next, int part, int parts) {
  const int64_t begin = next.first * mj_tile_k;
  int64_t rows = args->kv_len - begin;
  rows = rows < next.count * mj_tile_k ? rows : next.count * mj_tile_k;
  const int64_t from = rows * part / parts;
  const int64_t bytes = element_bytes(mj_element);
  const auto row = [&](const MjOperand& x) __attribute__((always_inline)) {
    return static_cast<const char*>(
        row_of(x, mj_element, block.batch, block.kv_head, begin + from));
  };
  return {{row(args->key), row(args->value)},
          {args->key.row_stride * bytes, args->value.row_stride * bytes},
          {mj_head_dim * bytes, mj_head_dim_v * bytes},
          rows * (part + 1) / parts - from};
}

// Everything of `chunk`, whose tiles the runs of the item hold, as they hold those of `next`: the
// last tiles first, as under causal masks they hold the largest scores more often than others do.
// attempts: of each row block, with mj_attend_tiles.
MJ_OUTLINE MJ_DIRECTOR void visit_chunk(const MjAttentionArgs* args, const RowBlock* blocks,
                                        int count_blocks, const Scratch& s, const Tiles& chunk,
                                        const Tiles& next, int* attempts) {
  const int64_t first = chunk.first;
  const int tiles = chunk.count;
  int32_t classes[kMaxBlocks][kMaxChunkTiles];
  int lowest[kMaxBlocks], highest[kMaxBlocks];  // that are not Empty, of each row block; none: -1
  bool needed[kMaxChunkTiles] = {};
  for (int t = 0; t < count_blocks; ++t) {
    lowest[t] = highest[t] = -1;
    for (int i = 0; i < tiles; ++i) {
      const int64_t tile = first + i;
      classes[t][i] = classify(args, blocks[t], tile * mj_tile_k, keys_of_tile(args, tile));
      if (classes[t][i] == 0) continue;
      needed[i] = true;
      lowest[t] = highest[t] < 0 ? i : lowest[t];
      highest[t] = i;
    }
  }
  for (int i = 0; i < tiles; ++i) {
    if (!needed[i]) continue;
    pack_key_tile(args, blocks[0], first + i, i, s);
    pack_value_tile(args, blocks[0], first + i, i, s);
  }
  const int words = query_words();
  const int columns = padded_value_columns();
  bool begun = false;  // scores are the products of the highest tile of row block t
  for (int t = 0; t < count_blocks; ++t) {
    MjRowsToFetch ahead = rows_ahead(args, blocks[0], next, t, count_blocks);
    const int after = t + 1 < count_blocks && attempts[t + 1] > 0 ? highest[t + 1] : -1;
    for (int end = tiles; end > 0;) {
      if (classes[t][end - 1] == 0) {
        --end;
        continue;
      }
      int most = kStepTiles;
      if (attempts[t] > 0) {
        int some = 1;
        while (some < end && classes[t][end - 1 - some] != 0) ++some;
        const int at = end - some;
        const TilesToFinish finish = {args, &blocks[t], first + at, classes[t] + at};
        const int begin_next = at == lowest[t] ? after : -1;
        const int done = attend_tiles(finish, s, t, at, some, begun, begin_next, &ahead);
        begun = done == some && begin_next >= 0;
        if (done > 0) {
          end -= done;
          continue;
        }
        attempts[t] = done < 0 ? 0 : attempts[t] - 1;
        // One tile gives every row its own maximum.
        if (attempts[t] > 0) most = 1;
      }
      int begin = end - 1;
      while (begin > 0 && end - begin < most && classes[t][begin - 1] != 0) --begin;
      Step step = {first + begin, begin, end - begin, {}};
      for (int i = 0; i < step.tiles; ++i) step.classes[i] = classes[t][begin + i];
      end = begin;
      step_logits(args, blocks[t], s.queries + t * mj_tile_q * words, s, step);
      const float factor = exponent_factor(args);
      float* sums = s.sums + t * mj_tile_q * columns;
      float* maximum = s.maximum + t * mj_tile_q;
      float* total = s.total + t * mj_tile_q;
      if (adjusts()) {
        accumulate_adjusted_step(args, blocks[t], s, step, factor, sums, maximum, total);
      } else {
        accumulate_step(blocks[t], s, step, factor, sums, maximum, total);
      }
    }
    mj_fetch_rows(&ahead);
  }
}

MJ_INLINE void run_item(const MjAttentionArgs* args, const MjPlan* plan, int64_t item,
                        void* scratch) {
  RowBlock blocks[kMaxBlocks];
  const int count_blocks = blocks_of_item(args, plan, item, blocks);
  const Scratch s = layout(plan, scratch);
  const int words = query_words();
  const int columns = padded_value_columns();
  MjTileRuns runs;
  runs.count = 0;
  for (int t = 0; t < count_blocks; ++t) {
    const RowBlock& b = blocks[t];
    for (int r = 0; r < b.rows(); ++r) {
      mj_pack_query(row_of(args->query, mj_element, b.batch, b.head_of(r), b.query_of(r)),
                    mj_element, mj_pairs != 0, mj_head_dim, words,
                    s.queries + (t * mj_tile_q + r) * words);
    }
    for (int r = 0; r < mj_tile_q; r += kLanes) {
      store(s.maximum + t * mj_tile_q + r, splat(kNegativeInfinity));
      store(s.total + t * mj_tile_q + r, splat(0.0f));
      store(s.allowed + t * mj_tile_q + r, splat(kNegativeInfinity));
    }
    for (int i = 0; i < mj_tile_q * columns; i += kLanes)
      store(s.sums + t * mj_tile_q * columns + i, splat(0.0f));
    const int32_t q_lo = position(args, b.query);
    for (int h = 0; h < (mj_by_head ? b.heads : 1); ++h) {
      add_key_tiles(args, b.batch, b.head + h, b.kv_head, q_lo, q_lo + b.queries - 1, 0,
                    args->kv_len, &runs);
    }
  }
  for (int r = 0; adjusts() && r < mj_tile_q; r += kLanes)
    store(unadjusted_sums(s) + r, splat(0.0f));
  if (mj_pairs) mj_pairs_begin();
  if (mj_dense_results && args->row_max_over_all) maximum_over_all(args, blocks, count_blocks, s);
  const int64_t most = plan->parameters[kChunkTiles];
  int attempts[kMaxBlocks];
  for (int& some : attempts) some = takes_any_maximum(args) ? kAttempts : 0;
  Tiles chunk = {0, 0};
  for (int run = runs.count - 1; run >= 0; --run) {
    for (int64_t end = runs.end[run]; end > runs.begin[run];) {
      const int64_t left = end - runs.begin[run];
      const int64_t count = left < most ? left : most;
      end -= count;
      const Tiles next = {end, static_cast<int>(count)};
      if (chunk.count > 0) visit_chunk(args, blocks, count_blocks, s, chunk, next, attempts);
      chunk = next;
    }
  }
  if (chunk.count > 0) visit_chunk(args, blocks, count_blocks, s, chunk, {0, 0}, attempts);
  for (int t = 0; t < count_blocks; ++t) {
    for (int r = 0; r < blocks[t].rows(); ++r) {
      const int i = t * mj_tile_q + r;
      const float reported =
          mj_dense_results && args->row_max_over_all ? s.allowed[i] : s.maximum[i];
      mj_write_row(args, mj_element, mj_head_dim_v, blocks[t].batch, blocks[t].head_of(r),
                   blocks[t].query_of(r), s.sums + i * columns, s.maximum[i], s.total[i], reported);
    }
    if (mj_dense_results && args->weights.data != nullptr) write_weights(args, blocks[t], s, t);
  }
  if (mj_pairs) mj_pairs_end();
}

}  // namespace
}  // namespace mj

extern "C" {

MJ_DIRECTOR void mj_plan(const MjAttentionArgs* args, int64_t threads, MjPlan* plan) {
  using namespace mj;
  const int64_t group = args->num_heads / args->num_kv_heads;
  const int64_t queries = args->q_len < mj_tile_q ? args->q_len : mj_tile_q;
  int64_t heads = queries > 0 ? mj_tile_q / queries : 1;
  if (args->q_len >= mj_tile_q) heads = 1;
  heads = heads < group ? heads : group;
  const int64_t query_blocks = queries > 0 ? (args->q_len + queries - 1) / queries : 0;
  const int64_t head_blocks = (group + heads - 1) / heads;
  const int64_t key_heads = args->batch_size * args->num_kv_heads;
  const int64_t blocks = query_blocks * head_blocks;
  const int64_t products = args->batch_size * args->num_heads * args->q_len * args->kv_len *
                           (mj_head_dim + mj_head_dim_v);
  plan->threads = occupied(threads, products, mj_pairs ? 2 * kThreadProducts : kThreadProducts);
  // Fewer blocks an item where there are too few to keep the threads busy.
  const int64_t share = (blocks * key_heads + threads - 1) / threads;
  int64_t per_item = blocks * key_heads / (threads * 4);
  if (per_item < kFewBlocks) per_item = share < kFewBlocks ? share : kFewBlocks;
  per_item = per_item < 1 ? 1 : per_item > kMaxBlocks ? kMaxBlocks : per_item;
  const int64_t tiles = (args->kv_len + mj_tile_k - 1) / mj_tile_k;
  const int64_t most = mj_pairs ? kMaxChunkTiles : kMaxChunkTiles / 2;
  plan->parameters[kHeadsPerBlock] = heads;
  plan->parameters[kQueriesPerBlock] = queries;
  plan->parameters[kQueryBlocks] = query_blocks;
  plan->parameters[kHeadBlocks] = head_blocks;
  plan->parameters[kBlocksPerItem] = per_item;
  plan->parameters[kItems] = (blocks + per_item - 1) / per_item;
  plan->parameters[kChunkTiles] = tiles < 1 ? 1 : tiles < most ? tiles : most;
  plan->phase_items[0] = plan->parameters[kItems] * key_heads;
  plan->phase_items[1] = 0;
  plan->scratch_bytes = layout(plan, nullptr).bytes;
  plan->workspace_bytes = 0;
}

MJ_DIRECTOR void mj_run(const MjAttentionArgs* args, const MjPlan* plan, int64_t, int64_t item,
                        void* scratch) {
  mj::run_item(args, plan, item, scratch);
}

}  // extern "C"
