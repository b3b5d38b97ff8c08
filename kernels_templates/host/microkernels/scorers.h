#pragma once
// Microkernels of scorers other than the exact logits: the scores of keys from the per-key data of
// an index, and the making of that data. include/index_layout.h says where it is kept.
//
// A query row is prepared once, into scratch_bytes of the scorer, 64-byte aligned, and then scored
// against any keys. Scores that estimate <query, key> are not multiplied by the scale of attention.
#include "kernels_templates/host/microkernels/microkernels.h"
#include "kernels_templates/include/index_layout.h"

#ifdef MJ_ISA
#define mj_scorer_scratch MJ_OF_ISA(mj_scorer_scratch, MJ_ISA)
#define mj_scorer_prepare MJ_OF_ISA(mj_scorer_prepare, MJ_ISA)
#define mj_scorer_scores MJ_OF_ISA(mj_scorer_scores, MJ_ISA)
#define mj_page_scores MJ_OF_ISA(mj_page_scores, MJ_ISA)
#define mj_lsh_weight MJ_OF_ISA(mj_lsh_weight, MJ_ISA)
#define mj_index_scratch MJ_OF_ISA(mj_index_scratch, MJ_ISA)
#define mj_index_keys MJ_OF_ISA(mj_index_keys, MJ_ISA)
#define mj_nearest MJ_OF_ISA(mj_nearest, MJ_ISA)
#endif

extern "C" {

// --- Scoring.

// Bytes of a prepared query, a multiple of 64: what goes into scratch_bytes.
int64_t mj_scorer_scratch(const MjScorer* scorer);
// `query`: head_dim f32.
void mj_scorer_prepare(const MjScorer* scorer, int32_t batch, int32_t head, int32_t kv_head,
                       const float* query, int32_t head_dim, void* prepared);
// scores[i] of key k_begin + i, i < count:
//   PAGE_BOUND  that of its page, max(q_d min_d, q_d max_d) summed over the channels d
//   CHANNELS    <query, key> over the chosen channels, after quantisation
//   HASH_BITS   code bits that agree, less those that do not
//   PQ_CODES    <query, nearest centroids>
//   LSH         1 where the codes of some table are equal, else 0
// Nothing past scores[count - 1] is written.
void mj_scorer_scores(const MjScorer* scorer, int32_t batch, int32_t head, int32_t kv_head,
                      const void* prepared, int64_t k_begin, int32_t count, float* scores);
// PAGE_BOUND: of the pages page_begin + i.
void mj_page_scores(const MjScorer* scorer, int32_t batch, int32_t head, int32_t kv_head,
                    const void* prepared, int64_t page_begin, int32_t count, float* scores);
// LSH: 1 - (1 - (1 - theta / pi)^bits)^tables, the probability that a key whose angle with the
// query is theta shares a code with it; at least the smallest normal number. `product` is <query,
// key k>.
float mj_lsh_weight(const MjScorer* scorer, int32_t batch, int32_t kv_head, const void* prepared,
                    int64_t k, float product);

// --- Making the data.

// Bytes that mj_index_keys needs.
int64_t mj_index_scratch(const MjScorer* scorer);
// Writes the rows of keys begin .. end - 1; row 0 of the head's keys is at `keys`. For PAGE_BOUND
// the rows of the pages that hold those keys, of all keys of these pages before `end`.
void mj_index_keys(const MjScorer* scorer, int32_t batch, int32_t head, int32_t kv_head,
                   const void* keys, int64_t row_bytes, int32_t element, int64_t begin, int64_t end,
                   void* scratch);
// The nearest centroid of each of `count` points of `dims` numbers, point i at points + i * stride;
// the first of equals. `codebook` is [dims][centroids padded to 16], `norms` half the squared
// norms. Scratch: 16 times the padded number of centroids, f32.
void mj_nearest(const float* points, int64_t stride, int64_t count, int32_t dims,
                const float* codebook, const float* norms, int32_t centroids, int32_t* nearest,
                void* scratch);
}
