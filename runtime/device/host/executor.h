#pragma once
// Runs a kernel's items on the threads of this process.
//
// The phases of a plan run one after the other; within a phase threads take items in order, one at
// a time, so that the heaviest, which come first, start first. A phase of one item, and everything
// when there is one thread, runs on the caller's thread. Scratch and workspace are kept by each
// thread between launches: after the first ones nothing is allocated. Launches from several threads
// at once, also from inside of other parallel loops, are fine.
#include <cstdint>
#include <memory>

#include "kernels_templates/include/kernel_abi.h"
#include "runtime/api/thread_pool.h"

namespace maskjit::host {

// CPUs that this process may run on.
int available_threads();

class Executor {
 public:
  // 0: available_threads(). With a pool, which is asked at every launch, `threads` does not count.
  explicit Executor(int threads, std::shared_ptr<const ThreadPool> pool = nullptr);
  ~Executor();
  Executor(const Executor&) = delete;
  Executor& operator=(const Executor&) = delete;

  int threads() const;
  // Returns when every item is done.
  void run(MjPlanFunction plan, MjRunFunction run, const MjAttentionArgs& args) const;
  // Items of all phases of such a launch.
  int64_t count_items(MjPlanFunction plan, const MjAttentionArgs& args) const;

 private:
  struct Arena;
  int threads_;
  std::shared_ptr<const ThreadPool> pool_;
  std::unique_ptr<Arena> arena_;  // null for one thread, and with a pool
};

}  // namespace maskjit::host
