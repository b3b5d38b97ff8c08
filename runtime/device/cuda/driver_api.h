#pragma once
// The part of the CUDA Driver API that is used here, declared by the types of its documentation
// (NVIDIA, CUDA Driver API Reference): building needs no CUDA header. Names are the driver's.
// tests/runtime/cuda compares them with cuda.h where there is one.
#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace maskjit::cuda {

using CUresult = int;
using CUdevice = int;
using CUdeviceptr = unsigned long long;
using CUcontext = struct CUctx_st*;
using CUmodule = struct CUmod_st*;
using CUfunction = struct CUfunc_st*;
using CUstream = struct CUstream_st*;
using CUevent = struct CUevent_st*;
using CUmemoryPool = struct CUmemPoolHandle_st*;
using CUgraph = struct CUgraph_st*;
using CUgraphExec = struct CUgraphExec_st*;

enum : CUresult {
  CUDA_SUCCESS = 0,
  CUDA_ERROR_INVALID_VALUE = 1,
  CUDA_ERROR_OUT_OF_MEMORY = 2,
  CUDA_ERROR_DEINITIALIZED = 4,
  CUDA_ERROR_NO_DEVICE = 100,
  CUDA_ERROR_INVALID_DEVICE = 101,
  CUDA_ERROR_INVALID_IMAGE = 200,
  CUDA_ERROR_INVALID_CONTEXT = 201,
  CUDA_ERROR_NO_BINARY_FOR_GPU = 209,
  CUDA_ERROR_INVALID_PTX = 218,
  CUDA_ERROR_INVALID_HANDLE = 400,
  CUDA_ERROR_NOT_FOUND = 500,
  CUDA_ERROR_ILLEGAL_ADDRESS = 700,
  CUDA_ERROR_LAUNCH_FAILED = 719,
  CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED = 900,
};

enum CUdevice_attribute : unsigned {
  CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_BLOCK = 1,
  CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT = 16,
  CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR = 75,
  CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR = 76,
  CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN = 97,
  CU_DEVICE_ATTRIBUTE_MEMORY_POOLS_SUPPORTED = 115,
};

enum CUfunction_attribute : unsigned {
  CU_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES = 1,
  CU_FUNC_ATTRIBUTE_LOCAL_SIZE_BYTES = 3,
  CU_FUNC_ATTRIBUTE_NUM_REGS = 4,
  CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES = 8,
};

enum CUjit_option : unsigned {
  CU_JIT_ERROR_LOG_BUFFER = 5,
  CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES = 6,
};

enum : unsigned { CU_STREAM_NON_BLOCKING = 1, CU_EVENT_DEFAULT = 0 };

enum CUmemAllocationType : unsigned { CU_MEM_ALLOCATION_TYPE_PINNED = 1 };
enum CUmemAllocationHandleType : unsigned { CU_MEM_HANDLE_TYPE_NONE = 0 };
enum CUmemLocationType : unsigned { CU_MEM_LOCATION_TYPE_DEVICE = 1 };
enum CUmemPool_attribute : unsigned { CU_MEMPOOL_ATTR_RELEASE_THRESHOLD = 4 };
enum CUstreamCaptureStatus : unsigned {
  CU_STREAM_CAPTURE_STATUS_NONE = 0,
  CU_STREAM_CAPTURE_STATUS_ACTIVE = 1,
};
enum CUstreamCaptureMode : unsigned { CU_STREAM_CAPTURE_MODE_THREAD_LOCAL = 1 };

struct CUmemLocation {
  CUmemLocationType type;
  int id;
};
struct CUmemPoolProps {
  CUmemAllocationType allocType;
  CUmemAllocationHandleType handleTypes;
  CUmemLocation location;
  void* win32SecurityAttributes;
  size_t maxSize;
  unsigned short usage;
  unsigned char reserved[54];
};

