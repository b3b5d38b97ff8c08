// What an index is asked for that it cannot be, and what it says then.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "runtime/index/state.h"
#include "tests/runtime/index/support.h"

namespace maskjit {
namespace {

using namespace maskjit::testing;
using ::testing::HasSubstr;

constexpr KeyIndex::Shape kShape = {ElementType::F16, 2, 6, 2, 8};

std::string create_error(const KeyIndex::Shape& shape, const KeyIndex::Part& part) {
  const auto index = KeyIndex::create(shape, std::span(&part, 1));
  return index ? "" : index.error().message;
}

TEST(KeyIndexValidation, Shapes) {
  KeyIndex::Shape shape = kShape;
  shape.num_heads = 5;
  EXPECT_EQ(create_error(shape, KeyIndex::PageBound{}), "5 heads cannot share 2 key heads evenly");
  shape = kShape;
  shape.element = ElementType::F64;
  EXPECT_EQ(create_error(shape, KeyIndex::PageBound{}),
            "keys of an index are f32, f16 or bf16, not f64");
  shape = kShape;
  shape.head_dim = 0;
  EXPECT_EQ(create_error(shape, KeyIndex::PageBound{}), "head_dim must be in [1, 65536], found 0");
  EXPECT_EQ(KeyIndex::create(kShape, {}).error().message, "an index has at least one part");
}

TEST(KeyIndexValidation, Numbers) {
  EXPECT_EQ(create_error(kShape, KeyIndex::PageBound{.page = 0}),
            "page of page_bound must be in [1, 1048576], found 0");
  EXPECT_EQ(create_error(kShape, KeyIndex::PageBound{.bits = 17}),
            "bits of page_bound must be in [1, 16], found 17");
  EXPECT_EQ(create_error(kShape, KeyIndex::PqCodes{.bits = 13}),
            "bits of pq_codes must be in [1, 12], found 13");
  EXPECT_EQ(create_error(kShape, KeyIndex::PqCodes{.sub_dims = 0}),
            "sub_dims of pq_codes must be in [1, 1024], found 0");
  EXPECT_EQ(create_error(kShape, KeyIndex::Lsh{.tables = 0}),
            "tables of magic_pig must be in [1, 1024], found 0");
  EXPECT_EQ(create_error(kShape, KeyIndex::Lsh{.bits = 65}),
            "bits of magic_pig must be in [1, 64], found 65");
  EXPECT_EQ(create_error(kShape, KeyIndex::HashBits{.layers = 0}),
            "layers of hash_bits must be in [1, 16], found 0");
  const std::vector<KeyIndex::Part> two = {KeyIndex::PageBound{}, KeyIndex::Lsh{.bits = 0}};
  EXPECT_EQ(KeyIndex::create(kShape, two).error().message,
            "part 1: bits of magic_pig must be in [1, 64], found 0");
}

TEST(KeyIndexValidation, Tensors) {
  std::vector<int32_t> table = {0, 1, 2, 8, 4, 5};
  const auto view = [&](std::vector<int64_t> shape) {
    return TensorView::contiguous(table.data(), ElementType::I32, std::move(shape));
  };
  EXPECT_EQ(create_error(kShape, KeyIndex::Channels{.table = view({2, 3})}),
            "table of channels has the channel 8; keys have 8");
  EXPECT_EQ(create_error(kShape, KeyIndex::Channels{.table = view({3, 2})}),
            "table of channels i32[3, 2] has 3 rows; there are 6 heads and 2 key heads");
  EXPECT_EQ(create_error(kShape, KeyIndex::Channels{.table = view({6})}),
            "table of channels is i32[6]; i32 of two dimensions is needed");
  EXPECT_EQ(create_error(kShape, KeyIndex::Channels{}),
            "table of channels is missing; i32 of two dimensions is needed");
  std::vector<float> mlp(6 * 297);
  const TensorView parameters =
      TensorView::contiguous(mlp.data(), ElementType::F32, {6, 297});  // 9 * 16 + 17 * 9
  KeyIndex::HashBits hash = {
      .bits = 8, .layers = 2, .hidden = 16, .query_mlp = parameters, .key_mlp = parameters};
  EXPECT_EQ(create_error(kShape, hash),
            "query_mlp of hash_bits is f32[6, 297]; 8 bits of 2 layers (16 hidden) of 6 heads of 8 "
            "channels need f32[6, 280]");
  hash.bits = 9;
  EXPECT_EQ(create_error(kShape, hash), "");
  hash.key_mlp = {};
  EXPECT_EQ(create_error(kShape, hash),
            "key_mlp of hash_bits is missing; f32 of two dimensions is needed");
}

TEST(KeyIndexValidation, Updates) {
  Rng rng(1);
  const KeyCache cache(rng, kShape, 10);
  const KeyIndex::Part part = KeyIndex::PageBound{};
  auto index = KeyIndex::create(kShape, std::span(&part, 1));
  ASSERT_TRUE(index);
  const auto error = [&](const TensorView& view, int64_t unchanged = INT64_MAX) {
    const Status status = index->update(view, unchanged);
    return status ? "" : status.error().message;
  };
  TensorView keys = cache.view(10);
  keys.shape[1] = 3;
  EXPECT_EQ(error(keys), "key is f16[2, 3, 10, 8]; this index is of f16[2, 2, n, 8]");
  keys = cache.view(10);
  keys.type = ElementType::BF16;
  EXPECT_EQ(error(keys), "key is bf16[2, 2, 10, 8]; this index is of f16[2, 2, n, 8]");
  keys = cache.view(10);
  keys.strides[3] = 2;
  EXPECT_THAT(error(keys), HasSubstr("has stride 2 in its last dimension; it must be 1"));
  EXPECT_EQ(error({}), "key is missing: [batch, num_kv_heads, kv_len, head_dim]");
  EXPECT_EQ(error(cache.view(10), -1), "unchanged is -1: it is a number of keys");
  EXPECT_EQ(error(cache.view(0)), "");
  EXPECT_EQ(index->size(), 0);
}

TEST(KeyIndexValidation, Targets) {
  const KeyIndex::Part part = KeyIndex::PageBound{};
  KeyIndex::Execution execution;
  execution.target = "sm_90";
  EXPECT_THAT(KeyIndex::create(kShape, std::span(&part, 1), 0, execution).error().message,
              HasSubstr("an index has no target 'sm_90'; there are x86-64"));
}

TEST(KeyIndexValidation, FindsParts) {
  Rng rng(2);
  for (int i = 0; i < 50; ++i) {
    const KeyIndex::Shape shape = random_shape(rng);
    std::vector<std::unique_ptr<OwnedPart>> owned;
    std::vector<KeyIndex::Part> parts;
    for (const PartKind kind : kPartKinds) {
      owned.push_back(random_part(rng, kind, shape));
      parts.push_back(owned.back()->part);
    }
    auto index = KeyIndex::create(shape, parts);
    ASSERT_TRUE(index);
    for (size_t p = 0; p < parts.size(); ++p) EXPECT_EQ(index->find(parts[p]), p);
    KeyIndex::PageBound pages = std::get<KeyIndex::PageBound>(parts[0]);
    ++pages.page;
    EXPECT_EQ(index->find(pages), std::nullopt);
    // Tensors: left out, the same elsewhere, other ones.
    KeyIndex::Channels channels = std::get<KeyIndex::Channels>(parts[1]);
    std::vector<int32_t> table = owned[1]->table;
    channels.table.data = table.data();
    EXPECT_EQ(index->find(channels), 1u);
    if (shape.head_dim > 1) {
      table.back() = (table.back() + 1) % static_cast<int32_t>(shape.head_dim);
      EXPECT_EQ(index->find(channels), std::nullopt);
    }
    channels.table = {};
    EXPECT_EQ(index->find(channels), 1u);
    KeyIndex::HashBits hash = std::get<KeyIndex::HashBits>(parts[2]);
    std::vector<float> mlp = owned[2]->key_mlp;
    hash.key_mlp.data = mlp.data();
    hash.query_mlp = {};
    EXPECT_EQ(index->find(hash), 2u);
    mlp.front() += 1;
    EXPECT_EQ(index->find(hash), std::nullopt);
  }
}

class CountingPool final : public ThreadPool {
 public:
  int threads() const override { return 3; }
  void run(int count, void (*task)(void*, int), void* context) const override {
    runs += 1;
    std::vector<std::thread> workers;
    for (int i = 1; i < count; ++i) workers.emplace_back(task, context, i);
    task(context, 0);
    for (std::thread& worker : workers) worker.join();
  }
  mutable std::atomic<int> runs = 0;
};

TEST(KeyIndexThreads, RunsOnTheCallersPool) {
  Rng rng(3);
  const KeyIndex::Shape shape = {ElementType::F32, 1, 4, 4, 64};
  const KeyCache cache(rng, shape, 3000);
  const auto pool = std::make_shared<CountingPool>();
  const std::vector<KeyIndex::Part> parts = {KeyIndex::PageBound{}, KeyIndex::PqCodes{.bits = 4},
                                             KeyIndex::Lsh{}};
  auto pooled = KeyIndex::create(shape, parts, 0, {.thread_pool = pool});
  auto alone = KeyIndex::create(shape, parts, 0, {.threads = 1});
  ASSERT_TRUE(pooled && alone);
  ASSERT_TRUE(pooled->update(cache.view(3000)));
  ASSERT_TRUE(alone->update(cache.view(3000)));
  EXPECT_GT(pool->runs, 0);
  EXPECT_EQ(pooled->state().print(), alone->state().print());
}

// Readers need nothing from each other.
TEST(KeyIndexThreads, ManyReaders) {
  Rng rng(4);
  const KeyIndex::Shape shape = {ElementType::BF16, 1, 2, 1, 32};
  const KeyCache cache(rng, shape, 500);
  const KeyIndex index = make_index(cache, KeyIndex::PqCodes{.sub_dims = 4, .bits = 6});
  const auto query = random_query(rng, 32);
  const auto level = codegen::Target::host().level;
  const auto expected = Prepared(index, 0, level, 0, 1, query).scores(0, 500);
  std::atomic<int> different = 0;
  std::vector<std::thread> readers;
  for (int i = 0; i < 4; ++i) {
    readers.emplace_back([&] {
      const KeyIndex copy = index;
      for (int j = 0; j < 50; ++j)
        different += Prepared(copy, 0, level, 0, 1, query).scores(0, 500) == expected ? 0 : 1;
    });
  }
  for (std::thread& reader : readers) reader.join();
  EXPECT_EQ(different, 0);
}

}  // namespace
}  // namespace maskjit
