// An index is a function of its keys: however they arrived, it is bit for bit the one that a single
// update makes.
#include <gtest/gtest.h>

#include "runtime/index/state.h"
#include "tests/runtime/index/support.h"
#include "tests/sanitized.h"

namespace maskjit {
namespace {

using namespace maskjit::testing;

KeyIndex create(const KeyIndex::Shape& shape, const std::vector<std::unique_ptr<OwnedPart>>& owned,
                uint64_t seed, const KeyIndex::Execution& execution) {
  std::vector<KeyIndex::Part> parts;
  for (const auto& part : owned) parts.push_back(part->part);
  auto index = KeyIndex::create(shape, parts, seed, execution);
  EXPECT_TRUE(index) << index.error().message;
  return *index;
}

void expect_updated(const Status& status) { ASSERT_TRUE(status) << status.error().message; }

// Updates `index` in random steps until it has `size` of the cache's keys. Steps append one key or
// many, cut keys off, or replace the last ones; the last one often cuts off.
void update_in_steps(Rng& rng, KeyIndex& index, KeyCache& cache, int64_t size) {
  while (index.size() != size || pick(rng, 0, 3) == 0) {
    const int64_t now = index.size();
    int64_t next = std::min(cache.capacity(),
                            now + (pick(rng, 0, 2) == 0 ? 1 : pick(rng, 1, cache.capacity())));
    if (now > size && pick(rng, 0, 2) == 0) next = size;
    int64_t unchanged = INT64_MAX;
    const int64_t step = pick(rng, 0, 9);
    if (step == 0 && now > 0) {
      next = pick(rng, 0, now);
    } else if (step == 1 && now > 0) {
      unchanged = pick(rng, 0, now);
      cache.fill(rng, unchanged);
    }
    expect_updated(index.update(cache.view(next), unchanged));
    ASSERT_EQ(index.size(), next);
  }
}

TEST(KeyIndexChunking, AThousandRandomCases) {
  for (uint64_t seed = 0; seed < (kSanitized ? 200 : 1000); ++seed) {
    SCOPED_TRACE(seed);
    Rng rng(seed);
    const KeyIndex::Shape shape = random_shape(rng);
    const int64_t size = pick(rng, 0, 9) == 0 ? pick(rng, 200, 700) : pick(rng, 0, 150);
    KeyCache cache(rng, shape, size + pick(rng, 1, 80));
    std::vector<std::unique_ptr<OwnedPart>> parts;
    const int64_t count = pick(rng, 1, 2);
    for (int64_t i = 0; i < count; ++i)
      parts.push_back(random_part(rng, one_of(rng, kPartKinds), shape));
    KeyIndex::Execution execution;
    execution.threads = static_cast<int>(pick(rng, 1, 2));
    execution.target = codegen::Target{one_of(rng, levels())}.print();
    KeyIndex stepped = create(shape, parts, seed, execution);
    update_in_steps(rng, stepped, cache, size);
    if (HasFatalFailure()) return;

    KeyIndex at_once = create(shape, parts, seed, {});
    expect_updated(at_once.update(cache.view(size)));
    ASSERT_EQ(stepped.state().print(), at_once.state().print()) << at_once.describe();
  }
}

// Training keys that are not next to each other, several chunks of work, and centres that move.
TEST(KeyIndexChunking, ManyKeys) {
  Rng rng(77);
  const KeyIndex::Shape shape = {ElementType::BF16, 1, 2, 2, 16};
  KeyCache cache(rng, shape, 9000);
  std::vector<std::unique_ptr<OwnedPart>> parts;
  for (const PartKind kind : kPartKinds) parts.push_back(random_part(rng, kind, shape));
  parts[3]->part = KeyIndex::PqCodes{.sub_dims = 8, .bits = 5};
  KeyIndex::Execution two;
  two.threads = 2;
  KeyIndex at_once = create(shape, parts, 5, two);
  expect_updated(at_once.update(cache.view(9000)));
  KeyIndex stepped = create(shape, parts, 5, {});
  for (const int64_t size : {4100, 8191, 8192, 8193, 8250, 9000})
    expect_updated(stepped.update(cache.view(size)));
  EXPECT_EQ(stepped.state().print(), at_once.state().print());
  expect_updated(at_once.update(cache.view(5000)));
  KeyIndex less = create(shape, parts, 5, {});
  expect_updated(less.update(cache.view(5000)));
  EXPECT_EQ(less.state().print(), at_once.state().print());
}

TEST(KeyIndexChunking, TheSeedMatters) {
  Rng rng(3);
  const KeyIndex::Shape shape = {ElementType::F32, 1, 1, 1, 16};
  const KeyCache cache(rng, shape, 300);
  for (const KeyIndex::Part& part : {KeyIndex::Part(KeyIndex::PqCodes{.sub_dims = 4, .bits = 4}),
                                     KeyIndex::Part(KeyIndex::Lsh{.tables = 4, .bits = 8})}) {
    const std::string one = make_index(cache, part, 1).state().print();
    EXPECT_EQ(one, make_index(cache, part, 1).state().print());
    EXPECT_NE(one, make_index(cache, part, 2).state().print());
  }
}

TEST(KeyIndexChunking, EveryLevelMakesTheSame) {
  Rng rng(4);
  for (const PartKind kind : kPartKinds) {
    for (int i = 0; i < 6; ++i) {
      const KeyIndex::Shape shape = random_shape(rng);
      const KeyCache cache(rng, shape, 200);
      const auto part = random_part(rng, kind, shape);
      const std::string host = make_index(cache, part->part).state().print();
      for (const codegen::HostLevel level : levels()) {
        EXPECT_EQ(make_index(cache, part->part, 1, level).state().print(), host)
            << codegen::Target{level}.print();
      }
    }
  }
}

// Numbers that are no numbers make no crash, and no difference to how keys arrive.
TEST(KeyIndexChunking, InfinitiesAndNans) {
  Rng rng(5);
  for (int i = 0; i < 50; ++i) {
    const KeyIndex::Shape shape = random_shape(rng);
    KeyCache cache(rng, shape, 80);
    for (int j = 0; j < 20; ++j) {
      cache.set(0, 0, pick(rng, 0, 79), pick(rng, 0, shape.head_dim - 1),
                one_of<double>(rng, {INFINITY, -INFINITY, NAN, 3e38, -3e38, 1e-40, -0.0}));
    }
    std::vector<std::unique_ptr<OwnedPart>> parts;
    for (const PartKind kind : kPartKinds) parts.push_back(random_part(rng, kind, shape));
    KeyIndex at_once = create(shape, parts, 9, {});
    expect_updated(at_once.update(cache.view(80)));
    KeyIndex stepped = create(shape, parts, 9, {});
    for (int64_t n = 0; n <= 80; n += 5) expect_updated(stepped.update(cache.view(n)));
    ASSERT_EQ(stepped.state().print(), at_once.state().print()) << at_once.describe();
    const auto query = random_query(rng, shape.head_dim);
    for (size_t part = 0; part < parts.size(); ++part)
      Prepared(at_once, part, codegen::Target::host().level, 0, 0, query).scores(0, 80);
  }
}

TEST(KeyIndexChunking, ChangedKeysAreFound) {
  Rng rng(6);
  const KeyIndex::Shape shape = {ElementType::F16, 2, 4, 2, 8};
  KeyCache cache(rng, shape, 100);
  KeyIndex index = make_index(cache, KeyIndex::PageBound{.page = 4});
  const std::string before = index.state().print();
  cache.set(1, 1, 7, 3, 100);
  const Status refused = index.update(cache.view(100));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().message,
            "key 7 is not the one that this index was made from: say how many keys are unchanged");
  EXPECT_EQ(index.state().print(), before) << "the index is as it was";
  expect_updated(index.update(cache.view(100), 7));
  EXPECT_EQ(index.state().print(),
            make_index(cache, KeyIndex::PageBound{.page = 4}).state().print());
}

}  // namespace
}  // namespace maskjit
