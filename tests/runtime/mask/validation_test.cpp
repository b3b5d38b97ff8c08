// What every function says to input that it cannot take.
#include <gtest/gtest.h>

#include <cmath>

#include "runtime/mask/mask.h"
#include "tests/runtime/mask/model.h"

namespace maskjit {
namespace {

template <typename T>
std::string message(const Result<T>& result) {
  if (result.ok()) return "";
  EXPECT_EQ(result.error().kind, ErrorKind::InvalidInput);
  return result.error().message;
}

template <typename T>
TensorView view(ElementType type, std::vector<T>& values, std::vector<int64_t> shape) {
  return TensorView::contiguous(values.data(), type, std::move(shape));
}

TEST(MaskErrors, Shapes) {
  EXPECT_EQ(message(Mask::empty({})), "mask[] has no dimension; the last one counts the columns");
  EXPECT_EQ(message(Mask::full({2, -1})), "mask[2, -1] has a dimension outside of 0 to 1073741824");
  EXPECT_EQ(message(Mask::full({1 << 30, 1 << 30})), "mask[1073741824, 1073741824] is too large");
  EXPECT_EQ(message(Mask::full({0, 1 << 30, 1 << 30})),
            "mask[0, 1073741824, 1073741824] is too large");
}

TEST(MaskErrors, DenseTensors) {
  std::vector<float> values = {1, 0.5f, 0, 1, 1.5f, 0};
  TensorView dense = view(ElementType::F32, values, {1, 2, 3});
  EXPECT_EQ(message(Mask::from_dense(dense)),
            "mask f32[1, 2, 3]: the weight at [0, 1, 1] is 1.5, outside of 0 to 1");
  values[4] = -0.25f;
  EXPECT_EQ(message(Mask::from_dense(dense)),
            "mask f32[1, 2, 3]: the weight at [0, 1, 1] is -0.25, outside of 0 to 1");
  values[4] = NAN;
  EXPECT_EQ(message(Mask::from_dense(dense)),
            "mask f32[1, 2, 3]: the weight at [0, 1, 1] is nan, outside of 0 to 1");
  std::vector<double> tiny = {1e-60};
  EXPECT_EQ(message(Mask::from_dense(view(ElementType::F64, tiny, {1}))),
            "mask f64[1]: the weight at [0] is 1e-60, too small for f32");
  dense.type = ElementType::I32;
  EXPECT_EQ(message(Mask::from_dense(dense)),
            "a mask cannot be made of i32[1, 2, 3]: element types bool, f16, bf16, f32 and f64 are "
            "possible");
  EXPECT_EQ(message(Mask::from_dense({})),
            "mask[] has no dimension; the last one counts the columns");
  dense.type = ElementType::F32;
  dense.data = nullptr;
  EXPECT_EQ(message(Mask::from_dense(dense)), "mask f32[1, 2, 3] has no data");
}

class IndexErrors : public testing::Test {
 protected:
  // [2, 4]: columns 1 and 3 of row 0, column 2 of row 1.
  std::vector<int64_t> indices_ = {1, 3, 6};
  std::vector<int64_t> pointers_ = {0, 2, 3};
  std::vector<float> weights_ = {1, 0.5f, 1};
  TensorView indices() { return view(ElementType::I64, indices_, {3}); }
  TensorView pointers() { return view(ElementType::I64, pointers_, {3}); }
  TensorView weights() { return view(ElementType::F32, weights_, {3}); }
  std::string error() {
    return message(Mask::from_indices({2, 4}, indices(), pointers(), weights()));
  }
};

TEST_F(IndexErrors, Accepts) { EXPECT_EQ(error(), ""); }

TEST_F(IndexErrors, TypesAndShapes) {
  TensorView other = indices();
  other.type = ElementType::F32;
  EXPECT_EQ(message(Mask::from_indices({2, 4}, other, pointers())),
            "indices of mask[2, 4] f32[3] have element type f32; i32 and i64 are possible");
  EXPECT_EQ(
      message(Mask::from_indices({2, 4}, view(ElementType::I64, indices_, {1, 3}), pointers())),
      "indices of mask[2, 4] i64[1, 3] have 2 dimensions; 1 is needed");
  EXPECT_EQ(message(Mask::from_indices({3, 4}, indices(), pointers())),
            "row_pointers of mask[3, 4] are i64[3]; for 3 rows, [4] is needed");
  other = weights();
  other.type = ElementType::I32;
  EXPECT_EQ(message(Mask::from_indices({2, 4}, indices(), pointers(), other)),
            "weights i32[3] have element type i32; f16, bf16, f32 and f64 are possible");
  EXPECT_EQ(message(Mask::from_indices({2, 4}, indices(), pointers(),
                                       view(ElementType::F32, weights_, {2}))),
            "weights of mask[2, 4] are f32[2]; for 3 indices, [3] is needed");
}

TEST_F(IndexErrors, RowPointers) {
  pointers_ = {0, 2, 2};
  EXPECT_EQ(error(),
            "row_pointers of mask[2, 4] go from 0 to 2; they must go from 0 to 3, the number of "
            "indices");
  pointers_ = {1, 2, 3};
  EXPECT_EQ(error(),
            "row_pointers of mask[2, 4] go from 1 to 3; they must go from 0 to 3, the number of "
            "indices");
  pointers_ = {0, -1, 3};
  EXPECT_EQ(error(), "row_pointers of mask[2, 4] go from 0 to -1 at row 0; they must not fall");
  pointers_ = {0, 5, 3};
  EXPECT_EQ(error(), "row_pointers of mask[2, 4] go from 0 to 5 at row 0; they must not exceed 3");
}

TEST_F(IndexErrors, Positions) {
  indices_[1] = 4;
  EXPECT_EQ(error(),
            "index 1 of mask[2, 4] is 4; the row pointers put it into row 0, which has 0 to 3");
  indices_[1] = -1;
  EXPECT_EQ(error(),
            "index 1 of mask[2, 4] is -1; the row pointers put it into row 0, which has 0 to 3");
  indices_ = {1, 3, std::numeric_limits<int64_t>::min()};
  EXPECT_EQ(error(),
            "index 2 of mask[2, 4] is -9223372036854775808; the row pointers put it into row 1, "
            "which has 4 to 7");
}

TEST_F(IndexErrors, Weights) {
  weights_[2] = 2;
  EXPECT_EQ(error(), "weight 2 of mask[2, 4] is 2, outside of 0 to 1");
}

class RowIndexErrors : public testing::Test {
 protected:
  std::vector<int64_t> columns_ = {1, 3, 0, 2};
  std::vector<float> weights_ = {1, 0.5f, 1, 0.25f};
  TensorView columns() { return view(ElementType::I64, columns_, {2, 2}); }
  TensorView weights() { return view(ElementType::F32, weights_, {2, 2}); }
  std::string error(bool padding = false) {
    return message(Mask::from_row_indices({2, 4}, columns(), weights(), padding));
  }
};

TEST_F(RowIndexErrors, Accepts) { EXPECT_EQ(error(), ""); }

TEST_F(RowIndexErrors, TypesAndShapes) {
  EXPECT_EQ(message(Mask::from_row_indices({3, 4}, columns())),
            "columns of mask[3, 4] are i64[2, 2]; [3, n] is needed");
  EXPECT_EQ(message(Mask::from_row_indices({1, 2, 4}, columns())),
            "columns of mask[1, 2, 4] are i64[2, 2]; [1, 2, n] is needed");
  EXPECT_EQ(message(Mask::from_row_indices({4}, columns())),
            "columns of mask[4] are i64[2, 2]; [n] is needed");
  EXPECT_EQ(message(Mask::from_row_indices({2, 4}, view(ElementType::I64, columns_, {2, 0}))),
            "columns of mask[2, 4] are i64[2, 0]; a row needs at least one");
  EXPECT_EQ(
      message(Mask::from_row_indices({2, 4}, columns(), view(ElementType::F32, weights_, {2, 1}))),
      "weights of mask[2, 4] f32[2, 1] and columns i64[2, 2] differ in shape");
  EXPECT_EQ(message(Mask::from_row_indices({2, 4}, weights())),
            "columns of mask[2, 4] f32[2, 2] have element type f32; i32 and i64 are possible");
}

TEST_F(RowIndexErrors, Columns) {
  columns_[3] = 4;
  EXPECT_EQ(error(), "column 4 of mask[2, 4] at [1, 1] is outside of 0 to 3");
  EXPECT_EQ(error(true), "column 4 of mask[2, 4] at [1, 1] is outside of 0 to 3");
  columns_[3] = -1;
  EXPECT_EQ(error(),
            "column -1 of mask[2, 4] at [1, 1] is outside of 0 to 3; with padding, negative "
            "columns are left out");
  EXPECT_EQ(error(true), "");
}

TEST_F(RowIndexErrors, Weights) {
  weights_[1] = -1;
  EXPECT_EQ(error(), "the weight of mask[2, 4] at [0, 1] is -1, outside of 0 to 1");
}

TEST(MaskErrors, Merge) {
  EXPECT_EQ(message(Mask::full({2, 4})->merge(*Mask::full({4, 2}))),
            "mask[2, 4] and mask[4, 2] differ in shape: masks of one shape can be merged");
}

TEST(MaskErrors, ToDense) {
  const Mask mask = *Mask::full({2, 4});
  EXPECT_EQ(message(mask.to_dense(Buffer(ElementType::F32, {2, 3}).view())),
            "the dense form of mask[2, 4] is written to f32[2, 3]; [2, 4] is needed");
  EXPECT_EQ(message(mask.to_dense(Buffer(ElementType::I64, {2, 4}).view())),
            "a mask cannot be written to i64[2, 4]: element types bool, f16, bf16, f32 and f64 are "
            "possible");
  Buffer buffer(ElementType::F32, {2, 4});
  TensorView broadcast = buffer.view();
  broadcast.strides[0] = 0;
  EXPECT_EQ(message(mask.to_dense(broadcast)),
            "mask f32[2, 4] has stride 0 in dimension 0: results would overwrite each other");
}

TEST(MaskErrors, Apply) {
  const Mask mask = *Mask::full({2, 4});
  Buffer f32(ElementType::F32, {2, 4});
  Buffer f64(ElementType::F64, {2, 4});
  Buffer other(ElementType::F32, {2, 5});
  Buffer integers(ElementType::I32, {2, 4});
  EXPECT_EQ(message(mask.apply(other.view(), f32.view())),
            "mask[2, 4] and values f32[2, 5] differ in shape");
  EXPECT_EQ(message(mask.apply_inverse(f32.view(), other.view())),
            "mask[2, 4] and result f32[2, 5] differ in shape");
  EXPECT_EQ(message(mask.apply(f32.view(), f64.view())),
            "values f32[2, 4] and result f64[2, 4] differ in element type");
  EXPECT_EQ(message(mask.apply(integers.view(), f32.view())),
            "values i32[2, 4] have element type i32; f16, bf16, f32 and f64 are possible");
  TensorView broadcast = f32.view();
  broadcast.strides[0] = 0;
  EXPECT_EQ(message(mask.apply(f64.view(), f64.view())), "");
  EXPECT_EQ(message(mask.apply(broadcast, f32.view())), "") << "values may repeat";
  EXPECT_EQ(message(mask.apply(f32.view(), broadcast)),
            "result f32[2, 4] has stride 0 in dimension 0: results would overwrite each other");
}

}  // namespace
}  // namespace maskjit
