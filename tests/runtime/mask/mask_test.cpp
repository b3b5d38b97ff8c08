// Every operation on random masks of every representation, against the naive model.
#include "runtime/mask/mask.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <thread>

#include "runtime/mask/bit_rows.h"
#include "tests/runtime/mask/model.h"

namespace maskjit {
namespace {

using Representation = Mask::Representation;

constexpr Content kContents[] = {Content::Nothing, Content::Everything, Content::Bits,
                                 Content::Weights, Content::FewWeights};

struct Counts {
  int64_t active = 0;
  bool weighted = false;
};

Counts counts_of(const Model& model) {
  Counts counts;
  for (double w : model.weights) {
    counts.active += w != 0;
    counts.weighted = counts.weighted || (w != 0 && w != 1);
  }
  return counts;
}

void check_content(const Mask& mask, const Model& model, Representation stored) {
  const Counts counts = counts_of(model);
  const auto entries = static_cast<int64_t>(model.weights.size());
  EXPECT_EQ(model_of(mask), model);
  EXPECT_EQ(mask.shape(), model.shape);
  EXPECT_EQ(mask.entries(), entries);
  EXPECT_EQ(mask.active(), counts.active);
  EXPECT_EQ(mask.is_weighted(), counts.weighted);
  EXPECT_DOUBLE_EQ(mask.density(),
                   static_cast<double>(counts.active) / static_cast<double>(entries));
  const Representation expected = counts.active == 0 ? Representation::Empty
                                  : counts.active == entries && !counts.weighted
                                      ? Representation::Full
                                      : stored;
  EXPECT_EQ(mask.representation(), expected) << mask.describe();
}

// visit(random, model) for random models of every content.
template <typename Visit>
void for_random_models(const Visit& visit) {
  std::mt19937_64 random(20261122);
  for (int round = 0; round < 60; ++round) {
    for (Content content : kContents) {
      const Model model = random_model(random, random_shape(random), content);
      visit(random, model);
      if (testing::Test::HasFailure()) return;
    }
  }
}

TEST(Mask, MadeFromDenseTensorsOfEveryType) {
  for_random_models([](std::mt19937_64& random, const Model& model) {
    for (ElementType type :
         {ElementType::F16, ElementType::BF16, ElementType::F32, ElementType::F64}) {
      check_content(dense_mask(model, type), model, Representation::Dense);
    }
    Buffer strided = Buffer::strided(ElementType::F32, model.shape);
    strided.set_all(model.weights);
    check_content(*Mask::from_dense(strided.view()), model, Representation::Dense);
  });
}

TEST(Mask, MadeFromBooleans) {
  for_random_models([](std::mt19937_64& random, const Model& weighted) {
    Model model = weighted;
    for (double& w : model.weights) w = w != 0;
    check_content(dense_mask(model, ElementType::Bool), model, Representation::Dense);
    Buffer strided = Buffer::strided(ElementType::Bool, model.shape);
    strided.set_all(model.weights);
    check_content(*Mask::from_dense(strided.view()), model, Representation::Dense);
    // Any byte but 0 is true.
    Buffer bytes(ElementType::Bool, model.shape);
    bytes.set_all(model.weights);
    auto* data = static_cast<uint8_t*>(bytes.view().data);
    for (int64_t i = 0; i < bytes.size(); ++i) {
      if (data[i] != 0) data[i] = static_cast<uint8_t>(random() % 255 + 1);
    }
    check_content(*Mask::from_dense(bytes.view()), model, Representation::Dense);
  });
}

TEST(Mask, MadeFromIndices) {
  for_random_models([](std::mt19937_64& random, const Model& model) {
    check_content(index_mask(model), model, Representation::Index);
  });
}

// Columns in any order and several times, with padding, with and without weights.
TEST(Mask, MadeFromRowIndices) {
  for_random_models([](std::mt19937_64& random, const Model& shape_only) {
    for (const bool padding : {false, true}) {
      for (const bool weighted : {false, true}) {
        Model model{shape_only.shape, std::vector<double>(shape_only.weights.size(), 0)};
        std::vector<int64_t> shape = model.shape;
        shape.back() = static_cast<int64_t>(random() % 40 + 1);
        Buffer columns = random() % 2 == 0 ? Buffer(ElementType::I64, shape)
                                           : Buffer::strided(ElementType::I32, shape);
        Buffer weights = Buffer::strided(ElementType::F32, shape);
        for (int64_t i = 0; i < columns.size(); ++i) {
          const auto column =
              static_cast<int64_t>(random() % static_cast<uint64_t>(model.columns()));
          const double weight = static_cast<double>(random() % 9) / 8;
          const bool absent = padding && random() % 3 == 0;
          columns.set(i, static_cast<double>(absent ? -1 - column : column));
          weights.set(i, weight);
          if (absent) continue;
          double& sum =
              model.weights[static_cast<size_t>(i / shape.back() * model.columns() + column)];
          sum = std::min(sum + (weighted ? weight : 1.0), 1.0);
        }
        const Result<Mask> mask = Mask::from_row_indices(
            model.shape, columns.view(), weighted ? weights.view() : TensorView{}, padding);
        ASSERT_TRUE(mask.ok()) << mask.error().message;
        check_content(*mask, model, Representation::Index);
      }
    }
  });
}

TEST(Mask, IndicesMayComeInAnyOrderWithinARowAndSeveralTimes) {
  std::vector<int32_t> indices = {3, 1, 3, 7, 4, 7, 7};
  std::vector<int32_t> pointers = {0, 3, 7};
  std::vector<float> weights = {0.25f, 1.0f, 0.5f, 0.5f, 0.0f, 0.25f, 0.5f};
  const Result<Mask> mask =
      Mask::from_indices({2, 4}, TensorView::contiguous(indices.data(), ElementType::I32, {7}),
                         TensorView::contiguous(pointers.data(), ElementType::I32, {3}),
                         TensorView::contiguous(weights.data(), ElementType::F32, {7}));
  ASSERT_TRUE(mask.ok()) << mask.error().message;
  check_content(*mask, {{2, 4}, {0, 1, 0, 0.75, 0, 0, 0, 1}}, Representation::Index);
}

TEST(Mask, EmptyAndFull) {
  const Mask empty = *Mask::empty({2, 3, 70});
  const Mask full = *Mask::full({2, 3, 70});
  check_content(empty, {{2, 3, 70}, std::vector<double>(420, 0)}, Representation::Dense);
  check_content(full, {{2, 3, 70}, std::vector<double>(420, 1)}, Representation::Dense);
  EXPECT_TRUE(empty.is_empty());
  EXPECT_TRUE(full.is_full());
  // A mask without entries is empty, also where it was asked for as full.
  const Mask nothing = *Mask::full({2, 0, 70});
  EXPECT_TRUE(nothing.is_empty());
  EXPECT_EQ(nothing.density(), 0.0);
  EXPECT_EQ(nothing.to_index().row_pointers, std::vector<int64_t>{0});
}

TEST(Mask, ConversionsKeepTheEntries) {
  for_random_models([](std::mt19937_64& random, const Model& model) {
    const Mask dense = dense_mask(model);
    const Mask index = index_mask(model);
    check_content(*index.dense(), model, Representation::Dense);
    check_content(dense.index(), model, Representation::Index);
    check_content(index.index(), model, Representation::Index);
    check_content(*dense.dense(), model, Representation::Dense);
  });
}

TEST(Mask, ToIndexGivesCompressedSparseRows) {
  for_random_models([](std::mt19937_64& random, const Model& model) {
    for (const Mask& mask : {dense_mask(model), index_mask(model)}) {
      const MaskIndex index = mask.to_index();
      ASSERT_EQ(static_cast<int64_t>(index.row_pointers.size()), model.rows() + 1);
      ASSERT_EQ(index.weights.size(), index.indices.size());
      std::vector<double> seen(model.weights.size(), 0);
      EXPECT_EQ(index.row_pointers.front(), 0);
      for (int64_t r = 0; r < model.rows(); ++r) {
        const auto begin = static_cast<size_t>(index.row_pointers[static_cast<size_t>(r)]);
        const auto end = static_cast<size_t>(index.row_pointers[static_cast<size_t>(r) + 1]);
        for (size_t i = begin; i < end; ++i) {
          EXPECT_EQ(index.indices[i] / model.columns(), r);
          seen[static_cast<size_t>(index.indices[i])] = static_cast<double>(index.weights[i]);
        }
      }
      EXPECT_EQ(seen, model.weights);
      EXPECT_TRUE(std::is_sorted(index.indices.begin(), index.indices.end()));
      EXPECT_EQ(static_cast<int64_t>(index.indices.size()), mask.active());
    }
  });
}

TEST(Mask, ToDenseWritesEveryTypeAndStride) {
  for_random_models([](std::mt19937_64& random, const Model& model) {
    for (const Mask& mask : {dense_mask(model), index_mask(model)}) {
      for (ElementType type : {ElementType::Bool, ElementType::F16, ElementType::BF16,
                               ElementType::F32, ElementType::F64}) {
        Buffer out = Buffer::strided(type, model.shape);
        out.set_all(std::vector<double>(model.weights.size(), 7));
        ASSERT_TRUE(mask.to_dense(out.view()).ok());
        std::vector<double> expected = model.weights;
        if (type == ElementType::Bool) {
          for (double& w : expected) w = w != 0;
        }
        EXPECT_EQ(out.all(), expected);
      }
    }
  });
}

// Bits past the last column stay 0, and a word has weights only if one of them is not 1.
TEST(Mask, BitsAreTheEntries) {
  for_random_models([](std::mt19937_64& random, const Model& model) {
    for (const Mask& mask : {dense_mask(model), index_mask(model)}) {
      const BitRows& bits = **mask.bits();
      ASSERT_EQ(bits.rows, model.rows());
      ASSERT_EQ(bits.columns, model.columns());
      EXPECT_EQ(&bits, *mask.bits()) << "made once";
      int64_t stored = 0;
      for (int64_t r = 0; r < bits.rows; ++r) {
        for (int64_t i = 0; i < bits.row_words; ++i) {
          const auto word = static_cast<size_t>(r * bits.row_words + i);
          const float* weights = bits.weights_of(word);
          bool other_than_one = false;
          for (int64_t c = 0; c < 64; ++c) {
            const int64_t column = i * 64 + c;
            const double expected =
                column < model.columns()
                    ? model.weights[static_cast<size_t>(r * model.columns() + column)]
                    : 0;
            const bool bit = (bits.words[word] >> c & 1) != 0;
            ASSERT_EQ(bit, expected != 0);
            if (!bit) continue;
            ASSERT_EQ(weights != nullptr ? static_cast<double>(*weights++) : 1.0, expected);
            other_than_one = other_than_one || expected != 1;
          }
          EXPECT_EQ(bits.weights_of(word) != nullptr, other_than_one);
          if (other_than_one) stored += std::popcount(bits.words[word]);
        }
      }
      EXPECT_EQ(static_cast<int64_t>(bits.weights.size()), stored);
    }
  });
}

TEST(Mask, MergeAddsWeightsUpToOne) {
  std::mt19937_64 random(7);
  for (int round = 0; round < 30; ++round) {
    const std::vector<int64_t> shape = random_shape(random);
    for (Content content_a : kContents) {
      for (Content content_b : kContents) {
        const Model a = random_model(random, shape, content_a);
        const Model b = random_model(random, shape, content_b);
        Model sum = a;
        for (size_t i = 0; i < sum.weights.size(); ++i) {
          sum.weights[i] = std::min(a.weights[i] + b.weights[i], 1.0);
        }
        for (const Mask& mask_a : {dense_mask(a), index_mask(a)}) {
          for (const Mask& mask_b : {dense_mask(b), index_mask(b)}) {
            const Mask merged = *mask_a.merge(mask_b);
            // Two indices make an index; beside an empty mask the other one stays what it is.
            const bool index_a = mask_a.representation() == Representation::Index;
            const bool index_b = mask_b.representation() == Representation::Index;
            const bool index = (index_a || mask_a.is_empty()) && (index_b || mask_b.is_empty());
            check_content(merged, sum, index ? Representation::Index : Representation::Dense);
            EXPECT_EQ(merged, *mask_b.merge(mask_a));
          }
        }
        if (HasFailure()) return;
      }
    }
  }
}

TEST(Mask, ApplyMultipliesAndApplyInverseDivides) {
  for_random_models([](std::mt19937_64& random, const Model& model) {
    std::normal_distribution<double> normal;
    for (const Mask& mask : {dense_mask(model), index_mask(model)}) {
      for (ElementType type : {ElementType::F16, ElementType::F32, ElementType::F64}) {
        Buffer x = Buffer::strided(type, model.shape);
        for (int64_t i = 0; i < x.size(); ++i) x.set(i, std::round(normal(random) * 64) / 16);
        const std::vector<double> values = x.all();
        Buffer y(type, model.shape);
        ASSERT_TRUE(mask.apply(x.view(), y.view()).ok());
        const std::vector<double> products = y.all();
        ASSERT_TRUE(mask.apply_inverse(x.view(), y.view()).ok());
        const std::vector<double> quotients = y.all();
        Buffer rounded(type, {1});
        for (size_t i = 0; i < values.size(); ++i) {
          const double w = model.weights[i];
          EXPECT_EQ(products[i], values[i] * w);
          rounded.set(0, w == 0 ? 0 : values[i] / w);
          EXPECT_EQ(quotients[i], rounded.get(0));
        }
        // In place.
        ASSERT_TRUE(mask.apply_inverse(x.view(), x.view()).ok());
        EXPECT_EQ(x.all(), quotients);
      }
    }
  });
}

TEST(Mask, InactiveEntriesAreZeroWhateverTheValues) {
  const Mask mask = dense_mask({{4}, {1, 0, 0.5, 0}});
  Buffer x(ElementType::F32, {4});
  const double inf = std::numeric_limits<double>::infinity();
  x.set_all({1, std::nan(""), 2, inf});
  Buffer y(ElementType::F32, {4});
  ASSERT_TRUE(mask.apply(x.view(), y.view()).ok());
  EXPECT_EQ(y.all(), (std::vector<double>{1, 0, 1, 0}));
  ASSERT_TRUE(mask.apply_inverse(x.view(), y.view()).ok());
  EXPECT_EQ(y.all(), (std::vector<double>{1, 0, 4, 0}));
}

TEST(Mask, EqualityIsOfEntries) {
  for_random_models([](std::mt19937_64& random, const Model& model) {
    const Mask dense = dense_mask(model);
    const Mask index = index_mask(model);
    EXPECT_EQ(dense, index);
    EXPECT_EQ(index, dense);
    EXPECT_EQ(dense, dense_mask(model));
    EXPECT_EQ(index, index_mask(model));
    Model other = model;
    double& w = other.weights[random() % other.weights.size()];
    w = w == 0.5 ? 0 : w == 0 ? 1 : w - 0.125 > 0 ? w - 0.125 : 1;
    EXPECT_FALSE(dense == dense_mask(other));
    EXPECT_FALSE(dense == index_mask(other));
    EXPECT_FALSE(index == index_mask(other));
    std::vector<int64_t> longer = model.shape;
    longer.insert(longer.begin(), 1);
    EXPECT_FALSE(dense == dense_mask({longer, model.weights}));
  });
}

TEST(Mask, Describes) {
  const Mask mask = dense_mask({{2, 4}, {1, 0, 0.5, 0, 0, 0, 0, 0}});
  EXPECT_EQ(mask.describe(), "dense mask[2, 4], 2 of 8 active, weighted");
  EXPECT_EQ(mask.index().describe(), "index mask[2, 4], 2 of 8 active, weighted");
  EXPECT_EQ(Mask::full({8})->describe(), "full mask[8], 8 of 8 active");
}

// The bits of one mask may be asked for by several threads at once.
TEST(Mask, ThreadsShareTheBits) {
  std::mt19937_64 random(3);
  const Mask mask = index_mask(random_model(random, {8, 16, 200}, Content::Weights));
  std::vector<const BitRows*> seen(8);
  {
    std::vector<std::jthread> threads;
    for (auto& s : seen) threads.emplace_back([&mask, &s] { s = *mask.bits(); });
  }
  for (const BitRows* s : seen) EXPECT_EQ(s, seen[0]);
}

}  // namespace
}  // namespace maskjit
