#pragma once
#include "runtime/api/thread_pool.h"

namespace maskjit::torch {

// The threads that torch runs its own operators on. A second pool would have to share the cores
// with them: torch's wait for more work for a while after each operator.
class TorchPool final : public ThreadPool {
 public:
  int threads() const override;  // at::get_num_threads(); 1 inside of a parallel region
  void run(int count, void (*task)(void*, int), void* context) const override;
};

}  // namespace maskjit::torch
