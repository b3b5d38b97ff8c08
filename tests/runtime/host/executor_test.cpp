#include "runtime/device/host/executor.h"

#include <atomic>
#include <cstring>
#include <mutex>
#include <set>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

// TBB is not built for ThreadSanitizer: what its headers and the executor hand over through it
// looks like races. What items do is ordered by the executor's counter and stays checked.
extern "C" const char* __tsan_default_suppressions() {
  return "race:offer_work_impl\n"
         "race_top:oneapi/tbb\n"
         "race_top:^tbb::detail\n"
         "race_top:runtime/device/host/executor.cpp\n"
         "race_top:bits/atomic_base.h\n";
}

namespace maskjit::host {
namespace {

// A "kernel" that marks its items in `lse` and knows what it is by the sizes: phase 0 has
// batch_size items, phase 1 num_heads. Items of phase 1 check that all of phase 0 is done.
struct Record {
  std::atomic<int64_t> done[2] = {0, 0};
  std::atomic<int> early{0}, misaligned{0}, dirty{0};
  std::atomic<int64_t> order_violations{0};
  std::mutex mutex;
  std::set<std::thread::id> threads;
};

Record& record_of(const MjAttentionArgs* args) { return *static_cast<Record*>(args->query.data); }

void plan(const MjAttentionArgs* args, int64_t threads, MjPlan* plan) {
  plan->phase_items[0] = args->batch_size;
  plan->phase_items[1] = args->num_heads;
  plan->scratch_bytes = args->q_len;
  plan->workspace_bytes = args->kv_len;
  plan->parameters[0] = threads;
}

void run(const MjAttentionArgs* args, const MjPlan* plan, int64_t phase, int64_t item,
         void* scratch) {
  Record& record = record_of(args);
  if (reinterpret_cast<uintptr_t>(scratch) % 64 != 0) ++record.misaligned;
  if (phase == 1 && record.done[0] != args->batch_size) ++record.early;
  // Nobody else writes to the scratch meanwhile.
  std::memset(scratch, static_cast<int>(item & 0xFF), static_cast<size_t>(plan->scratch_bytes));
  if (item % 7 == 0) std::this_thread::yield();
  for (int64_t i = 0; i < plan->scratch_bytes; i += 61) {
    if (static_cast<uint8_t*>(scratch)[i] != (item & 0xFF)) ++record.dirty;
  }
  // Each item has its own place in the workspace.
  if (plan->workspace_bytes > item) {
    auto* mine = static_cast<uint8_t*>(plan->workspace) + item;
    if (phase == 0) *mine = static_cast<uint8_t>(item + 1);
    if (phase == 1 && item < args->batch_size && *mine != static_cast<uint8_t>(item + 1))
      ++record.dirty;
  }
  args->lse[phase * args->batch_size + item] += 1;
  ++record.done[phase];
  const std::lock_guard lock(record.mutex);
  record.threads.insert(std::this_thread::get_id());
}

struct Job {
  Record record;
  std::vector<float> marks;
  MjAttentionArgs args = {};
  Job(int64_t items0, int64_t items1, int64_t scratch = 1000, int64_t workspace = 0)
      : marks(static_cast<size_t>(items0 + items1)) {
    args.query.data = &record;
    args.lse = marks.data();
    args.batch_size = items0;
    args.num_heads = items1;
    args.q_len = scratch;
    args.kv_len = workspace;
  }
  void expect_done() {
    EXPECT_THAT(marks, ::testing::Each(1.0f));
    EXPECT_EQ(record.early, 0);
    EXPECT_EQ(record.misaligned, 0);
    EXPECT_EQ(record.dirty, 0);
  }
};

TEST(Executor, EveryItemOncePhaseByPhase) {
  for (int threads : {1, 2, 5}) {
    const Executor executor(threads);
    EXPECT_EQ(executor.threads(), threads);
    for (auto [a, b] :
         {std::pair{0, 0}, {1, 0}, {1, 1}, {2, 0}, {3, 7}, {100, 0}, {100, 1}, {1000, 300}}) {
      Job job(a, b, 700 + a, 4 * a);
      executor.run(plan, run, job.args);
      job.expect_done();
      EXPECT_EQ(executor.count_items(plan, job.args), a + b);
    }
  }
}

TEST(Executor, OneItemOrOneThreadStaysOnTheCaller) {
  Job single(1, 1);
  Executor(4).run(plan, run, single.args);
  EXPECT_THAT(single.record.threads, ::testing::ElementsAre(std::this_thread::get_id()));
  Job many(50, 3);
  Executor(1).run(plan, run, many.args);
  EXPECT_THAT(many.record.threads, ::testing::ElementsAre(std::this_thread::get_id()));
}

// A plan may say that fewer threads have enough to do: one for those takes its place.
TEST(Executor, NoMoreThreadsThanThePlanOccupies) {
  static std::vector<int64_t> planned;
  for (const int64_t occupied : {1, 2, 4}) {
    planned.clear();
    static int64_t most;
    most = occupied;
    Job job(50, 3);
    Executor(4).run(
        [](const MjAttentionArgs* args, int64_t threads, MjPlan* p) {
          plan(args, threads, p);
          p->threads = std::min(threads, most);
          planned.push_back(threads);
        },
        run, job.args);
    job.expect_done();
    EXPECT_LE(job.record.threads.size(), static_cast<size_t>(occupied));
    const std::vector<int64_t> once = {4}, twice = {4, occupied};
    EXPECT_EQ(planned, occupied == 4 ? once : twice);
    if (occupied == 1)
      EXPECT_THAT(job.record.threads, ::testing::ElementsAre(std::this_thread::get_id()));
  }
}

TEST(Executor, ConcurrentLaunches) {
  const Executor executor(3);
  std::vector<std::thread> callers;
  std::vector<std::unique_ptr<Job>> jobs;
  for (int i = 0; i < 8; ++i) jobs.push_back(std::make_unique<Job>(40 + i, 11, 3000 + 100 * i, 60));
  for (auto& job : jobs) {
    callers.emplace_back([&] {
      for (int round = 0; round < 20; ++round) {
        std::fill(job->marks.begin(), job->marks.end(), 0.0f);
        job->record.done[0] = 0;
        executor.run(plan, run, job->args);
      }
    });
  }
  for (auto& caller : callers) caller.join();
  for (auto& job : jobs) job->expect_done();
}

// A launch from inside of an item of another executor, as from a parallel loop of the caller.
TEST(Executor, NestedLaunches) {
  const Executor outer(3);
  static const Executor* inner = nullptr;
  const Executor inner_executor(2);
  inner = &inner_executor;
  static std::atomic<int> done;
  done = 0;
  MjAttentionArgs args = {};
  outer.run([](const MjAttentionArgs*, int64_t, MjPlan* p) { p->phase_items[0] = 12; },
            [](const MjAttentionArgs*, const MjPlan*, int64_t, int64_t, void*) {
              Job job(30, 10, 0, 30);
              inner->run(plan, run, job.args);
              job.expect_done();
              ++done;
            },
            args);
  EXPECT_EQ(done, 12);
}

// Launches take as many threads as the given pool has at that time.
TEST(Executor, ThreadPool) {
  struct Pool final : ThreadPool {
    int available = 3;
    mutable std::vector<int> counts;
    int threads() const override { return available; }
    void run(int count, void (*task)(void*, int), void* context) const override {
      counts.push_back(count);
      std::vector<std::thread> others;
      for (int i = 1; i < count; ++i) others.emplace_back(task, context, i);
      task(context, 0);
      for (std::thread& other : others) other.join();
    }
  };
  const auto pool = std::make_shared<Pool>();
  const Executor executor(1, pool);
  for (const auto& [threads, counts] :
       {std::pair{3, std::vector{3, 2}}, {1, {}}, {0, {}}, {40, {40, 2}}}) {
    pool->available = threads;
    pool->counts.clear();
    Job job(50, 2, 500, 200);
    executor.run(plan, run, job.args);
    job.expect_done();
    EXPECT_EQ(executor.threads(), std::max(threads, 1));
    EXPECT_EQ(pool->counts, counts);
  }
}

TEST(Executor, AvailableThreads) {
  cpu_set_t set;
  ASSERT_EQ(sched_getaffinity(0, sizeof(set), &set), 0);
  EXPECT_EQ(available_threads(), CPU_COUNT(&set));
  EXPECT_EQ(Executor(0).threads(), available_threads());
}

}  // namespace
}  // namespace maskjit::host
