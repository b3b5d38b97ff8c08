#pragma once
// The microkernels that make per-key data and score keys with it, for one instruction set.
#include "codegen/target/target.h"
#include "kernels_templates/include/index_layout.h"

namespace maskjit::index {

struct IndexKernels {
  MjIndexScratchFunction index_scratch;
  MjIndexKeysFunction index_keys;
  MjNearestFunction nearest;
  MjScorerScratchFunction scorer_scratch;
  MjScorerPrepareFunction prepare;
  MjScorerScoresFunction scores, page_scores;
  MjLshWeightFunction lsh_weight;
};

IndexKernels kernels_of(codegen::HostLevel level);

}  // namespace maskjit::index
