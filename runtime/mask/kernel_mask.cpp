#include "runtime/mask/kernel_mask.h"

#include <algorithm>
#include <new>

#include "runtime/mask/mask.h"
#include "runtime/mask/storage.h"

namespace maskjit {

void classify_tiles(const BitRows& bits, int64_t group, KernelMask& mask) {
  static_assert(kTileSide == kBitsPerWord, "a tile is as wide as a word");
  mask.tile_columns = bits.row_words;
  const auto columns = static_cast<size_t>(bits.row_words);
  std::vector<uint64_t> some(columns), every(columns);
  for (int64_t begin = 0; begin < bits.rows; begin += group) {
    for (int64_t first = 0; first < group; first += kTileSide) {
      const int64_t last = std::min(first + kTileSide, group);
      std::fill(some.begin(), some.end(), uint64_t{0});
      std::fill(every.begin(), every.end(), ~uint64_t{0});
      for (int64_t row = begin + first; row < begin + last; ++row) {
        const uint64_t* words = bits.words.data() + row * bits.row_words;
        for (size_t i = 0; i < columns; ++i) {
          some[i] |= words[i];
          every[i] &= words[i];
        }
      }
      for (size_t i = 0; i < columns; ++i) {
        const bool full = every[i] == bits.columns_of_word(static_cast<int64_t>(i));
        mask.tiles.push_back(full ? 2 : some[i] != 0 ? 1 : 0);
      }
    }
  }
}

Result<const KernelMask*> Mask::for_kernel() const {
  const Storage& s = *storage_;
  std::call_once(s.preparing, [&] {
    try {
      KernelMask mask;
      if (is_empty() || is_full()) {
        mask.one_row = true;
        s.single_row.emplace(1, s.columns);
        if (is_full()) fill(*s.single_row);
        mask.bits = &*s.single_row;
        classify_tiles(*mask.bits, 1, mask);
      } else {
        const auto made = bits();
        if (!made) return;
        mask.bits = *made;
        const int64_t group = s.shape.size() > 1 ? s.shape[s.shape.size() - 2] : 1;
        classify_tiles(*mask.bits, group, mask);
      }
      s.kernel = std::move(mask);
    } catch (const std::bad_alloc&) {
    }
  });
  if (s.kernel) return &*s.kernel;
  return no_memory(s);
}

}  // namespace maskjit
