#include "tools/maskjit/random_values.h"

#include "tools/io/tensor.h"

namespace maskjit::cli {

// A sum of twelve uniform numbers, shifted.
double Random::next() {
  double sum = -6;
  for (int i = 0; i < 6; ++i) {
    state_ = state_ * 6364136223846793005U + 1442695040888963407U;
    sum += static_cast<double>(state_ >> 33 & 0xffff) / 65536 +
           static_cast<double>(state_ >> 48) / 65536;
  }
  return sum;
}

void Random::fill(const TensorView& tensor) {
  const int64_t count = tensor.elements();
  for (int64_t i = 0; i < count; ++i) io::store_double(tensor.data, tensor.type, i, next());
}

}  // namespace maskjit::cli
