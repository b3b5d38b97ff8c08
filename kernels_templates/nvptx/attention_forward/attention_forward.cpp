// Blocked attention for sm_80 and up: a block of mj_warps warps takes mj_tile_q query rows of one
// head and visits tiles of mj_tile_k keys. Products by mma.sync; f32 by three tf32 products of
// split operands. While a tile's scores are computed its values arrive, while its softmax and
// values are the next keys.
//
// Tiles lie in shared memory as rows padded by 16 bytes, which makes every access below free of
// bank conflicts for any head dimension. Each warp owns 16 or 32 rows: scores, probabilities and
// sums stay in its registers.
#include "kernels_templates/nvptx/common/key_tiles.h"

namespace mj {
namespace {

constexpr int kMaxRowTiles = 2;      // of 16 rows a warp
constexpr int kMaxKeyTiles = 8;      // of 8 keys a key tile: one bit of a keep word an element
constexpr int kMaxColumnTiles = 32;  // of 8 value columns

MJ_INLINE bool single() { return mj_element == MJ_F32; }
// Columns of a product's inner dimension, and of its result, are padded to the instruction's.
MJ_INLINE int padded(int columns) { return round_up(columns, single() ? 8 : 16); }
MJ_INLINE int pitch_of(int columns) { return padded(columns) * element_bytes(mj_element) + 16; }
MJ_INLINE int row_tiles() { return mj_tile_q / (16 * mj_warps); }

// Shared memory: queries (later the results), keys, values.
struct Layout {
  uint32_t queries, keys, values;
  int query_pitch, key_pitch, value_pitch;
};
MJ_INLINE Layout layout() {
  Layout s;
  s.key_pitch = pitch_of(mj_head_dim);
  s.value_pitch = pitch_of(mj_head_dim_v);
  s.query_pitch = s.key_pitch > s.value_pitch ? s.key_pitch : s.value_pitch;
  s.queries = shared_base();
  s.keys = s.queries + static_cast<uint32_t>(mj_tile_q * s.query_pitch);
  s.values = s.keys + static_cast<uint32_t>(mj_tile_k * s.key_pitch);
  return s;
}

// Zeros in the columns of a tile that pad the head dimension; copies leave them alone.
MJ_INLINE void clear_padding(uint32_t to, int pitch, int rows, int columns) {
  const int missing = padded(columns) - columns;
  if (missing == 0) return;
  const int bytes = element_bytes(mj_element);
  MJ_ROLL
  for (int i = thread_index(); i < rows * missing; i += mj_warps * kWarp) {
    const uint32_t at =
        to + static_cast<uint32_t>(i / missing * pitch + (columns + i % missing) * bytes);
    if (single()) {
      store_shared<uint32_t>(at, 0);
    } else {
      store_shared<uint16_t>(at, 0);
    }
  }
}

// Starts to copy `rows` rows (zeros past `present`) of `columns` elements.
MJ_INLINE void load_tile(uint32_t to, int pitch, const char* from, int64_t row_stride, int rows,
                         int present, int columns, bool wide) {
  const int bytes = element_bytes(mj_element);
  const int64_t stride = row_stride * bytes;
  const int threads = mj_warps * kWarp;
  const int thread = thread_index();
  if (columns * bytes % 16 == 0 && wide) {
    const int chunks = columns * bytes / 16;
    if (threads % chunks == 0) {
      // A thread keeps its chunk of the row and steps down the rows: one address to carry.
      const int step = threads / chunks;
      int row = thread / chunks;
      const char* source = from + row * stride + thread % chunks * 16;
      uint32_t at = to + static_cast<uint32_t>(row * pitch + thread % chunks * 16);
      MJ_UNROLL
      for (int first = 0; first < rows; first += step) {
        if (rows % step != 0 && row >= rows) break;
        copy_async(at, source, row < present);
        row += step;
        source += step * stride;
        at += static_cast<uint32_t>(step * pitch);
      }
      return;
    }
    MJ_UNROLL
    for (int start = 0; start < rows * chunks; start += threads) {
      const int i = start + thread;
      if (rows * chunks % threads != 0 && i >= rows * chunks) break;
      const int row = i / chunks;
      const int chunk = i % chunks;
      copy_async(to + static_cast<uint32_t>(row * pitch + chunk * 16),
                 from + row * stride + chunk * 16, row < present);
    }
    return;
  }
  MJ_ROLL
  for (int i = thread; i < rows * columns; i += threads) {
    const int row = i / columns;
    const int column = i % columns;
    const uint32_t at = to + static_cast<uint32_t>(row * pitch + column * bytes);
    const char* source = from + row * stride + column * bytes;
    if (single()) {
      store_shared<uint32_t>(at, row < present ? *reinterpret_cast<const uint32_t*>(source) : 0);
    } else {
      store_shared<uint16_t>(at, row < present ? *reinterpret_cast<const uint16_t*>(source) : 0);
    }
  }
}

// f32 as the sum of two tf32: what a product of the first parts misses is 2^-22 of it.
struct Split {
  uint32_t high, low;
};
MJ_INLINE Split split(float v) {
  Split s;
  s.high = round_tf32(v);
  s.low = round_tf32(v - __builtin_bit_cast(float, s.high));
  return s;
}

struct Fragment {  // of 16 rows: a matrix operand, split in f32
  uint32_t high[4], low[4];
};
MJ_INLINE Fragment split_fragment(const float* v) {
  Fragment f;
  MJ_UNROLL
  for (int i = 0; i < 4; ++i) {
    const Split s = split(v[i]);
    f.high[i] = s.high;
    f.low[i] = s.low;
  }
  return f;
}
MJ_INLINE void multiply_single(float* c, const Fragment& a, float b0, float b1) {
  const Split s0 = split(b0);
  const Split s1 = split(b1);
  multiply_tf32(c, a.low, s0.high, s1.high);
  multiply_tf32(c, a.high, s0.low, s1.low);
  multiply_tf32(c, a.high, s0.high, s1.high);
}
MJ_INLINE void multiply_half(float* c, const uint32_t* a, uint32_t b0, uint32_t b1) {
  if (mj_element == MJ_BF16) {
    multiply_bf16(c, a, b0, b1);
  } else {
    multiply_f16(c, a, b0, b1);
  }
}

typedef float Scores[kMaxRowTiles][kMaxKeyTiles][4];
typedef float Sums[kMaxRowTiles][kMaxColumnTiles][4];

// s = Q K^T of this warp's rows.
MJ_INLINE void multiply_keys(const Layout& shared, int lane, int warp, Scores& s) {
  const int key_tiles = mj_tile_k / 8;
  MJ_UNROLL
  for (int m = 0; m < row_tiles(); ++m) {
    MJ_UNROLL
    for (int n = 0; n < key_tiles; ++n) {
      MJ_UNROLL
      for (int e = 0; e < 4; ++e) s[m][n][e] = 0.0f;
    }
  }
  const int first_row = warp * 16 * row_tiles();
  if (!single()) {
    // Lane's row and column in a group of four 8 x 8 matrices.
    const int low = lane & 7, second = lane >> 3 & 1, upper = lane >> 4;
    const uint32_t query =
        shared.queries +
        static_cast<uint32_t>((first_row + second * 8 + low) * shared.query_pitch + upper * 16);
    const uint32_t key =
        shared.keys + static_cast<uint32_t>((upper * 8 + low) * shared.key_pitch + second * 16);
    MJ_UNROLL
    for (int d = 0; d < padded(mj_head_dim); d += 16) {
      uint32_t a[kMaxRowTiles][4];
      MJ_UNROLL
      for (int m = 0; m < row_tiles(); ++m)
        load_matrices(a[m], query + static_cast<uint32_t>(m * 16 * shared.query_pitch + d * 2));
      MJ_UNROLL
      for (int n = 0; n < key_tiles; n += 2) {
        uint32_t b[4];
        load_matrices(b, key + static_cast<uint32_t>(n * 8 * shared.key_pitch + d * 2));
        MJ_UNROLL
        for (int m = 0; m < row_tiles(); ++m) {
          multiply_half(s[m][n], a[m], b[0], b[1]);
          multiply_half(s[m][n + 1], a[m], b[2], b[3]);
        }
      }
    }
    return;
  }
  const int g = lane >> 2, t = lane & 3;
  const uint32_t query =
      shared.queries + static_cast<uint32_t>((first_row + g) * shared.query_pitch + t * 4);
  const uint32_t key = shared.keys + static_cast<uint32_t>(g * shared.key_pitch + t * 4);
  // Rolled: a step is 3 * 8 products and their splits.
  MJ_ROLL
  for (int d = 0; d < padded(mj_head_dim); d += 8) {
    Fragment a[kMaxRowTiles];
    MJ_UNROLL
    for (int m = 0; m < row_tiles(); ++m) {
      const uint32_t at = query + static_cast<uint32_t>(m * 16 * shared.query_pitch + d * 4);
      const uint32_t below = at + static_cast<uint32_t>(8 * shared.query_pitch);
      const float v[4] = {load_shared<float>(at), load_shared<float>(below),
                          load_shared<float>(at + 16), load_shared<float>(below + 16)};
      a[m] = split_fragment(v);
    }
    MJ_UNROLL
    for (int n = 0; n < key_tiles; ++n) {
      const uint32_t at = key + static_cast<uint32_t>(n * 8 * shared.key_pitch + d * 4);
      const float b0 = load_shared<float>(at);
      const float b1 = load_shared<float>(at + 16);
      MJ_UNROLL
      for (int m = 0; m < row_tiles(); ++m) multiply_single(s[m][n], a[m], b0, b1);
    }
  }
}

// o += P V; `s` holds P.
MJ_INLINE void multiply_values(const Layout& shared, int lane, const Scores& s, Sums& o) {
  if (!single()) {
    const int low = lane & 7, second = lane >> 3 & 1, upper = lane >> 4;
    const uint32_t value =
        shared.values + static_cast<uint32_t>((second * 8 + low) * shared.value_pitch + upper * 16);
    MJ_UNROLL
    for (int k = 0; k < mj_tile_k; k += 16) {
      // Sums of two tiles of 8 keys are the operand of 16 keys.
      uint32_t a[kMaxRowTiles][4];
      MJ_UNROLL
      for (int m = 0; m < row_tiles(); ++m) {
        const float* left = s[m][k / 8];
        const float* right = s[m][k / 8 + 1];
        a[m][0] = pack(left[0], left[1], mj_element);
        a[m][1] = pack(left[2], left[3], mj_element);
        a[m][2] = pack(right[0], right[1], mj_element);
        a[m][3] = pack(right[2], right[3], mj_element);
      }
      MJ_UNROLL
      for (int n = 0; n < padded(mj_head_dim_v) / 8; n += 2) {
        uint32_t b[4];
        load_matrices_transposed(b, value + static_cast<uint32_t>(k * shared.value_pitch + n * 16));
        MJ_UNROLL
        for (int m = 0; m < row_tiles(); ++m) {
          multiply_half(o[m][n], a[m], b[0], b[1]);
          multiply_half(o[m][n + 1], a[m], b[2], b[3]);
        }
      }
    }
    return;
  }
  const int g = lane >> 2, t = lane & 3;
  const uint32_t value = shared.values + static_cast<uint32_t>(2 * t * shared.value_pitch + g * 4);
  MJ_UNROLL
  for (int k = 0; k < mj_tile_k; k += 8) {
    // The order of the inner dimension is free: column t of the operand is key 2t, t + 4 is 2t + 1,
    // which is how the sums lie.
    Fragment a[kMaxRowTiles];
    MJ_UNROLL
    for (int m = 0; m < row_tiles(); ++m) {
      const float* p = s[m][k / 8];
      const float v[4] = {p[0], p[2], p[1], p[3]};
      a[m] = split_fragment(v);
    }
    MJ_UNROLL
    for (int n = 0; n < padded(mj_head_dim_v) / 8; ++n) {
      const uint32_t at = value + static_cast<uint32_t>(k * shared.value_pitch + n * 32);
      const float b0 = load_shared<float>(at);
      const float b1 = load_shared<float>(at + static_cast<uint32_t>(shared.value_pitch));
      MJ_UNROLL
      for (int m = 0; m < row_tiles(); ++m) multiply_single(o[m][n], a[m], b0, b1);
    }
  }
}

// Query row (index) of this lane's row r (0 or 1) of row tile m.
MJ_INLINE int query_of(const QueryBlock& block, int warp, int lane, int m, int r) {
  return block.query + (warp * row_tiles() + m) * 16 + r * 8 + (lane >> 2);
}

MJ_INLINE int smaller(int a, int b) { return a < b ? a : b; }

// Scores become logits where there is a score function or an additive mask.
MJ_INLINE void apply_score(const MjAttentionArgs* args, const QueryBlock& block, int lane, int warp,
                           int k_begin, Scores& s) {
  const int last_query = block.query + block.rows - 1;
  const int last_key = static_cast<int>(args->kv_len) - 1;
  const int t = lane & 3;
  MJ_UNROLL
  for (int m = 0; m < row_tiles(); ++m) {
    MJ_UNROLL
    for (int r = 0; r < 2; ++r) {
      const int query = smaller(query_of(block, warp, lane, m, r), last_query);
      const int q = query - block.query + block.position;
      const void* additive = nullptr;
      if (mj_additive != MJ_NONE)
        additive = row_of(args->additive, mj_additive, block.batch, block.head, query);
      MJ_UNROLL
      for (int n = 0; n < mj_tile_k / 8; ++n) {
        MJ_UNROLL
        for (int c = 0; c < 2; ++c) {
          const int k = smaller(k_begin + n * 8 + 2 * t + c, last_key);
          float& x = s[m][n][2 * r + c];
          x = logit(args, block.batch, block.head, block.kv_head, q, k, additive, x);
        }
      }
    }
  }
}

// Scores of keys past the end and of those that the mask excludes become -inf. The predicate is
// compiled once: a rolled loop collects one bit an element.
MJ_INLINE void apply_mask(const MjAttentionArgs* args, const QueryBlock& block, int lane, int warp,
                          int k_begin, Scores& s) {
  const int last_query = block.query + block.rows - 1;
  const int kv_len = static_cast<int>(args->kv_len);
  const int t = lane & 3;
  MJ_UNROLL
  for (int m = 0; m < row_tiles(); ++m) {
    uint32_t keep = 0;
    MJ_ROLL
    for (int e = 0; e < mj_tile_k / 2; ++e) {
      const int k = k_begin + (e >> 2) * 8 + 2 * t + (e & 1);
      bool kept = k < kv_len;
      if (!mj_mask_full) {
        const int query = smaller(query_of(block, warp, lane, m, e >> 1 & 1), last_query);
        kept = kept && mj_keep(args, block.batch, block.head, block.kv_head,
                               query - block.query + block.position, smaller(k, kv_len - 1));
      }
      keep |= static_cast<uint32_t>(kept) << e;
    }
    MJ_UNROLL
    for (int n = 0; n < mj_tile_k / 8; ++n) {
      MJ_UNROLL
      for (int e = 0; e < 4; ++e)
        if ((keep >> (n * 4 + e) & 1) == 0) s[m][n][e] = kNegativeInfinity;
    }
  }
}

// Online softmax in the base-2 domain: s becomes 2^(factor s - maximum); o and total are rescaled.
MJ_INLINE void softmax(float factor, Scores& s, Sums& o, float (&maximum)[kMaxRowTiles][2],
                       float (&total)[kMaxRowTiles][2]) {
  MJ_UNROLL
  for (int m = 0; m < row_tiles(); ++m) {
    MJ_UNROLL
    for (int r = 0; r < 2; ++r) {
      float largest = kNegativeInfinity;
      MJ_UNROLL
      for (int n = 0; n < mj_tile_k / 8; ++n) {
        largest = __builtin_fmaxf(largest, s[m][n][2 * r]);
        largest = __builtin_fmaxf(largest, s[m][n][2 * r + 1]);
      }
      largest = __builtin_fmaxf(largest, shuffle_xor(largest, 1));
      largest = __builtin_fmaxf(largest, shuffle_xor(largest, 2));
      const float updated = __builtin_fmaxf(maximum[m][r], largest * factor);
      const float base = updated == kNegativeInfinity ? 0.0f : updated;
      const float rescale = exp2_approx(maximum[m][r] - base);
      maximum[m][r] = updated;
      float sum = total[m][r] * rescale;
      MJ_UNROLL
      for (int n = 0; n < mj_tile_k / 8; ++n) {
        MJ_UNROLL
        for (int c = 0; c < 2; ++c) {
          float& x = s[m][n][2 * r + c];
          x = exp2_approx(__builtin_fmaf(x, factor, -base));
          sum += x;
        }
      }
      total[m][r] = sum;
      MJ_UNROLL
      for (int n = 0; n < padded(mj_head_dim_v) / 8; ++n) {
        o[m][n][2 * r] *= rescale;
        o[m][n][2 * r + 1] *= rescale;
      }
    }
  }
}

// The results of this warp's rows; outputs go through its rows of the query tile, so that global
// memory sees whole rows.
MJ_INLINE void write_results(const MjAttentionArgs* args, const QueryBlock& block,
                             const Layout& shared, int lane, int warp, Sums& o,
                             float (&maximum)[kMaxRowTiles][2], float (&total)[kMaxRowTiles][2]) {
  const int g = lane >> 2, t = lane & 3;
  const int bytes = element_bytes(mj_element);
  const int column_tiles = padded(mj_head_dim_v) / 8;
  const uint32_t own =
      shared.queries + static_cast<uint32_t>(warp * 16 * row_tiles() * shared.query_pitch);
  sync_warp();
  MJ_UNROLL
  for (int m = 0; m < row_tiles(); ++m) {
    MJ_UNROLL
    for (int r = 0; r < 2; ++r) {
      float l = total[m][r];
      l += shuffle_xor(l, 1);
      l += shuffle_xor(l, 2);
      const bool empty = maximum[m][r] == kNegativeInfinity;
      const float inverse = empty ? 0.0f : 1.0f / l;
      const int query = query_of(block, warp, lane, m, r);
      const bool present = query < block.query + block.rows;
      const uint32_t row =
          own + static_cast<uint32_t>((m * 16 + r * 8 + g) * shared.query_pitch + 2 * t * bytes);
      MJ_UNROLL
      for (int n = 0; n < column_tiles; ++n) {
        const float first = empty ? 0.0f : o[m][n][2 * r] * inverse;
        const float second = empty ? 0.0f : o[m][n][2 * r + 1] * inverse;
        if (single()) {
          store_shared<float>(row + static_cast<uint32_t>(n * 32), first);
          store_shared<float>(row + static_cast<uint32_t>(n * 32 + 4), second);
        } else {
          store_shared<uint32_t>(row + static_cast<uint32_t>(n * 16),
                                 pack(first, second, mj_element));
        }
      }
      if (present && args->numerator.data != nullptr) {
        float* numerator = reinterpret_cast<float*>(
            const_cast<char*>(row_of(args->numerator, MJ_F32, block.batch, block.head, query)));
        MJ_UNROLL
        for (int n = 0; n < column_tiles; ++n) {
          MJ_UNROLL
          for (int c = 0; c < 2; ++c) {
            const int column = n * 8 + 2 * t + c;
            if (column < mj_head_dim_v) numerator[column] = empty ? 0.0f : o[m][n][2 * r + c];
          }
        }
      }
      if (present && t == 0) {
        const int64_t index =
            (static_cast<int64_t>(block.batch) * args->num_heads + block.head) * args->q_len +
            query;
        const float m2 = maximum[m][r];
        if (args->lse != nullptr)
          args->lse[index] = empty ? kNegativeInfinity : (m2 + log2_approx(l)) * kLn2;
        if (args->row_max != nullptr) args->row_max[index] = m2 * kLn2;
        if (args->denominator != nullptr) args->denominator[index] = empty ? 0.0f : l;
      }
    }
  }
  if (args->output.data == nullptr) return;
  sync_warp();
  const int first = block.query + warp * 16 * row_tiles();
  const int left = block.query + block.rows - first;
  const int rows = left < 16 * row_tiles() ? left : 16 * row_tiles();
  char* out = const_cast<char*>(row_of(args->output, mj_element, block.batch, block.head, first));
  const int64_t stride = args->output.row_stride * bytes;
  if (mj_head_dim_v * bytes % 16 == 0 && is_wide(args->output, mj_element, mj_head_dim_v)) {
    const int chunks = mj_head_dim_v * bytes / 16;
    MJ_ROLL
    for (int i = lane; i < rows * chunks; i += kWarp) {
      const int row = i / chunks;
      const int chunk = i % chunks;
      *reinterpret_cast<Words4*>(out + row * stride + chunk * 16) =
          load_shared<Words4>(own + static_cast<uint32_t>(row * shared.query_pitch + chunk * 16));
    }
    return;
  }
  MJ_ROLL
  for (int i = lane; i < rows * mj_head_dim_v; i += kWarp) {
    const int row = i / mj_head_dim_v;
    const int column = i % mj_head_dim_v;
    const uint32_t at = own + static_cast<uint32_t>(row * shared.query_pitch + column * bytes);
    char* to = out + row * stride + column * bytes;
    if (single()) {
      *reinterpret_cast<uint32_t*>(to) = load_shared<uint32_t>(at);
    } else {
      *reinterpret_cast<uint16_t*>(to) = load_shared<uint16_t>(at);
    }
  }
}

}  // namespace
}  // namespace mj

