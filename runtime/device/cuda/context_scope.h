#pragma once
// Makes a context current for the calling thread, and the one before current again at the end.
#include "runtime/device/cuda/driver_api.h"

namespace maskjit::cuda {

class ContextScope {
 public:
  ContextScope(const DriverApi& api, CUcontext context) : api_(api) {
    CUcontext current = nullptr;
    result_ = api.cuCtxGetCurrent(&current);
    if (result_ != CUDA_SUCCESS || current == context) return;
    result_ = api.cuCtxPushCurrent(context);
    pushed_ = result_ == CUDA_SUCCESS;
  }
  ~ContextScope() {
    CUcontext popped = nullptr;
    if (pushed_) api_.cuCtxPopCurrent(&popped);
  }
  ContextScope(const ContextScope&) = delete;
  ContextScope& operator=(const ContextScope&) = delete;

  CUresult result() const { return result_; }

 private:
  const DriverApi& api_;
  CUresult result_ = CUDA_SUCCESS;
  bool pushed_ = false;
};

}  // namespace maskjit::cuda
