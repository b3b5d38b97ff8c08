#pragma once
// How much the analysis may cost: it degrades to smaller, less exact functions instead of growing.
#include <cstddef>

namespace maskjit::analysis {

// How often terms are taken apart, how many conjunctions are looked at together, and after how many
// nodes the rest of the mask is taken as unknown.
struct Effort {
  int splits;
  size_t disjuncts;
  size_t max_nodes;
};
// The functions run once a tile or block inside a kernel: where one gets larger than kMaxNodes it
// is built again with less effort, which gives a smaller and less exact one.
inline constexpr size_t kMaxNodes = 800;
inline constexpr Effort kEfforts[] = {{128, 16, 4000}, {16, 6, 4000}, {0, 1, 500}};

}  // namespace maskjit::analysis
