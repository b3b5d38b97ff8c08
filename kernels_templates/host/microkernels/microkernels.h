#pragma once
// Microkernels: the inner loops whose code depends on the CPU and the element type, not on the mask
// or the shape. They are compiled ahead of time, once for each instruction set (table.h); a kernel
// calls them, so that compiling a kernel compiles only what its mask, score and shape decide.
//
// "Words" are 32-bit: one f32 each, or (`pairs`) two bf16 of consecutive inner indices. Leading
// dimensions count words. `element` is an MjElement. Pointers need no alignment.
#include "kernels_templates/include/kernel_abi.h"

// Each instruction set has its own copy; bitcode calls the bare names and the loader resolves them.
#ifdef MJ_ISA
#define MJ_JOIN_NAMES(name, isa) name##_##isa
#define MJ_OF_ISA(name, isa) MJ_JOIN_NAMES(name, isa)
#define mj_insert_run MJ_OF_ISA(mj_insert_run, MJ_ISA)
#define mj_fetch_rows MJ_OF_ISA(mj_fetch_rows, MJ_ISA)
#define mj_pack_query MJ_OF_ISA(mj_pack_query, MJ_ISA)
#define mj_pack_keys MJ_OF_ISA(mj_pack_keys, MJ_ISA)
#define mj_pack_values MJ_OF_ISA(mj_pack_values, MJ_ISA)
#define mj_multiply_f32 MJ_OF_ISA(mj_multiply_f32, MJ_ISA)
#define mj_multiply_rows MJ_OF_ISA(mj_multiply_rows, MJ_ISA)
#define mj_multiply_pairs MJ_OF_ISA(mj_multiply_pairs, MJ_ISA)
#define mj_pairs_begin MJ_OF_ISA(mj_pairs_begin, MJ_ISA)
#define mj_pairs_end MJ_OF_ISA(mj_pairs_end, MJ_ISA)
#define mj_round_pairs MJ_OF_ISA(mj_round_pairs, MJ_ISA)
#define mj_row_maximum MJ_OF_ISA(mj_row_maximum, MJ_ISA)
#define mj_row_sum MJ_OF_ISA(mj_row_sum, MJ_ISA)
#define mj_drop_out MJ_OF_ISA(mj_drop_out, MJ_ISA)
#define mj_drop_out_list MJ_OF_ISA(mj_drop_out_list, MJ_ISA)
#define mj_bit_tile MJ_OF_ISA(mj_bit_tile, MJ_ISA)
#define mj_softmax_rows MJ_OF_ISA(mj_softmax_rows, MJ_ISA)
#define mj_attend_tiles MJ_OF_ISA(mj_attend_tiles, MJ_ISA)
#define mj_exponentials MJ_OF_ISA(mj_exponentials, MJ_ISA)
#define mj_write_row MJ_OF_ISA(mj_write_row, MJ_ISA)
#define mj_widen_query MJ_OF_ISA(mj_widen_query, MJ_ISA)
#define mj_dot_rows MJ_OF_ISA(mj_dot_rows, MJ_ISA)
#define mj_add_value_rows MJ_OF_ISA(mj_add_value_rows, MJ_ISA)
#define mj_close_gap MJ_OF_ISA(mj_close_gap, MJ_ISA)
#define mj_merge_parts MJ_OF_ISA(mj_merge_parts, MJ_ISA)
#endif

