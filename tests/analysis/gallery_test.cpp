// Gallery masks on many shapes: sound everywhere, and as precise as each mask states.
#include <gtest/gtest.h>

#include <cstdlib>
#include <iostream>

#include "masker_dsl/passes/passes.h"
#include "tests/analysis/gallery.h"
#include "tests/analysis/tile_oracle.h"

namespace maskjit {
namespace {

// Tensor arguments that make sense for the masks of the gallery.
struct Arguments {
  std::vector<int32_t> doc32, limit, len;
  std::vector<int64_t> doc64;
  std::vector<uint8_t> flag;
  std::vector<uint64_t> bits;
  interp::Environment environment;
};

void prepare(const ir::Function& function, int64_t q_len, int64_t kv_len, int64_t batch,
             Arguments& a) {
  int32_t document = 0;
  for (int64_t i = 0; i < kv_len; ++i) {
    document += (i * 7919 + 3) % 23 == 0;
    a.doc32.push_back(document);
    a.doc64.push_back(document);
    a.limit.push_back(static_cast<int32_t>(std::min<int64_t>(kv_len, i / 9 * 9 + 5)));
    a.flag.push_back(i % 37 == 5);
  }
  // Two sequences of one batch: both rows of [batch, kv_len] hold the same documents.
  a.doc32.insert(a.doc32.end(), a.doc32.begin(), a.doc32.begin() + kv_len);
  a.doc64.insert(a.doc64.end(), a.doc64.begin(), a.doc64.begin() + kv_len);
  a.len = {static_cast<int32_t>(kv_len / 3), static_cast<int32_t>(kv_len)};
  a.environment[ir::Var::Batch] = batch;
  a.environment[ir::Var::BatchSize] = 2;
  a.environment[ir::Var::Head] = batch * 2;
  a.environment[ir::Var::NumHeads] = 4;
  for (size_t i = 0; i < function.params().size(); ++i) {
    a.environment.params.push_back(ir::Scalar::of_int(batch == 0 ? 12 : 0));
  }
  for (const ir::Tensor& tensor : function.tensors()) {
    interp::TensorValue value;
    value.element = tensor.element;
    value.extents = {kv_len};
    value.strides = {1};
    if (tensor.dims.size() == 2) {
      value.extents = {2, kv_len};
      value.strides = {kv_len, 1};
    }
    if (tensor.element == ir::Element::Bit) {
      // Blocks of 16 x 16 that are full, empty or have a few bits; at most 64 columns.
      for (int64_t row = 0; row < 2 * q_len; ++row) {
        uint64_t word = 0;
        for (int64_t k = 0; k < kv_len; ++k) {
          const int64_t block = (row / 16 * 5 + k / 16 * 3) % 7;
          const bool on = block == 0 || (block == 1 && (row * 7 + k * 3) % 11 == 0);
          word |= uint64_t{on} << k;
        }
        a.bits.push_back(word);
      }
      value.data = a.bits.data();
      value.extents = {2, q_len, kv_len};
      value.strides = {q_len * 64, 64, 1};
    }
    if (tensor.name == "len") value.extents = {2};
    if (tensor.name == "len") value.data = a.len.data();
    if (tensor.name == "limit") value.data = a.limit.data();
    if (tensor.name == "flag") value.data = a.flag.data();
    if (tensor.name == "doc") {
      value.data = tensor.element == ir::Element::I32 ? static_cast<const void*>(a.doc32.data())
                                                      : a.doc64.data();
    }
    a.environment.tensors.push_back(value);
  }
}

class Gallery : public ::testing::TestWithParam<size_t> {};

TEST_P(Gallery, SoundAndPrecise) {
  const gallery::Mask mask = gallery::masks()[GetParam()];
  analysis::TileFunctions tiles = analysis::analyse_tiles(mask.function);
  tiles.tile = passes::run_pipeline(tiles.tile);
  tiles.ranges = passes::run_pipeline(tiles.ranges);
  SCOPED_TRACE(mask.name + "\n" + ir::print(tiles.tile) + ir::print(tiles.ranges));
  oracle::Counts counts;
  const oracle::Launch launches[] = {
      {64, 64, 0, 8, 8},    {64, 64, 0, 16, 8},  {61, 64, 3, 7, 5},
      {64, 64, 0, 1, 16},   {20, 64, 44, 8, 16}, {64, 40, -24, 8, 8},
      {40, 50, -60, 8, 16}, {1, 64, 63, 1, 8},   {33, 64, 90, 16, 16}};
  for (const oracle::Launch& launch : launches) {
    for (int64_t batch : {0, 1}) {
      Arguments arguments;
      prepare(mask.function, launch.q_len, launch.kv_len, batch, arguments);
      auto wrong = oracle::check(mask.function, tiles, launch, arguments.environment, &counts);
      ASSERT_FALSE(wrong.has_value()) << *wrong;
    }
  }
  const std::string summary = fmt::format(
      "tiles {} empty {} (called partial {}) full {} (called partial {}) in ranges {}\n",
      counts.tiles, counts.empty, counts.missed_empty, counts.full, counts.missed_full,
      counts.touched);
  SCOPED_TRACE(summary);
  if (std::getenv("MASKJIT_VERBOSE") != nullptr) std::cout << summary;
  if (mask.exact) {
    EXPECT_EQ(counts.missed_empty, 0);
    EXPECT_EQ(counts.missed_full, 0);
  }
  EXPECT_LE(counts.missed_empty, mask.missed_empty * counts.empty);
  EXPECT_LE(counts.touched, mask.ranges * (counts.tiles - counts.empty));
  EXPECT_LE(tiles.tile.size() + tiles.ranges.size(), 250u);
}

std::string name_of(const ::testing::TestParamInfo<size_t>& info) {
  return gallery::masks()[info.param].name;
}

INSTANTIATE_TEST_SUITE_P(Masks, Gallery, ::testing::Range<size_t>(0, gallery::masks().size()),
                         name_of);

}  // namespace
}  // namespace maskjit
