#pragma once
// Hooks and constants that only device templates have; the others are in include/hooks.h.
#include "kernels_templates/include/hooks.h"

extern "C" {

// 1: mj_keep_word gives the mask of 64 keys at once.
extern const int32_t mj_keep_words;
// Bit i: is key k + i active for query q? k is a multiple of 16; bits of keys past the next
// multiple of 64, or past the end, are anything.
uint64_t mj_keep_word(const MjAttentionArgs* args, int32_t batch, int32_t head, int32_t kv_head,
                      int32_t q, int32_t k);
}
