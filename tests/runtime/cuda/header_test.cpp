// Our declarations of the driver beside NVIDIA's, where cuda.h is installed. Compiling is the test.
#include <gtest/gtest.h>

#include "runtime/device/cuda/driver_api.h"

#ifdef MASKJIT_CUDA_HEADER

// A function's type with what may be spelt differently made equal: pointers, and integers and
// enumerations of one size.
template <typename T>
struct Plain {
  static constexpr bool kNumber = std::is_integral_v<T> || std::is_enum_v<T>;
  using type = std::conditional_t<std::is_pointer_v<T>, void*,
                                  std::conditional_t<kNumber, char[sizeof(T)], T>>;
};
template <>
struct Plain<void> {
  using type = void;
};
template <typename... Arguments>
struct PlainArguments {};
template <typename T>
struct Signature;
template <typename R, typename... Arguments>
struct Signature<R(Arguments...)> {
  using type = PlainArguments<typename Plain<R>::type, typename Plain<Arguments>::type...>;
};

// The values, before cuda.h gives the same names to its own.
#define OUR_VALUES(V)                                                                              \
  V(CUDA_SUCCESS), V(CUDA_ERROR_INVALID_VALUE), V(CUDA_ERROR_OUT_OF_MEMORY),                       \
      V(CUDA_ERROR_DEINITIALIZED), V(CUDA_ERROR_NO_DEVICE), V(CUDA_ERROR_INVALID_DEVICE),          \
      V(CUDA_ERROR_INVALID_IMAGE), V(CUDA_ERROR_INVALID_CONTEXT), V(CUDA_ERROR_NO_BINARY_FOR_GPU), \
      V(CUDA_ERROR_INVALID_PTX), V(CUDA_ERROR_INVALID_HANDLE), V(CUDA_ERROR_NOT_FOUND),            \
      V(CUDA_ERROR_ILLEGAL_ADDRESS), V(CUDA_ERROR_LAUNCH_FAILED),                                  \
      V(CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED), V(CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_BLOCK),      \
      V(CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT),                                                 \
      V(CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR),                                             \
      V(CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR),                                             \
      V(CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN),                                    \
      V(CU_DEVICE_ATTRIBUTE_MEMORY_POOLS_SUPPORTED), V(CU_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES),       \
      V(CU_FUNC_ATTRIBUTE_LOCAL_SIZE_BYTES), V(CU_FUNC_ATTRIBUTE_NUM_REGS),                        \
      V(CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES), V(CU_JIT_ERROR_LOG_BUFFER),              \
      V(CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES), V(CU_STREAM_NON_BLOCKING), V(CU_EVENT_DEFAULT),       \
      V(CU_MEM_ALLOCATION_TYPE_PINNED), V(CU_MEM_HANDLE_TYPE_NONE),                                \
      V(CU_MEM_LOCATION_TYPE_DEVICE), V(CU_MEMPOOL_ATTR_RELEASE_THRESHOLD),                        \
      V(CU_STREAM_CAPTURE_MODE_THREAD_LOCAL)

constexpr long long kOurs[] = {
#define VALUE(name) static_cast<long long>(maskjit::cuda::name)
    OUR_VALUES(VALUE)
#undef VALUE
};
using OurPoolProps = maskjit::cuda::CUmemPoolProps;

// Function types by our names, as the macro spells them with our types.
namespace maskjit::cuda {
#define DECLARE(name, version, ...) using Our_##name = Signature<__VA_ARGS__>::type;
MASKJIT_CUDA_FUNCTIONS(DECLARE)
MASKJIT_CUDA_GRAPH_FUNCTIONS(DECLARE)
#undef DECLARE
}  // namespace maskjit::cuda

#include <cudaTypedefs.h>

constexpr long long kTheirs[] = {
#define VALUE(name) static_cast<long long>(::name)
    OUR_VALUES(VALUE)
#undef VALUE
};
constexpr bool equal_values() {
  for (size_t i = 0; i < std::size(kOurs); ++i) {
    if (kOurs[i] != kTheirs[i]) return false;
  }
  return true;
}
static_assert(equal_values());
static_assert(sizeof(OurPoolProps) == sizeof(::CUmemPoolProps));
static_assert(offsetof(OurPoolProps, location) == offsetof(::CUmemPoolProps, location));
static_assert(offsetof(OurPoolProps, win32SecurityAttributes) ==
              offsetof(::CUmemPoolProps, win32SecurityAttributes));
static_assert(offsetof(OurPoolProps, maxSize) == offsetof(::CUmemPoolProps, maxSize));
static_assert(offsetof(OurPoolProps, usage) == offsetof(::CUmemPoolProps, usage));
static_assert(sizeof(::CUdeviceptr) == 8);

// PFN_name_vVERSION is the ABI of that version: there is one exactly where it changed.
#define SAME(name, version, ...)                                                                 \
  static_assert(std::is_same_v<maskjit::cuda::Our_##name,                                        \
                               Signature<std::remove_pointer_t<PFN_##name##_v##version>>::type>, \
                #name);
MASKJIT_CUDA_FUNCTIONS(SAME)
MASKJIT_CUDA_GRAPH_FUNCTIONS(SAME)
#undef SAME

TEST(CudaHeader, DeclaresWhatWeDeclare) {
  std::cout << "compared with cuda.h of CUDA " << CUDA_VERSION << "\n";
  EXPECT_TRUE(equal_values());
}

#else

TEST(CudaHeader, DeclaresWhatWeDeclare) {
  GTEST_SKIP() << "no cudaTypedefs.h: set CUDA_HOME to a CUDA toolkit (from PyPI: "
                  "nvidia-cuda-runtime)";
}

#endif
