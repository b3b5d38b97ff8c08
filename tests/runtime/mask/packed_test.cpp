// Masks as plain arrays and back, and what is said about arrays that are no mask's.
#include "runtime/mask/packed.h"

#include <gtest/gtest.h>

#include <limits>

#include "tests/runtime/mask/model.h"

namespace maskjit {
namespace {

using Representation = Mask::Representation;

std::string message(const Result<Mask>& mask) {
  if (mask.ok()) return "";
  EXPECT_EQ(mask.error().kind, ErrorKind::InvalidInput);
  return mask.error().message;
}

TEST(PackedMask, ThereAndBack) {
  std::mt19937_64 random(20261122);
  for (int round = 0; round < 60; ++round) {
    for (Content content : {Content::Nothing, Content::Everything, Content::Bits, Content::Weights,
                            Content::FewWeights}) {
      const Model model = random_model(random, random_shape(random), content);
      for (const Mask& mask : {dense_mask(model), index_mask(model)}) {
        const PackedMask packed = pack(mask);
        const Result<Mask> back = unpack(packed);
        ASSERT_TRUE(back.ok()) << back.error().message;
        EXPECT_EQ(model_of(*back), model);
        EXPECT_EQ(back->representation(), mask.representation());
        EXPECT_EQ(back->is_weighted(), mask.is_weighted());
        if (!packed.words.empty()) EXPECT_NE(pack(*back).words.data(), packed.words.data());
      }
    }
  }
}

TEST(PackedMask, ViewsAreOfTheMaskItself) {
  const Model model = {{1, 3}, {1, 0, 1}};
  const Mask mask = dense_mask(model);
  const Mask copy = mask;
  EXPECT_EQ(pack(mask).words.data(), pack(copy).words.data());
  EXPECT_EQ(pack(mask).words[0], 0b101u);
}

TEST(PackedMask, DenseErrors) {
  std::vector<uint64_t> words = {0b011, 0b101};
  std::vector<int64_t> starts = {-1, 0};
  std::vector<float> weights = {0.5f, 0.25f};
  PackedMask packed{Representation::Dense, {2, 3}, words, starts, {}, {}, weights};
  EXPECT_EQ(message(unpack(packed)), "");

  packed.shape = {2, 130};
  EXPECT_EQ(message(unpack(packed)), "packed mask[2, 130] has 2 words; 2 rows of 3 are needed");
  packed.shape = {1 << 30, 1 << 20};
  EXPECT_EQ(message(unpack(packed)),
            "packed mask[1073741824, 1048576] has 2 words; 1073741824 rows of 16384 are needed");
  packed.shape = {2, 2};
  EXPECT_EQ(message(unpack(packed)), "packed mask[2, 2] has bits past its last column in word 1");
  packed.shape = {};
  EXPECT_EQ(message(unpack(packed)), "mask[] has no dimension; the last one counts the columns");
  packed.shape = {2, 3};
  packed.weight_start = packed.weight_start.first(1);
  EXPECT_EQ(message(unpack(packed)), "packed mask[2, 3] has 1 starts of weights for 2 words");
  packed.weight_start = starts;
  for (int64_t start : {int64_t{1}, int64_t{-2}, std::numeric_limits<int64_t>::max()}) {
    starts[1] = start;
    EXPECT_EQ(message(unpack(packed)),
              "packed mask[2, 3] has 2 weights; those of word 1 start at " + std::to_string(start));
  }
  starts[1] = 0;
  for (float weight : {0.0f, 1.5f, -1.0f, std::numeric_limits<float>::quiet_NaN()}) {
    weights[1] = weight;
    EXPECT_EQ(message(unpack(packed)),
              "packed mask[2, 3] has a weight outside of (0, 1] in word 1");
  }
}

TEST(PackedMask, IndexErrors) {
  std::vector<int64_t> pointers = {0, 1, 3};
  std::vector<int32_t> columns = {2, 0, 1};
  std::vector<float> weights = {1.0f, 0.5f, 0.25f};
  const PackedMask good{Representation::Index, {2, 3}, {}, {}, pointers, columns, weights};
  EXPECT_EQ(message(unpack(good)), "");

  const std::string wrong_pointers =
      "packed mask[2, 3] has row pointers that do not go from 0 to 3 in 2 rows";
  for (const std::vector<int64_t>& other :
       std::vector<std::vector<int64_t>>{{0, 3}, {}, {1, 1, 3}, {0, 1, 4}, {0, 4, 3}, {0, -1, 3}}) {
    PackedMask packed = good;
    packed.row_pointers = other;
    EXPECT_EQ(message(unpack(packed)), wrong_pointers);
  }
  const std::string wrong_columns =
      "packed mask[2, 3] has columns of row 1 that do not ascend from 0 to 2";
  for (const std::vector<int32_t>& other :
       std::vector<std::vector<int32_t>>{{2, 1, 1}, {2, 1, 0}, {2, 0, 3}, {2, -1, 1}}) {
    PackedMask packed = good;
    packed.columns = other;
    EXPECT_EQ(message(unpack(packed)), wrong_columns);
  }
  PackedMask packed = good;
  packed.weights = packed.weights.first(2);
  EXPECT_EQ(message(unpack(packed)), "packed mask[2, 3] has 2 weights for 3 columns");
  weights[2] = 0.0f;
  EXPECT_EQ(message(unpack(good)), "packed mask[2, 3] has a weight outside of (0, 1]");
}

}  // namespace
}  // namespace maskjit
