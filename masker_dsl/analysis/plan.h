#pragma once
// What a sequence with selectors is executed as, in words: the data of the keys that its scorers
// read, and what each stage hands to the next.
//
//   index    of the keys, kept between calls or made for one
//              page_bound(page = 16, bits = 16)
//   scores   exact, of every candidate: 4 bytes a key, of the rows of a block at a time
//   limit    k <= q -> candidates, 1 bit a key
//   stage 0  static: k < 4 -> active keys, 1 bit a key
//   stage 1  top_k(n = 64) by page_bound: scores of pages -> threshold -> active keys
//   stage 2  adaptive(base = 0.05, epsilon = 0.25, delta = 0.25): base sample -> budget -> sample
//   ->
//            active keys, a weight a key
//   attend   over the active keys, keys and values read where they are
#include <string>

#include "masker_dsl/ir/program.h"

namespace maskjit::analysis {

// Empty if the mask is static. `keeps_scores`: of the rows of a block, as CPUs do; devices compute
// the scores anew for each digit of a threshold.
std::string explain_plan(const ir::Program& program, bool keeps_scores = true);

}  // namespace maskjit::analysis
