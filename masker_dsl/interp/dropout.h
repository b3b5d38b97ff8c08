#pragma once
// Dropout: which weights are dropped follows from the seed, the offset and the place of the weight
// alone, by the counter-based generator Philox 4x32 of ten rounds (Salmon, Moraes, Dror and Shaw,
// "Parallel random numbers: as easy as 1, 2, 3", SC 2011).
//
//   launch key      the first two words of philox(counter (offset, offset >> 32, 0, 0), key seed)
//   r[b, h, i, j]   word j / 16 % 4 of philox(counter (j / 64 * 16 + j % 16, i, h, b), launch key)
//   dropped         r < floor(p 2^32)
//
// i is the row of the query, h its head. One counter serves the keys j, j + 16, j + 32 and j + 48
// of a block of 64: sixteen lanes give the numbers of 64 consecutive keys.
#include <array>
#include <cstdint>

namespace maskjit::interp {

using PhiloxCounter = std::array<uint32_t, 4>;
using PhiloxKey = std::array<uint32_t, 2>;

PhiloxCounter philox(PhiloxCounter counter, PhiloxKey key);

// r[b, h, i, j] of this launch key.
uint32_t philox_draw(const PhiloxKey& launch_key, int64_t batch, int64_t head, int64_t query,
                     int64_t key);

class Dropout {
 public:
  // probability in [0, 1)
  Dropout(double probability, uint64_t seed, uint64_t offset, bool renormalise);

  bool keeps(int64_t batch, int64_t head, int64_t query, int64_t key) const;
  // What a kept weight is multiplied with: 1 / (1 - p).
  double scale() const { return 1 / (1 - probability_); }
  // Kept weights are normalised again: the denominator sums what is left.
  bool renormalise() const { return renormalise_; }

  const PhiloxKey& launch_key() const { return key_; }
  uint32_t threshold() const { return threshold_; }

 private:
  double probability_;
  bool renormalise_;
  uint32_t threshold_;
  PhiloxKey key_;
};

}  // namespace maskjit::interp
