#pragma once
// Independent items on several threads: the caller's pool, or oneTBB's threads. What an item does
// may not depend on the worker that does it.
#include <cstdint>
#include <functional>
#include <memory>

#include "runtime/api/thread_pool.h"

namespace maskjit::index {

class Workers {
 public:
  // threads 0: all that the process may use
  Workers(int threads, std::shared_ptr<const ThreadPool> pool);

  // How many workers such a loop has; `work` is a rough number of operations in all, and little of
  // it stays on the caller's thread.
  int count(int64_t items, double work) const;
  // run(worker, item) for each item; worker < `workers`, which count() gave, and no two calls with
  // the same worker run at once. What `run` throws is thrown again when all have returned.
  void each(int workers, int64_t items, const std::function<void(int, int64_t)>& run) const;

 private:
  int threads_;
  std::shared_ptr<const ThreadPool> pool_;
};

}  // namespace maskjit::index
