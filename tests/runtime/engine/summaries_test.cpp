#include <gmock/gmock.h>

#include <cmath>
#include <limits>

#include "runtime/plan/launch.h"
#include "tests/runtime/engine/problem.h"

namespace maskjit::testing {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

// The summaries of a tensor of 64-element blocks against minima and maxima found one element at a
// time.
template <typename S>
void check(const Tensor& tensor, const std::function<S(int64_t)>& element) {
  const TensorView& view = tensor.view();
  plan::Signature signature;
  signature.tensors.resize(2);  // the first is not asked for
  signature.tensors[1].element = view.type;
  signature.tensors[1].dims.resize(view.shape.size());
  signature.tensors[1].summarised = true;
  plan::Launch launch;
  launch.tensors.resize(2);
  MjTensor& t = launch.tensors[1];
  t.data = view.data;
  for (size_t d = 0; d < view.shape.size(); ++d) {
    t.extent[d] = view.shape[d];
    t.stride[d] = view.shape[d] == 1 ? 0 : view.strides[d];
  }
  plan::summarise_tensors(signature, launch);
  EXPECT_EQ(launch.tensors[0].block_min, nullptr);
  const int64_t extent = view.shape.back();
  const int64_t rows = extent == 0 ? 0 : view.elements() / extent;
  ASSERT_EQ(t.blocks, (extent + 63) / 64);
  for (int64_t row = 0; row < rows; ++row) {
    for (int64_t block = 0; block < t.blocks; ++block) {
      S lo = element(row * extent + block * 64), hi = lo;
      bool nan = false;
      for (int64_t i = block * 64; i < std::min(extent, block * 64 + 64); ++i) {
        const S v = element(row * extent + i);
        nan = nan || v != v;
        lo = std::min(lo, v);
        hi = std::max(hi, v);
      }
      const S got_lo = static_cast<const S*>(t.block_min)[row * t.blocks + block];
      const S got_hi = static_cast<const S*>(t.block_max)[row * t.blocks + block];
      EXPECT_EQ(got_lo, nan ? static_cast<S>(-kInfinity) : lo) << row << " " << block;
      EXPECT_EQ(got_hi, nan ? static_cast<S>(kInfinity) : hi) << row << " " << block;
    }
  }
}

Tensor random_tensor(ElementType type, std::vector<int64_t> shape, Layout layout) {
  std::mt19937 random(3);
  Tensor tensor(type, std::move(shape), layout);
  for (int64_t i = 0; i < tensor.size(); ++i)
    tensor.set(i, type == ElementType::Bool ? static_cast<double>(random() % 2)
                                            : static_cast<double>(random() % 2001) - 1000);
  return tensor;
}

TEST(Summaries, Integers) {
  for (ElementType type : {ElementType::I32, ElementType::I64}) {
    for (Layout layout : {Layout::HeadsFirst, Layout::Padded}) {
      for (int64_t last : {1, 63, 64, 65, 300}) {
        const Tensor tensor = random_tensor(type, {2, 3, 2, last}, layout);
        check<int64_t>(tensor, [&](int64_t i) { return static_cast<int64_t>(tensor.at(i)); });
      }
    }
  }
  const Tensor booleans = random_tensor(ElementType::Bool, {200}, Layout::HeadsFirst);
  check<int64_t>(booleans, [&](int64_t i) { return static_cast<int64_t>(booleans.at(i) != 0); });
  check<int64_t>(Tensor(ElementType::I32, {3, 0}), [](int64_t) { return int64_t{0}; });
}

TEST(Summaries, FloatsWithNan) {
  for (ElementType type :
       {ElementType::F16, ElementType::BF16, ElementType::F32, ElementType::F64}) {
    for (int64_t last : {1, 64, 130, 256}) {
      Tensor tensor = random_tensor(type, {2, 2, 1, last}, Layout::Padded);
      tensor.set(0, -kInfinity);
      tensor.set(last - 1, NAN);
      tensor.set(2 * last + last / 2, NAN);
      check<float>(tensor, [&](int64_t i) { return static_cast<float>(tensor.at(i)); });
    }
  }
}

}  // namespace
}  // namespace maskjit::testing
