// Minimum and maximum of every block of mj_summary_block elements of a tensor's last dimension.
// Values are taken as kernels take them: integers and Booleans as int64, floating ones rounded to
// float (rounding keeps order). A block with a NaN, which compares with nothing, gets the widest
// bounds.
#include <cmath>
#include <limits>

#include "masker_dsl/ir/internal_error.h"
#include "runtime/plan/elements.h"
#include "runtime/plan/launch.h"

namespace maskjit::plan {
namespace {

struct Half {
  uint16_t bits;
};
struct Bfloat16 {
  uint16_t bits;
};
struct Boolean {
  uint8_t byte;
};

int64_t as_summary(Boolean v) { return v.byte != 0 ? 1 : 0; }
int64_t as_summary(int8_t v) { return v; }
int64_t as_summary(uint8_t v) { return v; }
int64_t as_summary(int16_t v) { return v; }
int64_t as_summary(int32_t v) { return v; }
int64_t as_summary(int64_t v) { return v; }
float as_summary(Half v) { return half_to_float(v.bits); }
float as_summary(Bfloat16 v) { return bfloat16_to_float(v.bits); }
float as_summary(float v) { return v; }
float as_summary(double v) { return static_cast<float>(v); }

template <typename S>
struct Bounds {
  S lo, hi;
  bool unordered = false;  // some value is a NaN

  explicit Bounds(S v) : lo(v), hi(v), unordered(v != v) {}
  void add(S v) {
    lo = v < lo ? v : lo;
    hi = v > hi ? v : hi;
    unordered |= v != v;
  }
};

template <typename T>
auto bounds_of(const T* values, int64_t count, int64_t stride) {
  Bounds bounds(as_summary(values[0]));
  for (int64_t i = 1; i < count; ++i) bounds.add(as_summary(values[i * stride]));
  return bounds;
}

// A whole block without gaps, by independent lanes for the sake of the vector units.
template <typename T>
auto bounds_of_block(const T* values) {
  constexpr int kLanes = 8;
  using S = decltype(as_summary(T{}));
  S lo[kLanes], hi[kLanes];
  int unordered[kLanes] = {};
  for (int l = 0; l < kLanes; ++l) lo[l] = hi[l] = as_summary(values[l]);
  for (int i = 0; i < mj_summary_block; i += kLanes) {
    for (int l = 0; l < kLanes; ++l) {
      const S v = as_summary(values[i + l]);
      lo[l] = v < lo[l] ? v : lo[l];
      hi[l] = v > hi[l] ? v : hi[l];
      unordered[l] |= v != v;
    }
  }
  Bounds<S> bounds(lo[0]);
  for (int l = 0; l < kLanes; ++l) {
    bounds.add(lo[l]);
    bounds.add(hi[l]);
    bounds.unordered |= unordered[l] != 0;
  }
  return bounds;
}

// One row of the last dimension.
template <typename T, typename S>
void summarise_row(const T* row, int64_t extent, int64_t stride, S* minimum, S* maximum) {
  for (int64_t begin = 0, block = 0; begin < extent; begin += mj_summary_block, ++block) {
    const int64_t count = std::min<int64_t>(extent - begin, mj_summary_block);
    const T* values = row + begin * stride;
    Bounds<S> bounds = stride == 1 && count == mj_summary_block ? bounds_of_block(values)
                                                                : bounds_of(values, count, stride);
    if constexpr (std::is_floating_point_v<S>) {
      if (bounds.unordered) {
        bounds.lo = -std::numeric_limits<S>::infinity();
        bounds.hi = std::numeric_limits<S>::infinity();
      }
    }
    minimum[block] = bounds.lo;
    maximum[block] = bounds.hi;
  }
}

template <typename T>
std::unique_ptr<std::byte[]> summarise(MjTensor& tensor, size_t rank) {
  using S = decltype(as_summary(T{}));
  int64_t rows = 1;
  for (size_t d = 0; d + 1 < rank; ++d) rows *= tensor.extent[d];
  const int64_t extent = tensor.extent[rank - 1];
  tensor.blocks = (extent + mj_summary_block - 1) / mj_summary_block;
  const int64_t count = rows * tensor.blocks;
  auto storage =
      std::make_unique_for_overwrite<std::byte[]>(static_cast<size_t>(2 * count) * sizeof(S));
  S* minimum = reinterpret_cast<S*>(storage.get());
  S* maximum = minimum + count;
  tensor.block_min = minimum;
  tensor.block_max = maximum;
  for (int64_t row = 0; row < rows; ++row) {
    int64_t offset = 0;
    int64_t rest = row;
    for (size_t d = rank - 1; d-- > 0;) {
      offset += rest % tensor.extent[d] * tensor.stride[d];
      rest /= tensor.extent[d];
    }
    summarise_row(static_cast<const T*>(tensor.data) + offset, extent, tensor.stride[rank - 1],
                  minimum + row * tensor.blocks, maximum + row * tensor.blocks);
  }
  return storage;
}

std::unique_ptr<std::byte[]> summarise(ElementType element, MjTensor& tensor, size_t rank) {
  switch (element) {
    case ElementType::Bool:
      return summarise<Boolean>(tensor, rank);
    case ElementType::I8:
      return summarise<int8_t>(tensor, rank);
    case ElementType::U8:
      return summarise<uint8_t>(tensor, rank);
    case ElementType::I16:
      return summarise<int16_t>(tensor, rank);
    case ElementType::I32:
      return summarise<int32_t>(tensor, rank);
    case ElementType::I64:
      return summarise<int64_t>(tensor, rank);
    case ElementType::F16:
      return summarise<Half>(tensor, rank);
    case ElementType::BF16:
      return summarise<Bfloat16>(tensor, rank);
    case ElementType::F32:
      return summarise<float>(tensor, rank);
    case ElementType::F64:
      return summarise<double>(tensor, rank);
  }
  MASKJIT_CHECK(false, "unknown element type");
}

}  // namespace

void summarise_tensors(const Signature& signature, Launch& launch) {
  for (size_t i = 0; i < signature.tensors.size(); ++i) {
    const TensorParameter& declared = signature.tensors[i];
    if (!declared.summarised) continue;  // explicit masks have their own
    launch.summaries.push_back(
        summarise(declared.element, launch.tensors[i], declared.dims.size()));
  }
}

}  // namespace maskjit::plan
