#pragma once
// What lets a kernel skip tiles and drop the predicate: from the mask, a Boolean function of one
// element, this derives functions of a tile of queries QueryLo..QueryHi and keys KeyLo..KeyHi
// (absolute positions, inclusive), for one batch and one head.
//
//   tile:    results "may" and "must" (Bool). may = false proves that no element of the tile is
//            active (Empty); must = true proves that all are (Full).
//   ranges:  results "lo0", "hi0", "lo1", "hi1", ... (Int), functions of QueryLo and QueryHi:
//            every key that is active for some query of the block lies in the union of
//            lo_i .. hi_i (inclusive; empty if lo_i > hi_i). Ends are not clipped to
//            0 .. kv_len - 1, ranges may overlap and are unordered.
//
// Both are ordinary MaskIR: they are printed, interpreted, simplified and lowered like the mask
// itself, and have the parameters and tensors of the mask's function, in the same order. Empty and
// Full are never wrong; Partial and too wide a range are always allowed.
#include <string>
#include <string_view>

#include "masker_dsl/ir/function.h"

namespace maskjit::analysis {

enum class TileClass : uint8_t { Empty = 0, Partial = 1, Full = 2 };
std::string_view name_of(TileClass tile_class);

struct TileFunctions {
  ir::Function tile;
  ir::Function ranges;
  int range_count = 0;  // at least 1, at most kMaxRanges
  // True if some range end depends on the mask (not just 0 .. kv_len - 1), so that cost grows with
  // the active tiles alone.
  bool closed_form = false;
  // True if tile or ranges use TensorMin/TensorMax: the runtime must give block summaries for these
  // tensors.
  bool needs_summaries = false;
};
inline constexpr int kMaxRanges = 8;

// `mask` is the result "mask" of `function` (Const parameters bound or not).
TileFunctions analyse_tiles(const ir::Function& function);

}  // namespace maskjit::analysis