// Grid: query blocks times batch times heads, the last query blocks first: under causal masks they
// are the heavy ones.
extern "C" MJ_KERNEL void mj_attention(const MjDeviceArgs device_args) {
  using namespace mj;
  const MjAttentionArgs* args = &device_args.attention;
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
  block.kv_head = block.head / (num_heads / static_cast<int>(args->num_kv_heads));
  block.query = (query_blocks - 1 - block_index() / heads) * mj_tile_q;
  block.rows = smaller(q_len - block.query, mj_tile_q);
  block.position = block.query + static_cast<int>(args->q_offset);

  const Layout shared = layout();
  const char* keys = row_of(args->key, mj_element, block.batch, block.kv_head, 0);
  const char* values = row_of(args->value, mj_element, block.batch, block.kv_head, 0);
  const bool wide_keys = is_wide(args->key, mj_element, mj_head_dim);
  const bool wide_values = is_wide(args->value, mj_element, mj_head_dim_v);
  const int64_t key_bytes = args->key.row_stride * element_bytes(mj_element);
  const int64_t value_bytes = args->value.row_stride * element_bytes(mj_element);
  load_tile(shared.queries, shared.query_pitch,
            row_of(args->query, mj_element, block.batch, block.head, block.query),
            args->query.row_stride, mj_tile_q, block.rows, mj_head_dim,
            is_wide(args->query, mj_element, mj_head_dim));
  copy_commit();
  clear_padding(shared.queries, shared.query_pitch, mj_tile_q, mj_head_dim);
  clear_padding(shared.keys, shared.key_pitch, mj_tile_k, mj_head_dim);
  clear_padding(shared.values, shared.value_pitch, mj_tile_k, mj_head_dim_v);

  const bool raw = keeps_products(args);
  const float factor = raw ? args->scale * kLog2E : kLog2E;
  Scores s;
  Sums o;
  float maximum[kMaxRowTiles][2], total[kMaxRowTiles][2];
  MJ_UNROLL
  for (int m = 0; m < row_tiles(); ++m) {
    MJ_UNROLL
    for (int r = 0; r < 2; ++r) {
      maximum[m][r] = kNegativeInfinity;
      total[m][r] = 0.0f;
    }
    MJ_UNROLL
    for (int n = 0; n < padded(mj_head_dim_v) / 8; ++n) {
      MJ_UNROLL
      for (int e = 0; e < 4; ++e) o[m][n][e] = 0.0f;
    }
    MJ_UNROLL
    for (int n = 0; n < mj_tile_k / 8; ++n) {
      MJ_UNROLL
      for (int e = 0; e < 4; ++e) s[m][n][e] = 0.0f;
    }
  }

  const KeyTiles tiles = key_tiles(args, block);
  int tile = -1;
  MJ_ROLL
  for (;;) {
    int found = 0;
    const int next = next_tile(args, block, tiles, tile + 1, &found);
    if (next != kNoTile) {
      load_tile(shared.keys, shared.key_pitch, keys + next * mj_tile_k * key_bytes,
                args->key.row_stride, mj_tile_k, kv_len - next * mj_tile_k, mj_head_dim, wide_keys);
      copy_commit();
    }
    if (tile >= 0) {
      softmax(factor, s, o, maximum, total);
      multiply_values(shared, lane, s, o);
    }
    if (next == kNoTile) break;
    tile = next;
    copy_wait_all();
    sync_threads();  // the keys are there; nobody reads the last values any more
    load_tile(shared.values, shared.value_pitch, values + tile * mj_tile_k * value_bytes,
              args->value.row_stride, mj_tile_k, kv_len - tile * mj_tile_k, mj_head_dim_v,
              wide_values);
    copy_commit();
    multiply_keys(shared, lane, warp, s);
    if (!raw) apply_score(args, block, lane, warp, tile * mj_tile_k, s);
    if (found == 1) apply_mask(args, block, lane, warp, tile * mj_tile_k, s);
    copy_wait_all();
    sync_threads();  // the values are there; nobody reads the keys any more
  }
  // Without a tile the queries are still on their way, to where the results go.
  copy_wait_all();
  sync_threads();
  write_results(args, block, shared, lane, warp, o, maximum, total);
}
