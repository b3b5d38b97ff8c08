#pragma once
// Selection in f64: which entries a sequence `C & (stage then stage ...)` makes active, and with
// which weights, from its definition: every row on its own, its stages in order, all candidates
// sorted. Every kernel that selects is compared with it.
//
// An entry is allowed if C holds and the additive mask does not exclude it: by -inf, False, or the
// lowest finite number of its type. The candidates of a
// stage are the allowed entries that no stage before made active.
//
//   static     the allowed entries of its mask; weight 1, or what an explicit mask says. The
//   weights
//              of an entry that several stages select add up, to at most 1.
//   top_k(n)   the n candidates of highest score; ties go to the lower key
//   top_p(p)   u = exp(score - maximum) over the candidates; all with score >= t for the largest t
//              whose candidates have more than the share p of the sum of u; all if there is none
//   random(r)  every candidate with draw < floor(r 2^32); weight r
//   adaptive   R candidates; all of them if R < 2. A base sample: those with draw < floor(n0 / R
//              2^32), n0 = base, or floor(base R) for a share, from 2 to R. u2: the mean of u^2
//              over the sample; D = sum of u / w over the active entries + sum of u over the sample
//              * R / n0; z: what a standard normal exceeds with probability delta / 2. The error of
//              the estimate of D from draws with probability b / R has the variance R u2 (R / b -
//              1); b = R / (1 + (epsilon D / z)^2 / (R u2)) rounded up, from n0 to R, makes epsilon
//              D z standard deviations (docs/adr/0006). b = R if the sample has less than two
//              entries. Taken: those with draw < floor(b / R 2^32), weight b / R.
//   magic_pig  the candidates that share a code with the query; weights are given
//
// The score `logits` is that of interp/attention.h, additive mask included. Whole pages are taken
// by `page_bound`: of top_k max(min_pages, n // page) of those with a candidate, and of each every
// candidate. Rates and probabilities are rounded to f32 before they meet a draw. Draws are those of
// dropout (dropout.h), r[b, h, i, j], with the key of the stage: the first two words of
// philox(counter (offset, offset >> 32, 1 + 2 stage + s, 0), key seed), s = 1 for a base sample.
#include <cstdint>
#include <vector>

#include "masker_dsl/interp/attention.h"
#include "masker_dsl/interp/dropout.h"
#include "masker_dsl/ir/program.h"

namespace maskjit::interp {

enum class Draw { Sample = 0, BaseSample = 1 };
PhiloxKey stage_key(uint64_t seed, uint64_t offset, int64_t stage, Draw draw);

struct SelectionInputs {
  uint64_t seed = 0;
  uint64_t offset = 0;
  // By stage, [B, Hq, Lq, Lk] or empty: the scores of scorers other than `logits`, of every key
  // that of its page; of magic_pig the weights of the keys that share a code with the query, 0
  // elsewhere.
  std::vector<std::vector<double>> scores;
};

// The weights [B, Hq, Lq, Lk] of active entries, 0 elsewhere: AttentionInputs::kept.
std::vector<double> select_entries(const ir::Program& program, const AttentionInputs& inputs,
                                   const SelectionInputs& selection);

// What a standard normal variable exceeds with probability p, 0 < p < 1.
double normal_quantile_above(double p);

}  // namespace maskjit::interp
