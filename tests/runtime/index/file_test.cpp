// Saved and loaded indices, and files that are none.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "runtime/index/state.h"
#include "tests/runtime/index/support.h"

namespace maskjit {
namespace {

using namespace maskjit::testing;
using ::testing::HasSubstr;
namespace fs = std::filesystem;

class IndexFile : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string name = (fs::temp_directory_path() / "maskjit-index-XXXXXX").string();
    ASSERT_NE(mkdtemp(name.data()), nullptr);
    folder_ = name;
  }
  void TearDown() override { fs::remove_all(folder_); }

  std::string path(const std::string& name) const { return (folder_ / name).string(); }
  static std::string read(const std::string& path) {
    std::ifstream stream(path, std::ios::binary);
    std::ostringstream text;
    text << stream.rdbuf();
    return text.str();
  }
  static void write(const std::string& path, const std::string& bytes) {
    std::ofstream(path, std::ios::binary) << bytes;
  }
  std::string load_error(const std::string& bytes) {
    write(path("damaged"), bytes);
    const auto loaded = KeyIndex::load(path("damaged"));
    return loaded ? "" : loaded.error().message;
  }

  fs::path folder_;
};

KeyIndex index_of_all_kinds(Rng& rng, const KeyCache& cache) {
  std::vector<std::unique_ptr<OwnedPart>> owned;
  std::vector<KeyIndex::Part> parts;
  for (const PartKind kind : kPartKinds) {
    owned.push_back(random_part(rng, kind, cache.shape()));
    parts.push_back(owned.back()->part);
  }
  auto index = KeyIndex::create(cache.shape(), parts, 11);
  EXPECT_TRUE(index);
  return *index;
}

TEST_F(IndexFile, RoundTrip) {
  for (uint64_t seed = 0; seed < 60; ++seed) {
    SCOPED_TRACE(seed);
    Rng rng(seed);
    const KeyIndex::Shape shape = random_shape(rng);
    const int64_t size = pick(rng, 0, 150);
    KeyCache cache(rng, shape, size + 20);
    KeyIndex index = index_of_all_kinds(rng, cache);
    ASSERT_TRUE(index.update(cache.view(size)));
    const Status saved = index.save(path("index"));
    ASSERT_TRUE(saved) << saved.error().message;
    auto loaded = KeyIndex::load(path("index"));
    ASSERT_TRUE(loaded) << loaded.error().message;
    EXPECT_EQ(loaded->size(), size);
    EXPECT_EQ(loaded->seed(), 11u);
    EXPECT_EQ(loaded->shape(), shape);
    EXPECT_EQ(loaded->describe(), index.describe());
    EXPECT_EQ(loaded->state().print(), index.state().print());

    // It scores, and goes on, as the one that was saved.
    const auto query = random_query(rng, shape.head_dim);
    for (size_t part = 0; part < index.parts() && size > 0; ++part) {
      const auto level = codegen::Target::host().level;
      EXPECT_EQ(Prepared(*loaded, part, level, 0, 0, query).scores(0, size),
                Prepared(index, part, level, 0, 0, query).scores(0, size));
    }
    const int64_t next = pick(rng, 0, size + 20);
    ASSERT_TRUE(index.update(cache.view(next)));
    const Status updated = loaded->update(cache.view(next));
    ASSERT_TRUE(updated) << updated.error().message;
    EXPECT_EQ(loaded->state().print(), index.state().print());
  }
}

TEST_F(IndexFile, AnotherCacheIsFound) {
  Rng rng(1);
  const KeyIndex::Shape shape = {ElementType::F32, 1, 2, 1, 8};
  KeyCache cache(rng, shape, 40);
  KeyIndex index = make_index(cache, KeyIndex::PageBound{});
  ASSERT_TRUE(index.save(path("index")));
  cache.fill(rng, 0);
  auto loaded = KeyIndex::load(path("index"));
  ASSERT_TRUE(loaded);
  const Status updated = loaded->update(cache.view(40));
  ASSERT_FALSE(updated);
  EXPECT_THAT(updated.error().message, HasSubstr("key 0 is not the one"));
}

