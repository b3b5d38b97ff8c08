#include "runtime/cache/kernel_cache.h"

#include <signal.h>

#include <atomic>
#include <barrier>
#include <fstream>
#include <random>
#include <thread>

#include "runtime/cache/directory.h"
#include "tests/runtime/cache/helper.h"
#include "tests/runtime/cache/support.h"

namespace maskjit::cache {
namespace {

using testing::artifact_of;
using ::testing::ElementsAre;
using testing::fake_load;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::key_of;
using testing::object_in;
using testing::object_of;

class KernelCacheTest : public ::testing::Test {
 protected:
  CacheOptions options(CacheMode mode = CacheMode::ReadWrite) {
    CacheOptions o;
    o.mode = mode;
    o.directory = directory_.path();
    o.build_id = "build";
    o.log = lines_.log();
    return o;
  }
  KernelCache::Compile compile(uint32_t number) {
    return [this, number] {
      ++compiles_;
      return artifact_of(key_of(number));
    };
  }
  // The origin of a lookup that must succeed with the right object.
  Origin origin(KernelCache& cache, uint32_t number) {
    const auto found = cache.get_or_compile(key_of(number), compile(number));
    EXPECT_TRUE(std::holds_alternative<Lookup>(found));
    EXPECT_EQ(object_in(std::get<Lookup>(found)), object_of(key_of(number)));
    return std::get<Lookup>(found).origin;
  }

