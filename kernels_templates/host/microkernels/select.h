#pragma once
// Microkernels of selection: one row's keys by their scores. masker_dsl/interp/selection.h says
// what each rule takes.
//
// Sets of keys are bits: key j is bit j % 64 of word j / 64; there are `words` of them, and no bit
// past the last key is set. Scores are read at the candidates alone.
#include "kernels_templates/host/microkernels/microkernels.h"

#ifdef MJ_ISA
#define mj_select_scratch MJ_OF_ISA(mj_select_scratch, MJ_ISA)
#define mj_count_bits MJ_OF_ISA(mj_count_bits, MJ_ISA)
#define mj_list_bits MJ_OF_ISA(mj_list_bits, MJ_ISA)
#define mj_choose_top_k MJ_OF_ISA(mj_choose_top_k, MJ_ISA)
#define mj_choose_pages MJ_OF_ISA(mj_choose_pages, MJ_ISA)
#define mj_choose_top_p MJ_OF_ISA(mj_choose_top_p, MJ_ISA)
#define mj_choose_random MJ_OF_ISA(mj_choose_random, MJ_ISA)
#define mj_choose_positive MJ_OF_ISA(mj_choose_positive, MJ_ISA)
#define mj_adaptive_budget MJ_OF_ISA(mj_adaptive_budget, MJ_ISA)
#define mj_dot_bits MJ_OF_ISA(mj_dot_bits, MJ_ISA)
#define mj_gather MJ_OF_ISA(mj_gather, MJ_ISA)
#define mj_add_value_list MJ_OF_ISA(mj_add_value_list, MJ_ISA)
#endif

extern "C" {

int64_t mj_count_bits(const uint64_t* bits, int64_t words);
// The keys of the set, ascending; returns how many.
int64_t mj_list_bits(const uint64_t* bits, int64_t words, int32_t* keys);

// --- The rules. Each writes the words of `chosen`.

// Bytes of scratch, a multiple of 64, for `words` words.
int64_t mj_select_scratch(int64_t words);
// The n candidates of highest score, of equal ones the lower keys.
void mj_choose_top_k(const float* scores, const uint64_t* candidates, int64_t words, int64_t n,
                     uint64_t* chosen, void* scratch);
// The candidates of the n best pages of `page` keys among those that have one. Scores are by page.
void mj_choose_pages(const float* scores, int64_t page, const uint64_t* candidates, int64_t words,
                     int64_t n, uint64_t* chosen, void* scratch);
// u = 2^(factor score - maximum): the candidates above the threshold of the share p of the sum of
// u.
void mj_choose_top_p(const float* scores, float factor, const uint64_t* candidates, int64_t words,
                     float p, uint64_t* chosen, void* scratch);
// Every candidate with this probability.
void mj_choose_random(const uint64_t* candidates, int64_t words, float probability,
                      const uint32_t* key, int32_t batch, int32_t head, int64_t query,
                      uint64_t* chosen);
// The candidates of positive score.
void mj_choose_positive(const float* scores, const uint64_t* candidates, int64_t words,
                        uint64_t* chosen);
// How many of `candidates` keys adaptive takes on average, base to candidates, from the base sample
// of `base` keys on average. u = 2^(factor x - maximum); weights of active keys, null: 1.
int64_t mj_adaptive_budget(const float* x, float factor, const uint64_t* active,
                           const float* weights, const uint64_t* sample, int64_t words,
                           int64_t candidates, int64_t base, float epsilon, float delta);

// --- Keys and values of a set, where they are (as in decoding).

// x[j] = <query, key j> for the keys j of the set; x has room for whole words.
void mj_dot_bits(const float* query, const void* keys, int64_t row_bytes, int32_t element,
                 int32_t head_dim, const uint64_t* bits, int64_t words, float* x);
// out[i] = x[keys[i]]; up to the next multiple of 16 out is -inf.
void mj_gather(const float* x, const int32_t* keys, int64_t count, float* out);
// sums += sum over i < count of weights[i] * value row keys[i].
void mj_add_value_list(const void* values, int64_t row_bytes, int32_t element, int32_t head_dim_v,
                       const int32_t* keys, const float* weights, int64_t count, float* sums);
}
