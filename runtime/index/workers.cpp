#include "runtime/index/workers.h"

#include <atomic>
#include <exception>
#include <mutex>

#include <oneapi/tbb/global_control.h>
#include <oneapi/tbb/parallel_for.h>
#include <oneapi/tbb/partitioner.h>
#include <oneapi/tbb/task_arena.h>

#include "runtime/device/host/executor.h"

namespace maskjit::index {
namespace {

constexpr double kWorthAThread = 1e6;

struct Loop {
  const std::function<void(int, int64_t)>& run;
  int64_t items;
  std::atomic<int64_t> next = 0;
  std::mutex mutex = {};
  std::exception_ptr failure = {};

  void work(int worker) {
    try {
      int64_t item = next.fetch_add(1, std::memory_order_acq_rel);
      for (; item < items; item = next.fetch_add(1, std::memory_order_acq_rel)) run(worker, item);
    } catch (...) {
      const std::lock_guard lock(mutex);
      if (failure == nullptr) failure = std::current_exception();
    }
  }
};

void work_on(void* loop, int worker) { static_cast<Loop*>(loop)->work(worker); }

}  // namespace

Workers::Workers(int threads, std::shared_ptr<const ThreadPool> pool)
    : threads_(threads > 0 ? threads : host::available_threads()), pool_(std::move(pool)) {}

int Workers::count(int64_t items, double work) const {
  if (work < kWorthAThread) return 1;
  const int threads = pool_ == nullptr ? threads_ : std::max(pool_->threads(), 1);
  return static_cast<int>(std::clamp<int64_t>(items, 1, threads));
}

void Workers::each(int workers, int64_t items, const std::function<void(int, int64_t)>& run) const {
  Loop loop = {run, items};
  if (workers <= 1) {
    loop.work(0);
  } else if (pool_ != nullptr) {
    pool_->run(workers, work_on, &loop);
  } else {
    // TBB gives no more threads than its own limit, and warns on stderr of whoever asks for more.
    const auto limit =
        tbb::global_control::active_value(tbb::global_control::max_allowed_parallelism);
    tbb::task_arena arena(static_cast<int>(std::min<size_t>(static_cast<size_t>(workers), limit)));
    arena.execute([&] {
      tbb::parallel_for(
          0, workers, [&](int worker) { loop.work(worker); }, tbb::simple_partitioner());
    });
  }
  // Orders the items before what follows for ThreadSanitizer, which does not see into TBB.
  loop.next.load(std::memory_order_acquire);
  if (loop.failure != nullptr) std::rethrow_exception(loop.failure);
}

}  // namespace maskjit::index