TEST_F(IndexFile, TruncatedAnywhere) {
  Rng rng(2);
  const KeyIndex::Shape shape = {ElementType::F16, 1, 2, 1, 4};
  const KeyCache cache(rng, shape, 20);
  KeyIndex index = index_of_all_kinds(rng, cache);
  ASSERT_TRUE(index.update(cache.view(20)));
  const std::string whole = index.state().print();
  for (size_t length = 0; length < whole.size(); length += length < 200 ? 1 : 97) {
    const std::string error = load_error(whole.substr(0, length));
    ASSERT_THAT(error,
                length == 0 ? HasSubstr("damaged: is empty") : HasSubstr("damaged: is truncated"))
        << length;
  }
  EXPECT_THAT(load_error(whole + "x"), HasSubstr("is longer than its header says"));
}

TEST_F(IndexFile, EveryFlippedByteIsFound) {
  Rng rng(3);
  const KeyIndex::Shape shape = {ElementType::BF16, 1, 1, 1, 4};
  const KeyCache cache(rng, shape, 20);
  KeyIndex index = index_of_all_kinds(rng, cache);
  ASSERT_TRUE(index.update(cache.view(20)));
  const std::string whole = index.state().print();
  for (size_t i = 0; i < whole.size(); i += i < 300 ? 1 : 31) {
    std::string damaged = whole;
    damaged[i] = static_cast<char>(damaged[i] ^ (1 << pick(rng, 0, 7)));
    ASSERT_NE(load_error(damaged), "") << i;
  }
  std::string foreign = whole;
  foreign[0] = 'X';
  EXPECT_THAT(load_error(foreign), HasSubstr("is not an index"));
  std::string newer = whole;
  newer[8] = 9;
  EXPECT_THAT(load_error(newer), HasSubstr("has format version 9, this program reads 1"));
}

// Contents that are wrong although their checksum is right: an error or an index that kernels can
// use, never a crash (this runs under the sanitizers).
TEST_F(IndexFile, WrongContentsWithTheRightChecksum) {
  Rng rng(4);
  int refused = 0;
  for (int i = 0; i < 400; ++i) {
    const KeyIndex::Shape shape = {ElementType::F32, 1, 2, 1, 4};
    const KeyCache cache(rng, shape, 20);
    KeyIndex index = index_of_all_kinds(rng, cache);
    ASSERT_TRUE(index.update(cache.view(20)));
    std::string bytes = index.state().print();
    const int64_t last = i % 2 == 0 ? 250 : static_cast<int64_t>(bytes.size()) - 1;
    for (int64_t flips = pick(rng, 1, 3); flips > 0; --flips) {
      char& byte = bytes[static_cast<size_t>(pick(rng, 40, last))];
      byte = static_cast<char>(pick(rng, 0, 255));
    }
    KeyIndex::State::seal(bytes);
    write(path("damaged"), bytes);
    const auto loaded = KeyIndex::load(path("damaged"));
    if (!loaded) {
      ++refused;
      EXPECT_THAT(loaded.error().message, HasSubstr("malformed contents"));
      continue;
    }
    const auto query = random_query(rng, loaded->shape().head_dim);
    for (size_t part = 0; part < loaded->parts() && loaded->size() > 0 && loaded->shape().batch > 0;
         ++part)
      Prepared(*loaded, part, codegen::Target::host().level, 0, 0, query).scores(0, loaded->size());
  }
  EXPECT_GT(refused, 50);
  EXPECT_LT(refused, 400);
}

TEST_F(IndexFile, FilesThatCannotBe) {
  const auto missing = KeyIndex::load(path("missing"));
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().kind, ErrorKind::Io);
  EXPECT_THAT(missing.error().message, HasSubstr("missing: cannot be opened: No such file"));
  const auto folder = KeyIndex::load(folder_.string());
  ASSERT_FALSE(folder);
  EXPECT_THAT(folder.error().message, HasSubstr("is not a regular file"));
  Rng rng(5);
  const KeyCache cache(rng, {ElementType::F32, 1, 1, 1, 4}, 3);
  write(path("file"), "");
  const Status saved = make_index(cache, KeyIndex::PageBound{}).save(path("file/index"));
  ASSERT_FALSE(saved);
  EXPECT_EQ(saved.error().kind, ErrorKind::Io);
}

}  // namespace
}  // namespace maskjit
