#include "runtime/cache/disk_store.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <fstream>

#include "runtime/cache/directory.h"
#include "tests/runtime/cache/support.h"

namespace maskjit::cache {
namespace {

namespace fs = std::filesystem;
using testing::artifact_of;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::key_of;

class DiskStoreTest : public ::testing::Test {
 protected:
  DiskStore store(bool writable = true, uint64_t limit = uint64_t{1} << 30,
                  std::string build = "build") {
    return DiskStore({directory_.path(), std::move(build), writable, limit}, lines_.log());
  }
  std::string path(const codegen::SpecKey& key) const {
    return entry_path(directory_.path(), hex_of(key));
  }

  static std::string contents(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  static void put(const std::string& path, const std::string& bytes) {
    fs::create_directories(fs::path(path).parent_path());
    std::ofstream(path, std::ios::binary) << bytes;
  }
  static void set_age(const std::string& path, int64_t seconds) {
    const timespec when = {time(nullptr) - seconds, 0};
    const timespec times[2] = {when, when};
    ASSERT_EQ(utimensat(AT_FDCWD, path.c_str(), times, 0), 0);
  }
  static double age(const std::string& path) {
    struct stat status;
    EXPECT_EQ(stat(path.c_str(), &status), 0);
    return static_cast<double>(time(nullptr) - status.st_mtim.tv_sec);
  }

  testing::TemporaryDirectory directory_;
  testing::LogLines lines_;
};

TEST_F(DiskStoreTest, WritesAndReadsBack) {
  DiskStore s = store();
  EXPECT_FALSE(s.read(key_of(1)));
  s.write(key_of(1), artifact_of(key_of(1)));
  const auto artifact = s.read(key_of(1));
  ASSERT_TRUE(artifact);
  EXPECT_EQ(artifact->object, testing::object_of(key_of(1)));
  EXPECT_FALSE(s.read(key_of(2)));
  EXPECT_THAT(lines_.take(), IsEmpty());
  struct stat status;
  ASSERT_EQ(stat(path(key_of(1)).c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777u, 0600u) << "executable code that others could replace";
}

TEST_F(DiskStoreTest, BadFilesAreMissesSaidOnceAndRemoved) {
  DiskStore s = store();
  s.write(key_of(1), artifact_of(key_of(1)));
  const std::string good = contents(path(key_of(1)));
  const auto with_byte = [&](size_t at) {
    std::string bytes = good;
    bytes[at] = static_cast<char>(bytes[at] ^ 0x40);
    return bytes;
  };
  const std::string other_build = print({key_of(1), "old", artifact_of(key_of(1))});
  const std::string other_key = print({key_of(2), "build", artifact_of(key_of(2))});
  const std::pair<std::string, std::string> cases[] = {
      {"", "is empty"},
      {"text", "is not a cache entry"},
      {with_byte(0), "is not a cache entry"},
      {with_byte(8), "has format version"},
      {with_byte(12), "is longer"},
      {with_byte(13), "is truncated"},
      {with_byte(17), "is truncated"},
      {with_byte(24), "checksum"},
      {with_byte(40), "checksum"},
      {with_byte(73), "checksum"},
      {with_byte(good.size() / 2), "checksum"},
      {with_byte(good.size() - 1), "checksum"},
      {good.substr(0, 7), "is truncated"},
      {good.substr(0, 8), "is truncated"},
      {good.substr(0, 71), "is truncated"},
      {good.substr(0, 72), "is truncated"},
      {good.substr(0, 100), "is truncated"},
      {good.substr(0, good.size() - 1), "is truncated"},
      {good + "x", "is longer"},
      {std::string(good.size(), '\0'), "is not a cache entry"},
      {other_build, "was made by build old, not build"},
      {other_key, "has the key " + hex_of(key_of(2))},
  };
  for (const auto& [bytes, reason] : cases) {
    put(path(key_of(1)), bytes);
    EXPECT_FALSE(s.read(key_of(1))) << reason;
    EXPECT_THAT(lines_.take(), ElementsAre(HasSubstr(reason))) << reason;
    EXPECT_FALSE(fs::exists(path(key_of(1)))) << reason;
  }
}

TEST_F(DiskStoreTest, ReadOnlyLeavesBadEntriesAndWritesNothing) {
  put(path(key_of(1)), "bad");
  DiskStore s = store(false);
  EXPECT_FALSE(s.read(key_of(1)));
  EXPECT_THAT(lines_.take(), ElementsAre(HasSubstr("ignored")));
  EXPECT_TRUE(fs::exists(path(key_of(1))));
  s.write(key_of(2), artifact_of(key_of(2)));
  EXPECT_FALSE(fs::exists(path(key_of(2))));
  EXPECT_THAT(lines_.take(), IsEmpty());
}

TEST_F(DiskStoreTest, OtherKindsOfFiles) {
  DiskStore s = store();
  fs::create_directories(path(key_of(1)));
  EXPECT_FALSE(s.read(key_of(1)));
  EXPECT_THAT(lines_.take(), ElementsAre(HasSubstr("is not a regular file; removed")));
  // A directory with something in it stays, and that it cannot be replaced is not said again.
  fs::create_directories(path(key_of(2)) + "/sub");
  EXPECT_FALSE(s.read(key_of(2)));
  s.write(key_of(2), artifact_of(key_of(2)));
  EXPECT_THAT(lines_.take(), ElementsAre(HasSubstr("is not a regular file; ignored")));
  // A pipe without a writer must not block.
  fs::create_directories(fs::path(path(key_of(3))).parent_path());
  ASSERT_EQ(mkfifo(path(key_of(3)).c_str(), 0600), 0);
  EXPECT_FALSE(s.read(key_of(3)));
  EXPECT_THAT(lines_.take(), ElementsAre(HasSubstr("is not a regular file; removed")));
  // A link to nowhere is no entry.
  fs::create_directories(fs::path(path(key_of(4))).parent_path());
  fs::create_symlink("/nonexistent", path(key_of(4)));
  EXPECT_FALSE(s.read(key_of(4)));
  s.write(key_of(4), artifact_of(key_of(4)));
  EXPECT_TRUE(s.read(key_of(4)));
  EXPECT_THAT(lines_.take(), IsEmpty());
}

TEST_F(DiskStoreTest, UnwritableDirectoriesAreSaidOnce) {
  put(directory_.path() + "/file", "");
  for (const std::string& directory :
       {directory_.path() + "/file", directory_.path() + "/file/sub", std::string("/proc/maskjit"),
        std::string("/dev/full"), directory_.path() + "/" + std::string(300, 'x')}) {
    DiskStore s({directory, "build", true, 1000}, lines_.log());
    for (uint32_t i = 0; i < 3; ++i) {
      EXPECT_FALSE(s.read(key_of(i))) << directory;
      s.write(key_of(i), artifact_of(key_of(i)));
      EXPECT_FALSE(s.read(key_of(i))) << directory;
    }
    const auto said = lines_.take();
    ASSERT_GE(said.size(), 1u) << directory;
    EXPECT_THAT(said[0], HasSubstr("cache entry ")) << directory;
    EXPECT_THAT(list_entries(directory, "build"), IsEmpty());
    s.sweep();
  }
}

TEST_F(DiskStoreTest, ARemovedDirectoryIsMadeAgain) {
  DiskStore s = store();
  s.write(key_of(1), artifact_of(key_of(1)));
  fs::remove_all(directory_.path());
  EXPECT_FALSE(s.read(key_of(1)));
  s.write(key_of(1), artifact_of(key_of(1)));
  EXPECT_TRUE(s.read(key_of(1)));
  EXPECT_THAT(lines_.take(), IsEmpty());
}

TEST_F(DiskStoreTest, HitsAreTouchedAtMostOnceAnHour) {
  DiskStore s = store();
  s.write(key_of(1), artifact_of(key_of(1)));
  set_age(path(key_of(1)), 1800);
  ASSERT_TRUE(s.read(key_of(1)));
  EXPECT_NEAR(age(path(key_of(1))), 1800, 60);
  set_age(path(key_of(1)), 7200);
  DiskStore reader = store(false);
  ASSERT_TRUE(reader.read(key_of(1)));
  EXPECT_NEAR(age(path(key_of(1))), 7200, 60) << "read-only stores leave the time alone";
  ASSERT_TRUE(s.read(key_of(1)));
  EXPECT_NEAR(age(path(key_of(1))), 0, 60);
}

TEST_F(DiskStoreTest, SweepRemovesTheLeastRecentlyUsed) {
  DiskStore unlimited = store();
  for (uint32_t i = 0; i < 10; ++i) {
    unlimited.write(key_of(i), artifact_of(key_of(i)));
    set_age(path(key_of(i)), 100'000 - i * 1000);
  }
  ASSERT_TRUE(unlimited.read(key_of(0)));  // the oldest by writing is now the youngest
  const uint64_t each = fs::file_size(path(key_of(0)));
  DiskStore s = store(true, 5 * each + each / 2);
  s.write(key_of(10), artifact_of(key_of(10)));
  std::vector<uint32_t> left;
  for (uint32_t i = 0; i < 11; ++i) {
    if (fs::exists(path(key_of(i)))) left.push_back(i);
  }
  EXPECT_THAT(left, ElementsAre(0, 8, 9, 10));  // at most nine tenths of 5.5 entries
  EXPECT_THAT(lines_.take(), IsEmpty());
}

TEST_F(DiskStoreTest, TheLimitHoldsOverManyWrites) {
  DiskStore s = store(true, 100'000);
  for (uint32_t i = 0; i < 200; ++i) s.write(key_of(i), artifact_of(key_of(i)));
  uint64_t total = 0;
  for (const EntryInfo& entry : list_entries(directory_.path(), "build")) {
    EXPECT_EQ(entry.problem, "");
    total += entry.bytes;
  }
  EXPECT_LE(total, 100'000u);
  EXPECT_GT(total, 50'000u);
}

TEST_F(DiskStoreTest, SweepRemovesAbandonedTemporaryFiles) {
  DiskStore s = store();
  const std::string shard = fs::path(path(key_of(1))).parent_path();
  const std::string name = fs::path(path(key_of(1))).filename();
  put(shard + "/." + name + ".123-4-5.tmp", "half");
  put(shard + "/." + name + ".123-5-5.tmp", "half");
  put(shard + "/notes.txt", "not ours");
  set_age(shard + "/." + name + ".123-4-5.tmp", 7200);
  s.sweep();
  EXPECT_FALSE(fs::exists(shard + "/." + name + ".123-4-5.tmp"));
  EXPECT_TRUE(fs::exists(shard + "/." + name + ".123-5-5.tmp"));
  clear_entries(directory_.path());
  EXPECT_TRUE(fs::exists(shard + "/notes.txt"));
}

TEST_F(DiskStoreTest, ListVerifyClear) {
  DiskStore s = store();
  for (uint32_t i = 0; i < 3; ++i) s.write(key_of(i), artifact_of(key_of(i)));
  put(path(key_of(1)), contents(path(key_of(1))).substr(0, 500));
  set_age(path(key_of(2)), 5000);
  const auto entries = list_entries(directory_.path(), "build");
  ASSERT_EQ(entries.size(), 3u);
  int bad = 0;
  for (const EntryInfo& entry : entries) {
    if (entry.key == hex_of(key_of(1))) {
      ++bad;
      EXPECT_EQ(entry.problem, "is truncated");
      EXPECT_EQ(entry.bytes, 500u);
    } else {
      EXPECT_EQ(entry.problem, "");
      EXPECT_EQ(entry.template_name, "host/attention_forward");
      EXPECT_EQ(entry.target, "x86-64+avx2");
      EXPECT_GT(entry.bytes, 5000u);
    }
    if (entry.key == hex_of(key_of(2))) {
      EXPECT_NEAR(entry.age_seconds, 5000, 60);
    }
  }
  EXPECT_EQ(bad, 1);
  EXPECT_TRUE(fs::exists(path(key_of(1)))) << "listing removes nothing";
  for (const EntryInfo& entry : list_entries(directory_.path(), "new build")) {
    EXPECT_NE(entry.problem, "");
  }
  const ClearResult cleared = clear_entries(directory_.path());
  EXPECT_EQ(cleared.removed, 3);
  EXPECT_EQ(cleared.failed, 0);
  EXPECT_GT(cleared.bytes, 10'000u);
  EXPECT_THAT(list_entries(directory_.path(), "build"), IsEmpty());
  EXPECT_THAT(list_entries("/nonexistent", "build"), IsEmpty());
}

}  // namespace
}  // namespace maskjit::cache