extern "C" {

// --- Runs of key tiles: half-open, ascending, disjoint.

enum { mj_max_runs = 8 };
struct MjTileRuns {
  int64_t begin[mj_max_runs];
  int64_t end[mj_max_runs];
  int32_t count;
};
// Adds [begin, end), merging the runs that it touches. Without room the last run grows to cover it.
void mj_insert_run(MjTileRuns* runs, int64_t begin, int64_t end);

// --- Packing: rows of words, zero-padded at the ragged edges.

// Rows of keys and values that are packed a little later, to be asked for into the second-level
// cache meanwhile: `count` more of each.
struct MjRowsToFetch {
  const char* row[2];
  int64_t row_bytes[2];  // from row to row
  int64_t bytes[2];      // of a row
  int64_t count;
};
// Asks for all of them.
void mj_fetch_rows(MjRowsToFetch* rows);
// One query row of head_dim elements as `words` words, zeros past the head dimension. May write up
// to 15 words past the row.
void mj_pack_query(const void* row, int32_t element, bool pairs, int32_t head_dim, int32_t words,
                   uint32_t* packed);
// `count` (1 to `keys`) key rows, row_bytes apart, in panels of 16 keys: [keys / 16][words][16], so
// that keys are the vector lanes and a matrix product reads forward. Keys past `count` repeat the
// last one. `keys` is a multiple of 16. May write up to 15 rows past the last panel.
void mj_pack_keys(const void* rows, int64_t row_bytes, int32_t count, int32_t element, bool pairs,
                  int32_t head_dim, int32_t words, int32_t keys, uint32_t* packed);
// `count` value rows, row_bytes apart, in panels of 16 columns: panel c begins c * panel words
// after `packed` and holds [keys][16], zeros in the rows past `count`; pairs interleave two keys,
// which halves the rows.
void mj_pack_values(const void* rows, int64_t row_bytes, int32_t count, int32_t element, bool pairs,
                    int32_t head_dim_v, int32_t keys, int32_t panel, uint32_t* packed);

// --- Matrix products: c[m x n] = a[m x k] b[k x n], added to c if `accumulate`. b is in panels of
// 16 columns, `panel` words apart, each [k][16]. m and n are multiples of 16, k counts words; for
// pairs a multiple of what the instruction set wants (16 with AMX). mj_pairs_begin and mj_pairs_end
// stand around the products of pairs of an item.
void mj_multiply_f32(const uint32_t* a, int32_t lda, const uint32_t* b, int32_t panel, float* c,
                     int32_t ldc, int32_t m, int32_t n, int32_t k, bool accumulate);
void mj_multiply_pairs(const uint32_t* a, int32_t lda, const uint32_t* b, int32_t panel, float* c,
                       int32_t ldc, int32_t m, int32_t n, int32_t k, bool accumulate);
// c = a b where b is row-major, ldb floats from row to row. For other microkernels.
void mj_multiply_rows(const float* a, int64_t lda, const float* b, int64_t ldb, float* c,
                      int64_t ldc, int32_t m, int32_t n, int32_t k);
void mj_pairs_begin();
void mj_pairs_end();
// `count` (a multiple of 16) f32 rounded to bf16, two a word.
void mj_round_pairs(const float* from, uint32_t* to, int32_t count);

// --- Softmax in the base-2 domain: t = factor * x.

// Maximum of factor * x[0 .. columns - 1], columns a multiple of 16; -inf for rows of -inf.
float mj_row_maximum(const float* x, int32_t columns, float factor);
// x becomes 2^(factor x - base); returns the sum.
float mj_exponentials(float* x, int32_t columns, float factor, float base);
// x[0] + ... + x[count - 1].
float mj_row_sum(const float* x, int32_t count);
// The online softmax update of `rows` rows of scores, `columns` (a multiple of 32) of each row of
// `stride`: with the new row maximum, scores become 2^(t - maximum), `total` and the rows of `sums`
// ([rows][sum_columns], sum_columns a multiple of 16) are rescaled to it, and the scores' sum is
// added to `total`. maximum, total and rescale hold rows padded to 16; rescale is left with what
// the rows of sums were multiplied by. `factor` is positive. Where `pairs` is not null the
// exponentials go there instead, rounded to bf16, rows of stride / 2 words.
void mj_softmax_rows(float* scores, int32_t rows, int32_t columns, int32_t stride, float factor,
                     float* maximum, float* total, float* rescale, float* sums, int32_t sum_columns,
                     uint32_t* pairs);

// --- Scores, softmax and sums of neighbouring key tiles.

struct MjTilesToAttend {
  const uint32_t* queries;  // [rows][words], packed
  const uint32_t* keys;     // [tiles][tile_k / 16][words][16]: mj_pack_keys
  const uint32_t* values;   // [columns / 16][panel words]: mj_pack_values, from the first key on
  float* maximum;           // [rows]: what exponents are relative to, base 2
  float* total;             // [rows]: the denominators
  float* sums;              // [rows][columns]
  float* scores;            // room for 32 x tile_k
  uint32_t* weights;        // room for 32 x 4 tile_k / 2
  int32_t panel;
  int32_t rows;
  int32_t words;
  int32_t columns;
  int32_t tile_k;
  float factor;       // from logits to exponents, positive
  bool exact_totals;  // totals are of f32's precision, not of weights in bf16
  // Turns the products of tile i, [rows][tile_k], into logits.
  void (*finish)(const void* context, int32_t i, float* scores);
  const void* context;
  MjRowsToFetch* ahead;  // asked for line by line, as far as there is time
  bool begun;            // scores are the products of the last tile
  // Packed queries and keys of a tile whose products stand beside this call's last exponentials:
  // what the next call begins with. Scores are those where all tiles are done. Null: nothing.
  const uint32_t* next_queries;
  const uint32_t* next_keys;
};
// Adds the keys of up to `tiles` tiles to total and sums, the last tiles first; returns how many it
// did. Exponentials are relative to `maximum` as it is - to the last tile's where it is -inf, which
// it becomes -, and no other scores are searched for theirs: one may exceed it by so much that f32
// holds the sums with ease. Tiles where one exceeds it by more, a last tile that leaves a row
// without a maximum, and scores that are no numbers, are left to the caller with all before them.
// -1: so are all tiles, on this instruction set or of this shape. Between mj_pairs_begin and
// mj_pairs_end; rows of arrays are padded to 32.
int32_t mj_attend_tiles(const MjTilesToAttend* job, int32_t tiles);

// --- Dropout.

// x[j], j < count, of the weights of row [batch, head, query] and the keys k_begin + j becomes 0 or
// x[j] / (1 - p); returns the sum of the result.
float mj_drop_out(const MjAttentionArgs* args, int32_t batch, int32_t head, int64_t query,
                  int64_t k_begin, int32_t count, float* x);
// The same of the keys in a list, ascending.
float mj_drop_out_list(const MjAttentionArgs* args, int32_t batch, int32_t head, int64_t query,
                       const int32_t* keys, int64_t count, float* x);

// --- Explicit masks.

// What a rectangle of an explicit mask holds: bit 0, some element may be set; bit 1, all are. The
// subscripts are those of the leading dimensions, then lo and hi of each of the last two. Tiles
// that the rectangle only touches count in full.
int32_t mj_bit_tile(const MjTensor* mask, int32_t rank, const int64_t* subscripts);

// --- Results.

// Writes what the launch asks of row [batch, head, query] from its unnormalised sums of values,
// base-2 maximum m and denominator l. `reported` is the base-2 maximum that numerator and
// denominator are relative to.
void mj_write_row(const MjAttentionArgs* args, int32_t element, int32_t head_dim_v, int32_t batch,
                  int32_t head, int64_t query, const float* sums, float m, float l, float reported);

// --- Decoding: keys and values where they are. Rows are cut into vectors of 16 columns, of which
// the last is moved back to end with the row; packed queries and sums are kept in that order.
// `pairs`: of bf16 between mj_pairs_begin and mj_pairs_end; weights may be rounded to bf16.

// Rows that are read next, as many as this call reads. Where they lie as those that it reads, they
// are asked for while it computes, so that memory and arithmetic overlap. Null: none.
struct MjRowsAhead {
  const void* first;
  int64_t row_bytes;
  int32_t bytes;  // of a row
};

// A query row in such vectors, 0 where the last one overlaps the one before.
void mj_widen_query(const void* row, int32_t element, int32_t head_dim, float* packed);
// scores[r][j] = <query r, key j> for `count` keys; columns up to the next multiple of 16 are
// written, too.
void mj_dot_rows(const float* queries, int32_t query_stride, int32_t rows, const void* keys,
                 int64_t row_bytes, int32_t count, int32_t element, bool pairs, int32_t head_dim,
                 float* scores, int32_t score_stride, const MjRowsAhead* ahead);
// sums[r] += sum over j < count of weights[r][j] * value row j.
void mj_add_value_rows(const void* values, int64_t row_bytes, int32_t count, int32_t element,
                       bool pairs, int32_t head_dim_v, const float* weights, int32_t weight_stride,
                       int32_t rows, float* sums, int32_t sum_stride, const MjRowsAhead* ahead);
// Moves the last vector's columns to where they belong.
void mj_close_gap(float* sums, int32_t head_dim_v);
// Merges `parts` partial rows, part_stride floats apart, each `columns` sums followed by its base-2
// maximum and denominator, into `merged`, laid out likewise.
void mj_merge_parts(const float* part, int64_t part_stride, int64_t parts, int32_t columns,
                    float* merged);
}
