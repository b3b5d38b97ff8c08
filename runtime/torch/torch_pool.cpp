#include "runtime/torch/torch_pool.h"

#include <dlfcn.h>

#include <atomic>

#include <ATen/Parallel.h>

namespace maskjit::torch {
namespace {

// What the threads of a team share; each takes tasks until there are none.
struct Team {
  void (*task)(void*, int);
  void* context;
  int count;
  std::atomic<int> next = 0;
};

void work(void* team_pointer) {
  auto& team = *static_cast<Team*>(team_pointer);
  for (int i = team.next.fetch_add(1); i < team.count; i = team.next.fetch_add(1)) {
    team.task(team.context, i);
  }
}

#if AT_PARALLEL_OPENMP
// at::parallel_for is a template whose `omp parallel` is compiled, and linked with an OpenMP
// runtime, by whoever includes it. Starting a team by the entry point of the runtime that torch
// has loaded works with any compiler and never brings a second one (libgomp and libomp have it).
using ParallelFunction = void (*)(void (*work)(void*), void* data, unsigned threads,
                                  unsigned flags);
ParallelFunction parallel_function() {
  static const auto found =
      reinterpret_cast<ParallelFunction>(dlsym(RTLD_DEFAULT, "GOMP_parallel"));
  return found;
}
#endif

}  // namespace

int TorchPool::threads() const {
#if AT_PARALLEL_OPENMP
  if (parallel_function() == nullptr) return 1;
#endif
  at::internal::lazy_init_num_threads();
  return at::in_parallel_region() ? 1 : at::get_num_threads();
}

void TorchPool::run(int count, void (*task)(void*, int), void* context) const {
  Team team = {task, context, count};
#if AT_PARALLEL_OPENMP
  // 0 threads: as many as torch's other teams have; a team of another size would start new threads.
  parallel_function()(work, &team, 0, 0);
#else
  at::parallel_for(0, count, 1, [&](int64_t, int64_t) { work(&team); });
#endif
}

}  // namespace maskjit::torch
