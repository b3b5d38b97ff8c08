#pragma once
// How many bytes the rows of a scorer take, for who copies an index to where its kernels run.
#include <array>
#include <cstdint>

#include "kernels_templates/include/index_layout.h"

namespace maskjit::index {

// Of MjScorer::rows of an index of `keys` keys a head: bytes from `data` on, 0 where kernels that
// score keys read nothing (what only the making of an index needs).
std::array<int64_t, 4> bytes_of_rows(const MjScorer& scorer, int64_t batch, int64_t num_heads,
                                     int64_t num_kv_heads, int64_t keys);

}  // namespace maskjit::index
