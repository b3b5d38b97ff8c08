#pragma once
// The fake driver of this test binary.
#include <dlfcn.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "runtime/device/cuda/cuda_device.h"
#include "tests/runtime/cuda/fake_cuda.h"

namespace maskjit::cuda::testing {

inline FakeCuda& fake() {
  static FakeCuda* const instance = [] {
    void* library = ::dlopen(MASKJIT_TEST_LIBCUDA, RTLD_NOW | RTLD_LOCAL);
    EXPECT_NE(library, nullptr) << ::dlerror();
    return reinterpret_cast<FakeCudaFunction*>(::dlsym(library, "maskjit_fake_cuda"))();
  }();
  return *instance;
}

inline std::string load_error() {
  const auto driver = Driver::load(MASKJIT_TEST_LIBCUDA);
  return driver ? "" : driver.error().message;
}

// y[i] = x[i] + 1 for 32 threads a block; the parameter is both addresses.
inline constexpr const char* kAddOne = R"(.version 7.0
.target sm_80
.address_size 64
.visible .entry add_one(.param .align 8 .b8 args[16])
{
  .reg .b32 %r<6>;
  .reg .b64 %rd<6>;
  ld.param.u64 %rd1, [args];
  ld.param.u64 %rd2, [args+8];
  mov.u32 %r1, %ctaid.x;
  mov.u32 %r2, %tid.x;
  mad.lo.u32 %r3, %r1, 32, %r2;
  mul.wide.u32 %rd3, %r3, 4;
  add.u64 %rd4, %rd1, %rd3;
  add.u64 %rd5, %rd2, %rd3;
  ld.global.u32 %r4, [%rd4];
  add.u32 %r5, %r4, 1;
  st.global.u32 [%rd5], %r5;
  ret;
}
)";

inline codegen::CodeArtifact add_one() {
  codegen::CodeArtifact artifact;
  artifact.object = kAddOne;
  artifact.target = "sm_80";
  artifact.template_name = "test/add_one";
  return artifact;
}

struct AddOneArgs {
  uint64_t from, to;
};

}  // namespace maskjit::cuda::testing
