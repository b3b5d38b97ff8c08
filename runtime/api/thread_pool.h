#pragma once
// Where kernels run: what an application that has a pool of threads already gives an Engine, so
// that there is no second one. Without it kernels run on oneTBB's threads.
namespace maskjit {

class ThreadPool {
 public:
  virtual ~ThreadPool() = default;
  // How many threads a launch from the calling thread may use now, itself among them; at least 1.
  virtual int threads() const = 0;
  // Calls task(context, 0) .. task(context, count - 1), where count <= threads(), each once and on
  // any thread, and returns when all have returned. Tasks neither throw nor wait for each other.
  virtual void run(int count, void (*task)(void* context, int index), void* context) const = 0;
};

}  // namespace maskjit
