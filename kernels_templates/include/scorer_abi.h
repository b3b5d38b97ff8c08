#pragma once
// What a host kernel receives of a scorer other than the exact logits: per-key data that
// runtime/index keeps, and what the microkernels that score keys with it need to know.
#include <stdint.h>

extern "C" {

enum MjScorerKind : int32_t {
  MJ_SCORER_LOGITS = 0,
  MJ_SCORER_PAGE_BOUND = 1,
  MJ_SCORER_CHANNELS = 2,
  MJ_SCORER_HASH_BITS = 3,
  MJ_SCORER_PQ_CODES = 4,
  MJ_SCORER_LSH = 5,
};

// Row [batch, head, row] starts at data + batch * batch_stride + head * head_stride + row *
// row_stride, in bytes; strides of 0 broadcast.
struct MjIndexRows {
  const void* data;
  int64_t batch_stride;
  int64_t head_stride;
  int64_t row_stride;
};

struct MjScorer {
  int32_t kind;           // MjScorerKind
  int32_t by_head;        // 1: rows are of query heads, 0: of key heads
  int32_t numbers[6];     // by kind, as host/microkernels/scorers.h says
  MjIndexRows rows[4];    // likewise
  int64_t scratch_bytes;  // what a query that was prepared takes, a multiple of 64
};

}  // extern "C"
