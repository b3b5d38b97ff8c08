// Where masks differ from those of the replaced research code on purpose: one test a difference.
#include <gtest/gtest.h>

#include "runtime/mask/mask.h"
#include "tests/runtime/mask/model.h"

namespace maskjit {
namespace {

// There, the inverse weight is 1 / (w + 1e-6): 0.99999905 in f32 for w = 1.
TEST(MaskDifferences, InverseWeightsAreExact) {
  const Mask mask = dense_mask({{3}, {1, 0.0001, 0}});
  Buffer x(ElementType::F32, {3});
  x.set_all({1, 1, 1});
  Buffer y(ElementType::F32, {3});
  ASSERT_TRUE(mask.apply_inverse(x.view(), y.view()).ok());
  EXPECT_EQ(y.get(0), 1.0);
  EXPECT_EQ(y.get(1), static_cast<double>(static_cast<float>(1 / static_cast<double>(0.0001f))));
  EXPECT_EQ(y.get(2), 0.0);
}

// There, 0 + 1e-6 rounds to 0 in f16 and inactive entries become NaN.
TEST(MaskDifferences, InactiveEntriesAreZeroInHalfPrecision) {
  const Mask mask = dense_mask({{2}, {1, 0}});
  Buffer x(ElementType::F16, {2});
  x.set_all({1, 1});
  ASSERT_TRUE(mask.apply_inverse(x.view(), x.view()).ok());
  EXPECT_EQ(x.all(), (std::vector<double>{1, 0}));
}

// There, only factories and merges set the full and empty flags, and nothing is inferred.
TEST(MaskDifferences, FullAndEmptyFollowFromTheEntries) {
  EXPECT_TRUE(dense_mask({{2, 2}, {1, 1, 1, 1}}).is_full());
  EXPECT_TRUE(dense_mask({{2, 2}, {0, 0, 0, 0}}).is_empty());
  EXPECT_TRUE(index_mask({{2, 2}, {1, 1, 1, 1}}).is_full());
  EXPECT_TRUE(index_mask({{2, 2}, {0, 0, 0, 0}}).is_empty());
  const Mask left = dense_mask({{2, 2}, {1, 0, 0.5, 0}});
  const Mask right = dense_mask({{2, 2}, {0, 1, 0.5, 1}});
  EXPECT_TRUE(left.merge(right)->is_full());
}

// There, the empty flag means that no mask was built: dense attention.
TEST(MaskDifferences, AnEmptyMaskExcludesEverything) {
  const Mask mask = *Mask::empty({2});
  Buffer x(ElementType::F32, {2});
  x.set_all({3, 4});
  Buffer y(ElementType::F32, {2});
  ASSERT_TRUE(mask.apply(x.view(), y.view()).ok());
  EXPECT_EQ(y.all(), (std::vector<double>{0, 0}));
  ASSERT_TRUE(mask.apply_inverse(x.view(), y.view()).ok());
  EXPECT_EQ(y.all(), (std::vector<double>{0, 0}));
}

// There, what comes several times is counted several times, and the last or any one of its weights
// wins, depending on the representation.
TEST(MaskDifferences, RepetitionsAddUp) {
  Buffer columns(ElementType::I64, {1, 3});
  columns.set_all({2, 2, 1});
  Buffer weights(ElementType::F32, {1, 3});
  weights.set_all({0.25, 0.5, 0.25});
  const Mask mask = *Mask::from_row_indices({1, 4}, columns.view(), weights.view());
  EXPECT_EQ(mask.density(), 0.5);
  EXPECT_EQ(model_of(mask).weights, (std::vector<double>{0, 0.25, 0.75, 0}));
}

// There, a dense mask may alias the caller's tensor.
TEST(MaskDifferences, MasksOwnTheirEntries) {
  Buffer values(ElementType::F32, {2});
  values.set_all({1, 0});
  const Mask mask = *Mask::from_dense(values.view());
  values.set_all({0, 1});
  EXPECT_EQ(model_of(mask).weights, (std::vector<double>{1, 0}));
  const Mask merged = *mask.merge(*Mask::empty({2}));
  EXPECT_EQ(merged, mask);
}

// There, weights above 1 and below 0 are taken, and -1 among row-wise columns without padding lands
// in the row before.
TEST(MaskDifferences, ValuesOutsideOfTheirRangeAreErrors) {
  Buffer values(ElementType::F32, {1});
  values.set_all({2});
  EXPECT_FALSE(Mask::from_dense(values.view()).ok());
  values.set_all({-1});
  EXPECT_FALSE(Mask::from_dense(values.view()).ok());
  Buffer columns(ElementType::I64, {1, 1});
  columns.set_all({-1});
  EXPECT_FALSE(Mask::from_row_indices({1, 4}, columns.view()).ok());
}

}  // namespace
}  // namespace maskjit
