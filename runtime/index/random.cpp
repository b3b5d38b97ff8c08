#include "runtime/index/random.h"

#include <cmath>
#include <numbers>

namespace maskjit::index {

std::pair<double, double> Random::normals(uint32_t a, uint32_t b) const {
  const auto w = words(a, b);
  const double radius = std::sqrt(-2 * std::log(to_unit(w[0], w[1]) + 0x1p-53));
  const double angle = 2 * std::numbers::pi * to_unit(w[2], w[3]);
  return {radius * std::cos(angle), radius * std::sin(angle)};
}

}  // namespace maskjit::index
