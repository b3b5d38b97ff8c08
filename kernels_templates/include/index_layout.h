#pragma once
// Where runtime/index keeps the per-key data of a scorer and the scorers' microkernels find it.
//
// Rows (of keys, or of pages of keys) are kept in blocks of mj_index_block, transposed: a strip is
// one number of each row of a block, so that rows are vector lanes. What is in lanes past the last
// row is 0. `numbers` and `rows` of an MjScorer, by kind (strips in order; D: head_dim):
//
//   PAGE_BOUND  page, bits, element, D
//     rows[0]   blocks of pages. Bits 16: D strips of minima, D of maxima, elements. Otherwise
//               codes of mj_code_bytes: bits up to 4: D strips, the minimum's in the low half of a
//               byte; else D strips of minima, D of maxima
//     rows[1]   bits below 16: blocks of pages, 4 strips f32: lowest minimum and step between its
//               codes, lowest maximum and step
//   CHANNELS    n, bits, element, D; by_head: rows are of query heads
//     rows[0]   blocks of keys. Bits 16: n strips of elements. Otherwise codes: bits up to 4: two
//               channels a strip, the first one in the low half of a byte; else n strips
//     rows[1]   bits below 16: blocks of keys, 2 strips of elements: least and greatest channel
//     rows[2]   int32 channels of a head, one row
//   HASH_BITS   bits, layers, hidden, MjActivation, D; by_head
//     rows[0]   blocks of keys, a strip of uint32 for every 32 bits, bit 0 of word 0 first
//     rows[1]   f32 perceptron of the query, rows[2]: of the key: for each layer its matrix [in]
//               [out padded to 16], then its bias [out padded to 16]; padding is 0
//   PQ_CODES    sub_dims, bits, centroids, D (centroids: 0 before there are keys)
//     rows[0]   blocks of keys, codes of mj_code_bytes; bits up to 4: two groups a strip as above
//     rows[1]   f32 codebooks [D][centroids padded to 16]: channel d of each centroid of d's group
//     rows[2]   f32 [groups][centroids padded to 16]: half the squared norms of the centroids, inf
//               where there is no centroid
//   LSH         tables, bits, D, centre
//     rows[0]   blocks of keys, one strip a table of codes of mj_lsh_code_bytes
//     rows[1]   f32: the norm N, then the centre [D]
//     rows[2]   f32 projections [D + 1][tables * bits padded to 16], of all heads
//     rows[3]   blocks of keys, 1 strip f32: <centre, key>
#include "kernels_templates/include/kernel_abi.h"

extern "C" {

enum { mj_index_block = 64 };

enum MjActivation : int32_t { MJ_RELU = 0, MJ_SILU = 1, MJ_GELU = 2, MJ_TANH = 3 };

// What the microkernels (host/microkernels/scorers.h) are to runtime/index.
typedef int64_t (*MjScorerScratchFunction)(const MjScorer*);
typedef void (*MjScorerPrepareFunction)(const MjScorer*, int32_t batch, int32_t head,
                                        int32_t kv_head, const float* query, int32_t head_dim,
                                        void* prepared);
typedef void (*MjScorerScoresFunction)(const MjScorer*, int32_t batch, int32_t head,
                                       int32_t kv_head, const void* prepared, int64_t begin,
                                       int32_t count, float* scores);
typedef float (*MjLshWeightFunction)(const MjScorer*, int32_t batch, int32_t kv_head,
                                     const void* prepared, int64_t k, float product);
typedef int64_t (*MjIndexScratchFunction)(const MjScorer*);
typedef void (*MjIndexKeysFunction)(const MjScorer*, int32_t batch, int32_t head, int32_t kv_head,
                                    const void* keys, int64_t row_bytes, int32_t element,
                                    int64_t begin, int64_t end, void* scratch);
typedef void (*MjNearestFunction)(const float* points, int64_t stride, int64_t count, int32_t dims,
                                  const float* codebook, const float* norms, int32_t centroids,
                                  int32_t* nearest, void* scratch);

}  // extern "C"

// Of a quantised number of `bits` below 16, where two of up to 4 bits share a byte.
static inline int32_t mj_code_bytes(int32_t bits) { return bits <= 8 ? 1 : 2; }
static inline int32_t mj_strips_of_codes(int32_t numbers, int32_t bits) {
  return bits <= 4 ? (numbers + 1) / 2 : numbers;
}
static inline int32_t mj_lsh_code_bytes(int32_t bits) {
  return bits <= 8 ? 1 : bits <= 16 ? 2 : bits <= 32 ? 4 : 8;
}
static inline int32_t mj_pad_lanes(int32_t n) { return (n + 15) / 16 * 16; }