// Functions as (name, version, result and parameters): `version` is the CUDA version of the ABI
// that is declared here (cuCtxPushCurrent of 4.0 is the driver's cuCtxPushCurrent_v2).
#define MASKJIT_CUDA_FUNCTIONS(F)                                                                 \
  F(cuInit, 2000, CUresult(unsigned flags))                                                       \
  F(cuDriverGetVersion, 2020, CUresult(int* version))                                             \
  F(cuGetErrorName, 6000, CUresult(CUresult error, const char** name))                            \
  F(cuGetErrorString, 6000, CUresult(CUresult error, const char** text))                          \
  F(cuDeviceGetCount, 2000, CUresult(int* count))                                                 \
  F(cuDeviceGet, 2000, CUresult(CUdevice* device, int ordinal))                                   \
  F(cuDeviceGetName, 2000, CUresult(char* name, int length, CUdevice device))                     \
  F(cuDeviceTotalMem, 3020, CUresult(size_t* bytes, CUdevice device))                             \
  F(cuDeviceGetAttribute, 2000,                                                                   \
    CUresult(int* value, CUdevice_attribute attribute, CUdevice device))                          \
  F(cuDevicePrimaryCtxRetain, 7000, CUresult(CUcontext* context, CUdevice device))                \
  F(cuDevicePrimaryCtxRelease, 11000, CUresult(CUdevice device))                                  \
  F(cuCtxGetCurrent, 4000, CUresult(CUcontext* context))                                          \
  F(cuCtxPushCurrent, 4000, CUresult(CUcontext context))                                          \
  F(cuCtxPopCurrent, 4000, CUresult(CUcontext* context))                                          \
  F(cuCtxSynchronize, 2000, CUresult())                                                           \
  F(cuModuleLoadDataEx, 2010,                                                                     \
    CUresult(CUmodule* module, const void* image, unsigned count, CUjit_option* options,          \
             void** values))                                                                      \
  F(cuModuleUnload, 2000, CUresult(CUmodule module))                                              \
  F(cuModuleGetFunction, 2000, CUresult(CUfunction* function, CUmodule module, const char* name)) \
  F(cuFuncGetAttribute, 2020,                                                                     \
    CUresult(int* value, CUfunction_attribute attribute, CUfunction function))                    \
  F(cuFuncSetAttribute, 9000,                                                                     \
    CUresult(CUfunction function, CUfunction_attribute attribute, int value))                     \
  F(cuLaunchKernel, 4000,                                                                         \
    CUresult(CUfunction function, unsigned grid_x, unsigned grid_y, unsigned grid_z,              \
             unsigned block_x, unsigned block_y, unsigned block_z, unsigned shared_bytes,         \
             CUstream stream, void** parameters, void** extra))                                   \
  F(cuMemAlloc, 3020, CUresult(CUdeviceptr* address, size_t bytes))                               \
  F(cuMemFree, 3020, CUresult(CUdeviceptr address))                                               \
  F(cuMemAllocFromPoolAsync, 11020,                                                               \
    CUresult(CUdeviceptr* address, size_t bytes, CUmemoryPool pool, CUstream stream))             \
  F(cuMemFreeAsync, 11020, CUresult(CUdeviceptr address, CUstream stream))                        \
  F(cuMemPoolCreate, 11020, CUresult(CUmemoryPool* pool, const CUmemPoolProps* properties))       \
  F(cuMemPoolDestroy, 11020, CUresult(CUmemoryPool pool))                                         \
  F(cuMemPoolSetAttribute, 11020,                                                                 \
    CUresult(CUmemoryPool pool, CUmemPool_attribute attribute, void* value))                      \
  F(cuMemcpyHtoDAsync, 3020,                                                                      \
    CUresult(CUdeviceptr to, const void* from, size_t bytes, CUstream stream))                    \
  F(cuMemcpyDtoHAsync, 3020, CUresult(void* to, CUdeviceptr from, size_t bytes, CUstream stream)) \
  F(cuMemsetD8Async, 3020,                                                                        \
    CUresult(CUdeviceptr to, unsigned char value, size_t bytes, CUstream stream))                 \
  F(cuMemsetD32Async, 3020,                                                                       \
    CUresult(CUdeviceptr to, unsigned value, size_t words, CUstream stream))                      \
  F(cuStreamCreate, 2000, CUresult(CUstream* stream, unsigned flags))                             \
  F(cuStreamDestroy, 4000, CUresult(CUstream stream))                                             \
  F(cuStreamSynchronize, 2000, CUresult(CUstream stream))                                         \
  F(cuStreamIsCapturing, 10000, CUresult(CUstream stream, CUstreamCaptureStatus* status))         \
  F(cuStreamWaitEvent, 3020, CUresult(CUstream stream, CUevent event, unsigned flags))            \
  F(cuEventCreate, 2000, CUresult(CUevent* event, unsigned flags))                                \
  F(cuEventDestroy, 4000, CUresult(CUevent event))                                                \
  F(cuEventRecord, 2000, CUresult(CUevent event, CUstream stream))                                \
  F(cuEventSynchronize, 2000, CUresult(CUevent event))                                            \
  F(cuEventElapsedTime, 2000, CUresult(float* milliseconds, CUevent from, CUevent to))

// What the tests use beside: a caller who captures a launch in a graph.
#define MASKJIT_CUDA_GRAPH_FUNCTIONS(F)                                               \
  F(cuStreamBeginCapture, 10010, CUresult(CUstream stream, CUstreamCaptureMode mode)) \
  F(cuStreamEndCapture, 10000, CUresult(CUstream stream, CUgraph* graph))             \
  F(cuGraphInstantiateWithFlags, 11040,                                               \
    CUresult(CUgraphExec* executable, CUgraph graph, unsigned long long flags))       \
  F(cuGraphLaunch, 10000, CUresult(CUgraphExec executable, CUstream stream))          \
  F(cuGraphExecDestroy, 10000, CUresult(CUgraphExec executable))                      \
  F(cuGraphDestroy, 10000, CUresult(CUgraph graph))

// A pointer of each function, by its name.
struct DriverApi {
#define MASKJIT_DECLARE(name, version, ...) std::add_pointer_t<__VA_ARGS__> name = nullptr;
  MASKJIT_CUDA_FUNCTIONS(MASKJIT_DECLARE)
#undef MASKJIT_DECLARE
};

}  // namespace maskjit::cuda