  testing::TemporaryDirectory directory_;
  testing::LogLines lines_;
  std::atomic<int> compiles_{0};
};

TEST_F(KernelCacheTest, MemoryThenDiskThenCompile) {
  {
    KernelCache cache(options(), fake_load);
    EXPECT_EQ(origin(cache, 1), Origin::Compiled);
    EXPECT_EQ(origin(cache, 1), Origin::Memory);
    EXPECT_EQ(cache.size(), 1u);
  }
  KernelCache next(options(), fake_load);
  const auto found = next.get_or_compile(key_of(1), compile(1));
  EXPECT_EQ(std::get<Lookup>(found).origin, Origin::Disk);
  const CachedKernel& kernel = *std::get<Lookup>(found).kernel;
  EXPECT_EQ(kernel.template_name, "host/attention_forward");
  EXPECT_EQ(kernel.target, "x86-64+avx2");
  EXPECT_EQ(kernel.times, (codegen::StageTimes{{"link", 1.5}, {"codegen", 40.25}, {"load", 0.5}}));
  EXPECT_EQ(compiles_, 1);
  EXPECT_THAT(lines_.take(), IsEmpty());
}

TEST_F(KernelCacheTest, Modes) {
  {
    KernelCache off(options(CacheMode::Off), fake_load);
    EXPECT_EQ(origin(off, 1), Origin::Compiled);
    KernelCache read_only(options(CacheMode::ReadOnly), fake_load);
    EXPECT_EQ(origin(read_only, 1), Origin::Compiled);
    EXPECT_THAT(list_entries(directory_.path(), "build"), IsEmpty());
    CacheOptions nowhere = options();
    nowhere.directory.clear();
    KernelCache memory_only(nowhere, fake_load);
    EXPECT_EQ(origin(memory_only, 1), Origin::Compiled);
  }
  KernelCache(options(), fake_load).get_or_compile(key_of(1), compile(1));
  KernelCache off(options(CacheMode::Off), fake_load);
  EXPECT_EQ(origin(off, 1), Origin::Compiled);
  KernelCache read_only(options(CacheMode::ReadOnly), fake_load);
  EXPECT_EQ(origin(read_only, 1), Origin::Disk);
  EXPECT_EQ(origin(read_only, 2), Origin::Compiled);
  EXPECT_EQ(list_entries(directory_.path(), "build").size(), 1u);
  EXPECT_THAT(lines_.take(), IsEmpty());
}

TEST_F(KernelCacheTest, CheckCompilesEveryHitAndReplacesWhatDiffers) {
  KernelCache(options(), fake_load).get_or_compile(key_of(1), compile(1));
  {
    KernelCache check(options(CacheMode::Check), fake_load);
    EXPECT_EQ(origin(check, 1), Origin::Disk);
    EXPECT_EQ(compiles_, 2);
    EXPECT_EQ(origin(check, 1), Origin::Memory);
    EXPECT_EQ(compiles_, 2);
    EXPECT_THAT(lines_.take(), IsEmpty());
  }
  // An intact entry with another object, as a miscounted key would give.
  DiskStore store({directory_.path(), "build", true, uint64_t{1} << 30}, lines_.log());
  store.write(key_of(1), artifact_of(key_of(2)));
  {
    KernelCache check(options(CacheMode::Check), fake_load);
    EXPECT_EQ(origin(check, 1), Origin::Compiled);
    EXPECT_THAT(lines_.take(), ElementsAre(HasSubstr("differs from what its key compiles to")));
  }
  KernelCache next(options(), fake_load);
  EXPECT_EQ(origin(next, 1), Origin::Disk);
}

TEST_F(KernelCacheTest, AnEntryThatCannotBeLoadedIsCompiledAgain) {
  DiskStore store({directory_.path(), "build", true, uint64_t{1} << 30}, lines_.log());
  codegen::CodeArtifact damaged = artifact_of(key_of(1));
  damaged.object = "garbage";
  store.write(key_of(1), damaged);
  {
    KernelCache cache(options(), fake_load);
    EXPECT_EQ(origin(cache, 1), Origin::Compiled);
    EXPECT_THAT(lines_.take(), ElementsAre(HasSubstr("cannot be loaded (not an object); removed")));
  }
  KernelCache next(options(), fake_load);
  EXPECT_EQ(origin(next, 1), Origin::Disk);
}

TEST_F(KernelCacheTest, AnyDamageOnDiskIsAMissWithOneLine) {
  KernelCache(options(), fake_load).get_or_compile(key_of(1), compile(1));
  const std::string path = entry_path(directory_.path(), hex_of(key_of(1)));
  for (int64_t length : {0, 1, 8, 71, 72, 90, 1000, 5000}) {
    std::filesystem::resize_file(path, static_cast<uintmax_t>(length));
    KernelCache cache(options(), fake_load);
    EXPECT_EQ(origin(cache, 1), Origin::Compiled) << length;
    EXPECT_EQ(lines_.take().size(), 1u) << length;
    KernelCache next(options(), fake_load);
    EXPECT_EQ(origin(next, 1), Origin::Disk) << length;
  }
}

TEST_F(KernelCacheTest, FailuresAreNotKept) {
  KernelCache cache(options(), fake_load);
  const auto fail = [] { return codegen::CompileError{"no luck"}; };
  const auto failed = cache.get_or_compile(key_of(1), fail);
  EXPECT_EQ(std::get<codegen::CompileError>(failed).message, "no luck");
  EXPECT_EQ(cache.size(), 0u);
  EXPECT_EQ(origin(cache, 1), Origin::Compiled);
  const auto broken =
      cache.get_or_compile(key_of(2), [] { return codegen::CodeArtifact{"garbage", "", "", {}}; });
  EXPECT_EQ(std::get<codegen::CompileError>(broken).message, "not an object");
  const auto thrown = cache.get_or_compile(
      key_of(3), []() -> std::variant<codegen::CodeArtifact, codegen::CompileError> {
        throw std::bad_alloc();
      });
  EXPECT_THAT(std::get<codegen::CompileError>(thrown).message, HasSubstr("bad_alloc"));
  EXPECT_EQ(origin(cache, 3), Origin::Compiled);
  EXPECT_EQ(list_entries(directory_.path(), "build").size(), 2u);
}

TEST_F(KernelCacheTest, OneCompileAKeyUnderThreads) {
  constexpr int kThreads = 16;
  constexpr uint32_t kKeys = 8;
  for (CacheMode mode : {CacheMode::Off, CacheMode::ReadWrite}) {
    compiles_ = 0;
    KernelCache cache(options(mode), fake_load);
    std::barrier start(kThreads);
    std::atomic<int> wrong{0};
    std::vector<std::thread> threads;
    for (int t = 0; t < kThreads; ++t) {
      threads.emplace_back([&, t] {
        start.arrive_and_wait();
        for (uint32_t i = 0; i < 4 * kKeys; ++i) {
          const uint32_t number = (i + static_cast<uint32_t>(t)) % kKeys;
          const auto found = cache.get_or_compile(key_of(number), [&] {
            std::this_thread::sleep_for(std::chrono::milliseconds(2));
            return compile(number)();
          });
          if (!std::holds_alternative<Lookup>(found) ||
              object_in(std::get<Lookup>(found)) != object_of(key_of(number))) {
            ++wrong;
          }
        }
      });
    }
    for (auto& thread : threads) thread.join();
    EXPECT_EQ(wrong, 0);
    EXPECT_EQ(compiles_, static_cast<int>(kKeys));
  }
}

TEST_F(KernelCacheTest, CompilesOfDifferentKeysRunAtOnce) {
  KernelCache cache(options(CacheMode::Off), fake_load);
  std::barrier both(2);  // neither compile ends before the other has begun
  std::vector<std::thread> threads;
  for (uint32_t number : {1u, 2u}) {
    threads.emplace_back([&, number] {
      const auto found = cache.get_or_compile(key_of(number), [&] {
        both.arrive_and_wait();
        return artifact_of(key_of(number));
      });
      EXPECT_TRUE(std::holds_alternative<Lookup>(found));
    });
  }
  for (auto& thread : threads) thread.join();
}

TEST_F(KernelCacheTest, WaitersGetTheErrorAndTheNextTriesAgain) {
  constexpr int kThreads = 16;
  KernelCache cache(options(), fake_load);
  std::atomic<int> attempts{0}, errors{0}, successes{0};
  std::barrier start(kThreads);
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&] {
      start.arrive_and_wait();
      for (bool done = false; !done;) {
        const auto found = cache.get_or_compile(
            key_of(1), [&]() -> std::variant<codegen::CodeArtifact, codegen::CompileError> {
              std::this_thread::sleep_for(std::chrono::milliseconds(1));
              if (attempts++ < 3) return codegen::CompileError{"flaky"};
              return artifact_of(key_of(1));
            });
        done = std::holds_alternative<Lookup>(found);
        ++(done ? successes : errors);
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(attempts, 4);
  EXPECT_EQ(successes, kThreads);
  EXPECT_GE(errors, 3);
}

TEST_F(KernelCacheTest, ThreadsWithOwnCachesShareADirectory) {
  std::vector<std::thread> threads;
  std::atomic<int> wrong{0};
  for (uint32_t t = 0; t < 8; ++t) {
    threads.emplace_back([&, t] {
      std::minstd_rand random(t + 1);
      for (int i = 0; i < 20; ++i) {
        CacheOptions small = options();
        small.limit_bytes = 30'000;
        KernelCache cache(std::move(small), fake_load);
        for (int j = 0; j < 10; ++j) {
          const auto key = key_of(random() % 12);
          const auto found = cache.get_or_compile(key, [&] { return artifact_of(key); });
          if (!std::holds_alternative<Lookup>(found) ||
              object_in(std::get<Lookup>(found)) != object_of(key)) {
            ++wrong;
          }
        }
        if (i % 5 == 4) clear_entries(directory_.path());
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
  EXPECT_THAT(lines_.take(), IsEmpty());
}

TEST_F(KernelCacheTest, ProcessesRaceOnTheSameKeysWhileSomeAreKilledAndTheCacheIsCleared) {
  std::minstd_rand random(7);
  const auto start = [&](int iterations) {
    return testing::start_helper(
        {"race", directory_.path(), std::to_string(random()), std::to_string(iterations)});
  };
  std::vector<pid_t> children;
  for (int i = 0; i < 10; ++i) children.push_back(start(150));
  for (int round = 0; round < 15; ++round) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10 + random() % 20));
    const pid_t victim = start(1'000'000);
    std::this_thread::sleep_for(std::chrono::milliseconds(random() % 30));
    kill(victim, SIGKILL);
    EXPECT_EQ(testing::wait_for(victim), -SIGKILL);
    if (round % 3 == 0) clear_entries(directory_.path());
    // What is there is complete at any time, whoever was killed.
    for (const EntryInfo& entry : list_entries(directory_.path(), "build")) {
      EXPECT_THAT(entry.problem, ::testing::AnyOf("", HasSubstr("No such file")));
    }
  }
  for (pid_t child : children) EXPECT_EQ(testing::wait_for(child), 0);
  for (const EntryInfo& entry : list_entries(directory_.path(), "build"))
    EXPECT_EQ(entry.problem, "");
  CacheOptions all = options();
  KernelCache cache(std::move(all), fake_load);
  for (uint32_t number = 0; number < 20; ++number) origin(cache, number);
  EXPECT_THAT(lines_.take(), IsEmpty());
}

TEST_F(KernelCacheTest, AFullDiskIsNoFailure) {
  EXPECT_EQ(testing::wait_for(testing::start_helper({"full", directory_.path()})), 0);
  EXPECT_THAT(list_files(directory_.path()), IsEmpty()) << "no half-written file is left";
}

TEST(LogTest, Levels) {
  testing::LogLines lines;
  lines.log(LogLevel::Off).warning("a");
  lines.log(LogLevel::Warning).info("b");
  lines.log(LogLevel::Info).warning("c");
  lines.log(LogLevel::Debug).debug("d");
  EXPECT_THAT(lines.take(), ElementsAre("c", "d"));
  EXPECT_EQ(parse_log_level("debug"), LogLevel::Debug);
  EXPECT_FALSE(parse_log_level("loud"));
  ::testing::internal::CaptureStderr();
  Log(LogLevel::Info).info("two\nlines");
  EXPECT_EQ(::testing::internal::GetCapturedStderr(), "maskjit: info: two lines\n");
}

}  // namespace
}  // namespace maskjit::cache
