// Blocked attention for the host: tiles of mj_tile_q query rows by mj_tile_k keys, online softmax.
//
// An item is a few row blocks of one key head, so that a packed key and value tile serves all of
// them. For each key tile that the analysis does not exclude, and each row block for which it is
// not empty: scores = Q K^T, logits (only where there is a score, an additive
// mask or a partial tile), softmax update, accumulators += P V.
#include "kernels_templates/host/common/adjust.h"
#include "kernels_templates/host/common/exp2.h"
#include "kernels_templates/host/common/key_tiles.h"
#include "kernels_templates/host/common/scores.h"
#include "kernels_templates/host/microkernels/microkernels.h"

namespace mj {
namespace {

constexpr int kMaxBlocks = 4;  // row blocks of an item

// MjPlan::parameters of this kernel.
enum Parameter {
  kHeadsPerBlock,
  kQueriesPerBlock,
  kQueryBlocks,
  kHeadBlocks,
  kBlocksPerItem,
  kChunks
};

struct Scratch {
  uint32_t* queries;  // [kMaxBlocks][mj_tile_q][words]
  uint32_t* keys;     // [words][mj_tile_k]
  uint32_t* values;   // [mj_tile_k][columns] (half of it for pairs)
  float* scores;      // [mj_tile_q][mj_tile_k]
  uint32_t* weights;  // [mj_tile_q][mj_tile_k / 2], pairs only
  float* sums;        // [kMaxBlocks][mj_tile_q][columns]
  float* maximum;     // [kMaxBlocks][mj_tile_q]
  float* total;       // [kMaxBlocks][mj_tile_q]
  float* allowed;     // [kMaxBlocks][mj_tile_q]: maximum over the allowed keys
  float* rescale;     // [mj_tile_q]; twice that where exponentials are adjusted
  int64_t bytes;
};

// Words of a query row that hold elements, and what they are padded to for the matrix product.
MJ_INLINE int head_words() { return mj_pairs ? (mj_head_dim + 1) / 2 : mj_head_dim; }
MJ_INLINE int query_words() { return round_up(head_words(), mj_word_multiple); }
MJ_INLINE int padded_value_columns() { return round_up(mj_head_dim_v, kLanes); }

MJ_INLINE void multiply(const uint32_t* a, int lda, const uint32_t* b, int ldb, float* c, int ldc,
                        int m, int n, int k, bool accumulate) {
  if (mj_pairs) {
    mj_multiply_pairs(a, lda, b, ldb, c, ldc, m, n, k, accumulate);
  } else {
    mj_multiply_f32(a, lda, b, ldb, c, ldc, m, n, k, accumulate);
  }
}

MJ_INLINE Scratch layout(void* base) {
  Scratch s = {};
  // An address: mj_plan lays out from null to learn the size.
  const uintptr_t at = reinterpret_cast<uintptr_t>(base);
  int64_t used = 0;
  const auto take = [&](int64_t words) __attribute__((always_inline)) {
    const uintptr_t p = at + static_cast<uintptr_t>(used);
    used += round_up64(words * 4, 64);
    return p;
  };
  const int64_t rows = static_cast<int64_t>(kMaxBlocks) * mj_tile_q;
  const int columns = padded_value_columns();
  // Rows shorter than a vector are written as whole vectors.
  s.queries = reinterpret_cast<uint32_t*>(take(rows * query_words() + kLanes));
  s.keys =
      reinterpret_cast<uint32_t*>(take(static_cast<int64_t>(query_words() + kLanes) * mj_tile_k));
  s.values = reinterpret_cast<uint32_t*>(take(static_cast<int64_t>(mj_tile_k) * columns));
  s.scores = reinterpret_cast<float*>(take(static_cast<int64_t>(mj_tile_q) * mj_tile_k));
  s.weights = reinterpret_cast<uint32_t*>(take(static_cast<int64_t>(mj_tile_q) * mj_tile_k / 2));
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

// scores = Q K^T, then logits in place. Returns the factor that turns what is stored into base-2
// exponents.
MJ_OUTLINE float tile_logits(const MjAttentionArgs* args, const RowBlock& block,
                             const uint32_t* queries, const Scratch& s, int64_t tile, int count,
                             int32_t tile_class) {
  const int rows = block.rows();
  const int words = query_words();
  multiply(queries, words, s.keys, mj_tile_k, s.scores, mj_tile_k, round_up(rows, 16), mj_tile_k,
           words, false);
  const int64_t k_begin = tile * mj_tile_k;
  const bool raw = keeps_products(args);
  if (!raw || tile_class != 2 || count < mj_tile_k) {
    for (int r = 0; r < rows; ++r) {
      finish_row(args, block, r, k_begin, count, tile_class != 2, s.scores + r * mj_tile_k);
    }
  }
  return raw ? args->scale * kLog2E : kLog2E;
}

// accumulators += P V, P in s.scores.
MJ_INLINE void multiply_values(const Scratch& s, int rows, float* sums, const uint32_t* values,
                               int32_t value_stride) {
  if (mj_pairs) mj_round_pairs(s.scores, s.weights, rows * mj_tile_k);
  const int inner = mj_pairs ? mj_tile_k / 2 : mj_tile_k;
  const uint32_t* weights = mj_pairs ? s.weights : reinterpret_cast<const uint32_t*>(s.scores);
  const int columns = padded_value_columns();
  multiply(weights, inner, values, value_stride, sums, columns, round_up(rows, 16), columns, inner,
           true);
}

// One tile of one row block: softmax update and accumulators += P V.
MJ_OUTLINE void accumulate_tile(const RowBlock& block, const Scratch& s, float factor, float* sums,
                                float* maximum, float* total, const uint32_t* values,
                                int32_t value_stride) {
  const int rows = block.rows();
  const int columns = padded_value_columns();
  mj_softmax_rows(s.scores, rows, mj_tile_k, factor, maximum, total, s.rescale, sums, columns);
  multiply_values(s, rows, sums, values, value_stride);
}

// accumulate_tile where exponentials are adjusted before they multiply values: the denominator
// takes the sums that adjusting gives.
MJ_OUTLINE void accumulate_adjusted_tile(const MjAttentionArgs* args, const RowBlock& block,
                                         const Scratch& s, float factor, int64_t k_begin, int count,
                                         float* sums, float* maximum, float* total,
                                         const uint32_t* values, int32_t value_stride) {
  const int rows = block.rows();
  const int columns = padded_value_columns();
  mj_softmax_rows(s.scores, rows, mj_tile_k, factor, maximum, unadjusted_sums(s), s.rescale, sums,
                  columns);
  for (int r = 0; r < rows; ++r) {
    const float taken = mj_adjust_row(args, block.batch, block.head_of(r), block.kv_head,
                                      block.query_of(r), k_begin, count, s.scores + r * mj_tile_k);
    total[r] = total[r] * s.rescale[r] + taken;
  }
  multiply_values(s, rows, sums, values, value_stride);
}

MJ_INLINE void pack_key_tile(const MjAttentionArgs* args, const RowBlock& block, int64_t k_begin,
                             int count, uint32_t* packed) {
  mj_pack_keys(row_of(args->key, mj_element, block.batch, block.kv_head, k_begin),
               args->key.row_stride * element_bytes(mj_element), count, mj_element, mj_pairs != 0,
               mj_head_dim, query_words(), mj_tile_k, packed);
}

// The row maximum over every key that the additive mask allows (MjAttentionArgs::row_max_over_all).
MJ_OUTLINE void maximum_over_all(const MjAttentionArgs* args, const RowBlock* blocks,
                                 int count_blocks, const Scratch& s) {
  const int words = query_words();
  const int64_t tiles = (args->kv_len + mj_tile_k - 1) / mj_tile_k;
  for (int64_t tile = 0; tile < tiles; ++tile) {
    const int count = keys_of_tile(args, tile);
    pack_key_tile(args, blocks[0], tile * mj_tile_k, count, s.keys);
    for (int t = 0; t < count_blocks; ++t) {
      const float factor =
          tile_logits(args, blocks[t], s.queries + t * mj_tile_q * words, s, tile, count, 2);
      for (int r = 0; r < blocks[t].rows(); ++r) {
        float& allowed = s.allowed[t * mj_tile_q + r];
        const float largest = mj_row_maximum(s.scores + r * mj_tile_k, mj_tile_k, factor);
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
    const int32_t tile_class = classify(args, block, tile * mj_tile_k, count);
    float factor = 0.0f;
    if (tile_class != 0) {
      pack_key_tile(args, block, tile * mj_tile_k, count, s.keys);
      factor =
          tile_logits(args, block, s.queries + t * mj_tile_q * words, s, tile, count, tile_class);
    }
    for (int r = 0; r < block.rows(); ++r) {
      float* out = static_cast<float*>(const_cast<void*>(
          row_of(args->weights, MJ_F32, block.batch, block.head_of(r), block.query_of(r))));
      const float m = s.maximum[t * mj_tile_q + r];
      const bool dropped = mj_dropout != MJ_NO_DROPOUT && s.total[t * mj_tile_q + r] == 0.0f;
      const bool none = tile_class == 0 || m == kNegativeInfinity || dropped;
      const float inverse = none ? 0.0f : 1.0f / s.total[t * mj_tile_q + r];
      float* x = s.scores + r * mj_tile_k;
      if (!none) mj_exponentials(x, mj_tile_k, factor, m);
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
  const int64_t chunk = p[kChunks] - 1 - item / key_heads;
  const int64_t all = p[kQueryBlocks] * p[kHeadBlocks];
  int count = 0;
  for (int64_t i = chunk * p[kBlocksPerItem]; i < all && count < p[kBlocksPerItem]; ++i) {
    blocks[count++] = row_block(args, item % key_heads, i, p[kHeadsPerBlock], p[kHeadBlocks],
                                p[kQueriesPerBlock]);
  }
  return count;
}

MJ_INLINE void run_item(const MjAttentionArgs* args, const MjPlan* plan, int64_t item,
                        void* scratch) {
  RowBlock blocks[kMaxBlocks];
  const int count_blocks = blocks_of_item(args, plan, item, blocks);
  const Scratch s = layout(scratch);
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
  for (int run = 0; run < runs.count; ++run) {
    for (int64_t tile = runs.begin[run]; tile < runs.end[run]; ++tile) {
      const int64_t k_begin = tile * mj_tile_k;
      const int count = keys_of_tile(args, tile);
      int32_t classes[kMaxBlocks];
      bool needed = false;
      for (int t = 0; t < count_blocks; ++t) {
        classes[t] = classify(args, blocks[t], k_begin, count);
        needed = needed || classes[t] != 0;
      }
      if (!needed) continue;
      pack_key_tile(args, blocks[0], k_begin, count, s.keys);
      const uint32_t* values = s.values;
      int32_t value_stride = columns;
      const void* value_rows =
          row_of(args->value, mj_element, blocks[0].batch, blocks[0].kv_head, k_begin);
      const bool in_place = mj_element == MJ_F32 && mj_head_dim_v % kLanes == 0 &&
                            count == mj_tile_k && args->value.row_stride < (1 << 20);
      if (in_place) {
        values = static_cast<const uint32_t*>(value_rows);
        value_stride = static_cast<int32_t>(args->value.row_stride);
      } else {
        mj_pack_values(value_rows, args->value.row_stride * element_bytes(mj_element), count,
                       mj_element, mj_pairs != 0, mj_head_dim_v, mj_tile_k, s.values);
      }
      for (int t = 0; t < count_blocks; ++t) {
        if (classes[t] == 0) continue;
        const float factor = tile_logits(args, blocks[t], s.queries + t * mj_tile_q * words, s,
                                         tile, count, classes[t]);
        float* sums = s.sums + t * mj_tile_q * columns;
        float* maximum = s.maximum + t * mj_tile_q;
        float* total = s.total + t * mj_tile_q;
        if (adjusts()) {
          accumulate_adjusted_tile(args, blocks[t], s, factor, k_begin, count, sums, maximum, total,
                                   values, value_stride);
        } else {
          accumulate_tile(blocks[t], s, factor, sums, maximum, total, values, value_stride);
        }
      }
    }
  }
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
  // Fewer blocks an item where there are too few to keep the threads busy.
  int64_t per_item = blocks * key_heads / (threads * 4);
  per_item = per_item < 1 ? 1 : per_item > kMaxBlocks ? kMaxBlocks : per_item;
  plan->parameters[kHeadsPerBlock] = heads;
  plan->parameters[kQueriesPerBlock] = queries;
  plan->parameters[kQueryBlocks] = query_blocks;
  plan->parameters[kHeadBlocks] = head_blocks;
  plan->parameters[kBlocksPerItem] = per_item;
  plan->parameters[kChunks] = (blocks + per_item - 1) / per_item;
  plan->phase_items[0] = plan->parameters[kChunks] * key_heads;
  plan->phase_items[1] = 0;
  plan->scratch_bytes = layout(nullptr).bytes;
  plan->workspace_bytes = 0;
}

MJ_DIRECTOR void mj_run(const MjAttentionArgs* args, const MjPlan* plan, int64_t, int64_t item,
                        void* scratch) {
  mj::run_item(args, plan, item, scratch);
}

}  // extern "C"
