#pragma once
// Random numbers that follow from a seed, a stream and a place alone (Philox 4x32, see
// masker_dsl/interp/dropout.h).
#include <cstdint>
#include <utility>

#include "masker_dsl/interp/dropout.h"

namespace maskjit::index {

class Random {
 public:
  enum class Stream : uint32_t { Projections = 1, TrainingKeys = 2, FirstCentroids = 3 };

  Random(uint64_t seed, Stream stream) {
    const auto words =
        interp::philox({0, 0, static_cast<uint32_t>(stream), 0x4B657973u},
                       {static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32)});
    key_ = {words[0], words[1]};
  }

  interp::PhiloxCounter words(uint32_t a, uint32_t b = 0, uint32_t c = 0, uint32_t d = 0) const {
    return interp::philox({a, b, c, d}, key_);
  }
  // In [0, 1), of 53 bits.
  double uniform(uint32_t a, uint32_t b = 0, uint32_t c = 0, uint32_t d = 0) const {
    const auto w = words(a, b, c, d);
    return to_unit(w[0], w[1]);
  }
  // Two independent standard normal numbers (Box and Muller 1958).
  std::pair<double, double> normals(uint32_t a, uint32_t b) const;

 private:
  static double to_unit(uint32_t high, uint32_t low) {
    return static_cast<double>((uint64_t{high} << 32 | low) >> 11) * 0x1p-53;
  }

  interp::PhiloxKey key_;
};

}  // namespace maskjit::index
