#include "runtime/mask/bit_rows.h"

#include <algorithm>

namespace maskjit {

void BitRows::append_weights(size_t word, const float* from) {
  const auto count = std::popcount(words[word]);
  const bool all_one =
      from == nullptr || std::all_of(from, from + count, [](float w) { return w == 1.0f; });
  if (all_one) return;
  if (weight_start.empty()) weight_start.assign(words.size(), kAllOne);
  weight_start[word] = static_cast<int64_t>(weights.size());
  weights.insert(weights.end(), from, from + count);
}

int64_t BitRows::active() const {
  int64_t count = 0;
  for (const uint64_t word : words) count += std::popcount(word);
  return count;
}

}  // namespace maskjit
