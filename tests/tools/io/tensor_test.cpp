#include "tools/io/tensor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>

namespace maskjit::io {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(Tensor, ZerosAreZeroAndContiguous) {
  const Result<Tensor> tensor = Tensor::zeros(ElementType::F32, {2, 3, 5});
  ASSERT_TRUE(tensor);
  EXPECT_THAT(tensor->view().strides, ElementsAre(15, 5, 1));
  for (int64_t i = 0; i < 30; ++i) EXPECT_EQ(tensor->data<float>()[i], 0);
}

TEST(Tensor, EmptyTensorsExist) {
  const Result<Tensor> tensor = Tensor::zeros(ElementType::F32, {2, 0, 5});
  ASSERT_TRUE(tensor);
  EXPECT_EQ(tensor->view().elements(), 0);
}

TEST(Tensor, SizesThatOverflowAreErrors) {
  const Result<Tensor> tensor =
      Tensor::zeros(ElementType::F32, {int64_t{1} << 40, int64_t{1} << 40});
  ASSERT_FALSE(tensor);
  EXPECT_THAT(tensor.error().message, HasSubstr("no memory for a tensor of f32[1099511627776"));
  EXPECT_EQ(byte_size(ElementType::F32, {-1}), std::nullopt);
  EXPECT_EQ(byte_size(ElementType::F32, {int64_t{1} << 61, 1}), std::nullopt);
  EXPECT_EQ(byte_size(ElementType::U8, {int64_t{1} << 61, 2}), int64_t{1} << 62);
  EXPECT_EQ(byte_size(ElementType::F64, {int64_t{1} << 40, 0, 5}), 0);
  EXPECT_EQ(byte_size(ElementType::F64, {int64_t{1} << 40, 0, int64_t{1} << 20}), std::nullopt);
}

TEST(Tensor, EveryHalfAndBfloat16RoundTripsThroughF32) {
  for (const ElementType type : {ElementType::F16, ElementType::BF16}) {
    const Result<Tensor> all = Tensor::zeros(type, {65536});
    ASSERT_TRUE(all);
    for (int i = 0; i < 65536; ++i) all->data<uint16_t>()[i] = static_cast<uint16_t>(i);
    const Result<Tensor> wide = convert(all->view(), ElementType::F32);
    ASSERT_TRUE(wide);
    const Result<Tensor> back = convert(wide->view(), type);
    ASSERT_TRUE(back);
    for (int i = 0; i < 65536; ++i) {
      if (std::isnan(wide->data<float>()[i])) {
        EXPECT_TRUE(std::isnan(load_double(back->view().data, type, i)));
      } else {
        EXPECT_EQ(back->data<uint16_t>()[i], i);
      }
    }
  }
}

TEST(Tensor, Bfloat16RoundsToNearestEven) {
  const struct {
    float value;
    uint16_t bits;
  } cases[] = {
      {1.0F, 0x3f80},
      {std::bit_cast<float>(0x3f808000U), 0x3f80},  // half way, even below
      {std::bit_cast<float>(0x3f818000U), 0x3f82},  // half way, even above
      {std::bit_cast<float>(0x3f808001U), 0x3f81},
      {std::bit_cast<float>(0x7f7fffffU), 0x7f80},  // the largest f32 rounds to infinity
      {-0.0F, 0x8000},
  };
  for (const auto& c : cases) {
    uint16_t bits = 0;
    store_double(&bits, ElementType::BF16, 0, static_cast<double>(c.value));
    EXPECT_EQ(bits, c.bits) << c.value;
  }
}

TEST(Tensor, IntegersAreClampedAndNanIsZero) {
  int8_t out = 1;
  store_double(&out, ElementType::I8, 0, 1000);
  EXPECT_EQ(out, 127);
  store_double(&out, ElementType::I8, 0, -1000);
  EXPECT_EQ(out, -128);
  store_double(&out, ElementType::I8, 0, std::numeric_limits<double>::quiet_NaN());
  EXPECT_EQ(out, 0);
  int64_t wide = 1;
  store_double(&wide, ElementType::I64, 0, 1e30);
  EXPECT_EQ(wide, std::numeric_limits<int64_t>::max());
}

TEST(Tensor, ConvertFollowsStrides) {
  const float memory[] = {0, 1, 2, 3, 4, 5};
  // A 3 x 2 matrix seen as its transpose.
  const TensorView view = {const_cast<float*>(memory), ElementType::F32, {2, 3}, {1, 2}};
  for (const ElementType type : {ElementType::F32, ElementType::I32}) {
    const Result<Tensor> copy = convert(view, type);
    ASSERT_TRUE(copy);
    std::vector<double> values;
    for (int64_t i = 0; i < 6; ++i) values.push_back(load_double(copy->view().data, type, i));
    EXPECT_THAT(values, ElementsAre(0, 2, 4, 1, 3, 5));
  }
}

}  // namespace
}  // namespace maskjit::io
