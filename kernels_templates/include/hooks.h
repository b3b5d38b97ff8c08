#pragma once
// What a template leaves undefined and codegen defines at instantiation: specialisation constants
// and the functions lowered from the mask and the score. Positions are absolute and fit 31 bits.
#include "kernels_templates/include/kernel_abi.h"

extern "C" {

// Constants of the shape and types.
extern const int32_t mj_head_dim;    // D
extern const int32_t mj_head_dim_v;  // Dv
extern const int32_t mj_element;     // MjElement of query, key, value, output
extern const int32_t mj_additive;    // MjElement of the additive mask, MJ_NONE without one
extern const int32_t
    mj_dense_results;  // 1: dense weights and the maximum over all keys may be asked for
// Constants of the plan.
extern const int32_t mj_tile_q;         // query rows of a tile, a multiple of 16
extern const int32_t mj_tile_k;         // keys of a tile, a multiple of 32
extern const int32_t mj_pairs;          // 1: matrix products take pairs of bf16, 0: f32
extern const int32_t mj_word_multiple;  // what the inner dimension of a product is padded to, words
extern const int32_t mj_warps;          // of a block of a device kernel
// Constants of the mask and the score.
extern const int32_t mj_mask_full;       // 1: every element is active
extern const int32_t mj_score_identity;  // 1: the score is the scaled logit
extern const int32_t mj_by_head;         // 1: the mask depends on head or kv_head
extern const int32_t mj_weighted;        // 1: active elements have weights, mj_weight
extern const int32_t mj_dropout;         // MjDropout
extern const int32_t mj_range_count;     // key ranges of a query block, 1 to mj_max_ranges
enum { mj_max_ranges = 8 };
// Constants of a sequence of stages; the mask is then what limits the candidates of every stage.
extern const int32_t mj_stage_count;    // 0: the mask is static
extern const int64_t mj_stage_rules;    // MjRule of stage i in bits 8 i to 8 i + 7
extern const int64_t mj_stage_scorers;  // MjScorerKind, likewise
enum { mj_max_stages = 8 };

// Is key k active for query q?
bool mj_keep(const MjAttentionArgs* args, int32_t batch, int32_t head, int32_t kv_head, int32_t q,
             int32_t k);
// The new logit of scaled logit s.
float mj_score(const MjAttentionArgs* args, int32_t batch, int32_t head, int32_t kv_head, int32_t q,
               int32_t k, float s);
// The weight of an active element, in (0, 1]; of others anything.
float mj_weight(const MjAttentionArgs* args, int32_t batch, int32_t head, int32_t kv_head,
                int32_t q, int32_t k);
// 0 Empty, 1 Partial, 2 Full, for queries q_lo..q_hi and keys k_lo..k_hi, inclusive.
int32_t mj_tile_class(const MjAttentionArgs* args, int32_t batch, int32_t head, int32_t kv_head,
                      int32_t q_lo, int32_t q_hi, int32_t k_lo, int32_t k_hi);
// ends[2 i], ends[2 i + 1]: inclusive range i of keys worth visiting, unclipped; empty if lo > hi.
void mj_key_ranges(const MjAttentionArgs* args, int32_t batch, int32_t head, int32_t kv_head,
                   int32_t q_lo, int32_t q_hi, int64_t* ends);
// Does a static stage select key k?
bool mj_stage_keep(const MjAttentionArgs* args, int32_t stage, int32_t batch, int32_t head,
                   int32_t kv_head, int32_t q, int32_t k);
// The weight of a key that it selects.
float mj_stage_weight(const MjAttentionArgs* args, int32_t stage, int32_t batch, int32_t head,
                      int32_t kv_head, int32_t q, int32_t k);
// The arguments of a selector for a row.
void mj_stage_numbers(const MjAttentionArgs* args, int32_t stage, int32_t batch, int32_t head,
                      int32_t kv_head, int32_t q, MjStageNumbers* numbers);
}
