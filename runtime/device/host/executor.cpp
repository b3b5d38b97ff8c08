#include "runtime/device/host/executor.h"

#include <sched.h>

#include <atomic>
#include <cstdlib>
#include <thread>

#include <oneapi/tbb/global_control.h>
#include <oneapi/tbb/parallel_for.h>
#include <oneapi/tbb/partitioner.h>
#include <oneapi/tbb/task_arena.h>

#include "masker_dsl/ir/internal_error.h"

#if defined(__SSE__)
#include <immintrin.h>
#endif

namespace maskjit::host {
namespace {

constexpr size_t kAlignment = 64;

// Memory that grows and is kept.
class Buffer {
 public:
  void* at_least(int64_t bytes) {
    const auto wanted = static_cast<size_t>(bytes);
    if (wanted > size_) {
      const size_t size =
          (std::max(wanted, size_ + size_ / 2) + kAlignment - 1) / kAlignment * kAlignment;
      memory_.reset(std::aligned_alloc(kAlignment, size));
      MASKJIT_CHECK(memory_ != nullptr,
                    fmt::format("no memory for {} bytes of kernel scratch", size));
      size_ = size;
    }
    return memory_.get();
  }

 private:
  struct Free {
    void operator()(void* p) const { std::free(p); }
  };
  std::unique_ptr<void, Free> memory_;
  size_t size_ = 0;
};

// A thread runs one item at a time and starts no launch inside of one, so one of each is enough.
thread_local Buffer scratch;
thread_local Buffer workspace;

// What the threads of a phase share. `next` orders their items after the launch and before what
// follows it, on its own and visibly to ThreadSanitizer, which does not see into TBB.
struct Phase {
  MjRunFunction run;
  const MjAttentionArgs& args;
  const MjPlan& plan;
  int64_t index;
  std::atomic<int64_t> next;
};

// Weights far below the largest are subnormal numbers, each of which takes units of x86 a hundred
// times as long as others: results below 2^-126 become 0 while this lives.
class NoSubnormals {
 public:
  NoSubnormals(const NoSubnormals&) = delete;
  NoSubnormals& operator=(const NoSubnormals&) = delete;
#if defined(__SSE__)
  NoSubnormals() : before_(_mm_getcsr()) { _mm_setcsr(before_ | _MM_FLUSH_ZERO_ON); }
  ~NoSubnormals() { _mm_setcsr(before_); }

 private:
  unsigned before_;
#else
  NoSubnormals() {}
  ~NoSubnormals() {}
#endif
};

// Of code that the JIT made: what UBSan looks for before a function is not there.
#if defined(__clang__)
#define CALLS_JIT __attribute__((no_sanitize("function")))
#else
#define CALLS_JIT
#endif

CALLS_JIT void run_items(Phase& phase) {
  const NoSubnormals no_subnormals;
  int64_t item = phase.next.fetch_add(1, std::memory_order_acq_rel);
  const int64_t items = phase.plan.phase_items[phase.index];
  void* memory = scratch.at_least(phase.plan.scratch_bytes);
  while (item < items) {
    phase.run(&phase.args, &phase.plan, phase.index, item, memory);
    item = phase.next.fetch_add(1, std::memory_order_acq_rel);
  }
}

CALLS_JIT MjPlan plan_for(MjPlanFunction function, const MjAttentionArgs& args, int64_t threads) {
  MjPlan plan = {};
  plan.threads = std::max<int64_t>(threads, 1);
  function(&args, plan.threads, &plan);
  return plan;
}

struct PhaseWorker {
  Phase* phase;
  void operator()(int) const { run_items(*phase); }
};

void run_items_of(void* phase, int) { run_items(*static_cast<Phase*>(phase)); }

}  // namespace

int available_threads() {
  // The set of CPUs may be larger than cpu_set_t.
  for (size_t cpus = 1024; cpus <= size_t{1} << 20; cpus *= 4) {
    cpu_set_t* set = CPU_ALLOC(cpus);
    if (set == nullptr) break;
    const size_t bytes = CPU_ALLOC_SIZE(cpus);
    const int count = sched_getaffinity(0, bytes, set) == 0 ? CPU_COUNT_S(bytes, set) : 0;
    CPU_FREE(set);
    if (count > 0) return count;
  }
  return static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
}

struct Executor::Arena {
  // TBB gives no more threads than its own limit, and warns on stderr of whoever asks for more.
  explicit Arena(int threads)
      : arena(static_cast<int>(std::min<size_t>(
            static_cast<size_t>(threads),
            tbb::global_control::active_value(tbb::global_control::max_allowed_parallelism)))) {}
  mutable tbb::task_arena arena;
};

Executor::Executor(int threads, std::shared_ptr<const ThreadPool> pool)
    : threads_(threads > 0 ? threads : available_threads()), pool_(std::move(pool)) {
  if (threads_ > 1 && pool_ == nullptr) arena_ = std::make_unique<Arena>(threads_);
}

Executor::~Executor() = default;

int Executor::threads() const {
  return pool_ == nullptr ? threads_ : std::max(pool_->threads(), 1);
}

CALLS_JIT void Executor::run(MjPlanFunction plan_function, MjRunFunction run,
                             const MjAttentionArgs& args) const {
  const int available = this->threads();
  MjPlan plan = plan_for(plan_function, args, available);
  if (plan.threads < available) plan = plan_for(plan_function, args, plan.threads);
  const int64_t threads = plan.threads;
  if (plan.workspace_bytes > 0) plan.workspace = workspace.at_least(plan.workspace_bytes);
  for (int64_t phase = 0; phase < 2; ++phase) {
    const int64_t items = plan.phase_items[phase];
    if (items <= 0) continue;
    Phase shared = {run, args, plan, phase, 0};
    if (threads == 1 || items == 1) {
      run_items(shared);
      continue;
    }
    const int workers = static_cast<int>(std::min(threads, items));
    const PhaseWorker worker = {&shared};
    shared.next.store(0, std::memory_order_release);
    if (pool_ != nullptr) {
      pool_->run(workers, run_items_of, &shared);
    } else {
      arena_->arena.execute(
          [&] { tbb::parallel_for(0, workers, worker, tbb::simple_partitioner()); });
    }
    shared.next.load(std::memory_order_acquire);
  }
}

CALLS_JIT int64_t Executor::count_items(MjPlanFunction plan_function,
                                        const MjAttentionArgs& args) const {
  const MjPlan plan = plan_for(plan_function, args, threads());
  return std::max<int64_t>(plan.phase_items[0], 0) + std::max<int64_t>(plan.phase_items[1], 0);
}

}  // namespace maskjit::host
