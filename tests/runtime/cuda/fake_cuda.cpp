#include "tests/runtime/cuda/fake_cuda.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <map>
#include <memory>
#include <mutex>
#include <set>

#include "runtime/device/emulator/launch.h"

namespace maskjit::cuda::testing {
namespace {

constexpr std::string_view kCubin = "CUBIN:";  // what stands for machine code: this and PTX
constexpr unsigned kDefaultShared = 48 << 10;

struct Context {
  int device = 0;
};
struct Function {
  std::string name;
  emulator::KernelInfo info;
  emulator::Module module;
  unsigned max_dynamic = kDefaultShared;
};
struct Module {
  explicit Module(emulator::Module parsed) : module(std::move(parsed)) {}
  emulator::Module module;
  std::map<std::string, std::unique_ptr<Function>> functions;
};
struct Graph {
  std::vector<std::function<CUresult()>> nodes;
};
struct Stream {
  Graph* capturing = nullptr;
};
struct Event {
  std::optional<std::chrono::steady_clock::time_point> time;
};
struct Pool {};

// The contexts of a thread. Without a destructor: devices may be closed when a thread's objects are
// already gone.
struct ContextStack {
  std::array<CUcontext, 64> items;
  size_t count;

  bool empty() const { return count == 0; }
  CUcontext back() const { return items.at(count - 1); }
  void push_back(CUcontext context) { items.at(count++) = context; }
  void pop_back() { --count; }
  void clear() { count = 0; }
};
thread_local ContextStack current;

template <typename Handle>
Handle handle_of(void* object) {
  return reinterpret_cast<Handle>(object);
}

class Fake final : public FakeCuda {
 public:
  Fake() { Fake::reset({}); }
  void reset(const FakeSettings& settings) override {
    const std::lock_guard lock(mutex);
    state = State();
    state.settings = settings;
    for (int d = 0; d < settings.devices; ++d) {
      state.primary.push_back(std::make_unique<Context>(Context{d}));
      state.retained.push_back(0);
    }
    current.clear();
  }
  void fail(const std::string& function, CUresult result, int nth) override {
    const std::lock_guard lock(mutex);
    state.failures[function] = {result, nth};
  }
  std::vector<std::string> take_calls() override {
    const std::lock_guard lock(mutex);
    return std::exchange(state.calls, {});
  }
  std::vector<CUcontext> contexts() const override {
    return {current.items.begin(), current.items.begin() + static_cast<ptrdiff_t>(current.count)};
  }
  CUcontext create_context() override {
    const std::lock_guard lock(mutex);
    state.others.push_back(std::make_unique<Context>());
    return handle_of<CUcontext>(state.others.back().get());
  }
  void make_current(CUcontext context) override {
    if (!current.empty()) current.pop_back();
    if (context != nullptr) current.push_back(context);
  }
  int live(const std::string& what) const override {
    const std::lock_guard lock(mutex);
    if (what == "contexts") {
      int all = 0;
      for (const int n : state.retained) all += n;
      return all;
    }
    if (what == "allocations") return static_cast<int>(state.memory.size());
    if (what == "modules") return static_cast<int>(state.modules.size());
    if (what == "streams") return static_cast<int>(state.streams.size());
    if (what == "events") return static_cast<int>(state.events.size());
    if (what == "pools") return static_cast<int>(state.pools.size());
    return -1;
  }
  int cubins() const override {
    const std::lock_guard lock(mutex);
    return state.cubins;
  }

  struct State {
    FakeSettings settings;
    std::vector<std::string> calls;
    std::map<std::string, std::pair<CUresult, int>> failures;
    std::vector<std::unique_ptr<Context>> primary, others;
    std::vector<int> retained;
    emulator::Memory memory;
    std::map<void*, std::unique_ptr<Module>> modules;
    std::map<void*, std::unique_ptr<Stream>> streams;
    std::map<void*, std::unique_ptr<Event>> events;
    std::map<void*, std::unique_ptr<Pool>> pools;
    std::map<void*, std::unique_ptr<Graph>> graphs;
    int cubins = 0;
    CUresult sticky = CUDA_SUCCESS;
  };
  mutable std::recursive_mutex mutex;
  State state;
};

Fake& fake() {
  static Fake instance;
  return instance;
}

// Records a call; its result if it is to fail.
class Call {
 public:
  explicit Call(const char* name) : lock_(fake().mutex) {
    Fake::State& state = fake().state;
    state.calls.emplace_back(name);
    const auto failure = state.failures.find(name);
    if (failure == state.failures.end() || failure->second.second-- > 0) return;
    result = failure->second.first;
    state.failures.erase(failure);
  }
  CUresult result = CUDA_SUCCESS;

 private:
  std::unique_lock<std::recursive_mutex> lock_;
};

// The device of the current context.
CUresult context_of_thread(Context*& context) {
  if (current.empty()) return CUDA_ERROR_INVALID_CONTEXT;
  context = reinterpret_cast<Context*>(current.back());
  return CUDA_SUCCESS;
}

#define FAKE_CALL(name)                               \
  const Call call(#name);                             \
  [[maybe_unused]] Fake::State& state = fake().state; \
  if (call.result != CUDA_SUCCESS) return call.result
#define FAKE_CALL_IN_CONTEXT(name)                                                   \
  FAKE_CALL(name);                                                                   \
  Context* context = nullptr;                                                        \
  if (context_of_thread(context) != CUDA_SUCCESS) return CUDA_ERROR_INVALID_CONTEXT; \
  if (state.sticky != CUDA_SUCCESS) return state.sticky

CUresult cuInit(unsigned) {
  FAKE_CALL(cuInit);
  return state.settings.init_result;
}
CUresult cuDriverGetVersion(int* version) {
  FAKE_CALL(cuDriverGetVersion);
  *version = state.settings.version;
  return CUDA_SUCCESS;
}
struct ErrorText {
  CUresult error;
  const char* name;
  const char* text;
};
constexpr ErrorText kErrors[] = {
    {CUDA_ERROR_INVALID_VALUE, "CUDA_ERROR_INVALID_VALUE", "invalid argument"},
    {CUDA_ERROR_OUT_OF_MEMORY, "CUDA_ERROR_OUT_OF_MEMORY", "out of memory"},
    {CUDA_ERROR_NO_DEVICE, "CUDA_ERROR_NO_DEVICE", "no CUDA-capable device is detected"},
    {CUDA_ERROR_INVALID_CONTEXT, "CUDA_ERROR_INVALID_CONTEXT", "invalid device context"},
    {CUDA_ERROR_INVALID_PTX, "CUDA_ERROR_INVALID_PTX", "a PTX JIT compilation failed"},
    {CUDA_ERROR_NO_BINARY_FOR_GPU, "CUDA_ERROR_NO_BINARY_FOR_GPU", "no kernel image is available"},
    {CUDA_ERROR_ILLEGAL_ADDRESS, "CUDA_ERROR_ILLEGAL_ADDRESS",
     "an illegal memory access was encountered"},
    {CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED, "CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED",
     "operation not permitted when stream is capturing"},
};
CUresult cuGetErrorName(CUresult error, const char** name) {
  for (const ErrorText& e : kErrors) {
    if (e.error == error) return *name = e.name, CUDA_SUCCESS;
  }
  return CUDA_ERROR_INVALID_VALUE;
}
CUresult cuGetErrorString(CUresult error, const char** text) {
  for (const ErrorText& e : kErrors) {
    if (e.error == error) return *text = e.text, CUDA_SUCCESS;
  }
  return CUDA_ERROR_INVALID_VALUE;
}
CUresult cuDeviceGetCount(int* count) {
  FAKE_CALL(cuDeviceGetCount);
  *count = state.settings.devices;
  return CUDA_SUCCESS;
}
CUresult cuDeviceGet(CUdevice* device, int ordinal) {
  FAKE_CALL(cuDeviceGet);
  if (ordinal < 0 || ordinal >= state.settings.devices) return CUDA_ERROR_INVALID_DEVICE;
  *device = ordinal;
  return CUDA_SUCCESS;
}
CUresult cuDeviceGetName(char* name, int length, CUdevice device) {
  FAKE_CALL(cuDeviceGetName);
  std::strncpy(name, ("Fake GPU " + std::to_string(device)).c_str(), static_cast<size_t>(length));
  return CUDA_SUCCESS;
}
CUresult cuDeviceTotalMem(size_t* bytes, CUdevice) {
  FAKE_CALL(cuDeviceTotalMem);
  *bytes = size_t{16} << 30;
  return CUDA_SUCCESS;
}
CUresult cuDeviceGetAttribute(int* value, CUdevice_attribute attribute, CUdevice) {
  FAKE_CALL(cuDeviceGetAttribute);
  const FakeSettings& s = state.settings;
  switch (attribute) {
    case CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_BLOCK:
      return *value = 1024, CUDA_SUCCESS;
    case CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT:
      return *value = 16, CUDA_SUCCESS;
    case CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR:
      return *value = s.major, CUDA_SUCCESS;
    case CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR:
      return *value = s.minor, CUDA_SUCCESS;
    case CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN:
      return *value = s.max_shared_memory, CUDA_SUCCESS;
    case CU_DEVICE_ATTRIBUTE_MEMORY_POOLS_SUPPORTED:
      return *value = s.memory_pools ? 1 : 0, CUDA_SUCCESS;
  }
  return CUDA_ERROR_INVALID_VALUE;
}
CUresult cuDevicePrimaryCtxRetain(CUcontext* context, CUdevice device) {
  FAKE_CALL(cuDevicePrimaryCtxRetain);
  ++state.retained.at(static_cast<size_t>(device));
  *context = handle_of<CUcontext>(state.primary.at(static_cast<size_t>(device)).get());
  return CUDA_SUCCESS;
}
CUresult cuDevicePrimaryCtxRelease(CUdevice device) {
  FAKE_CALL(cuDevicePrimaryCtxRelease);
  --state.retained.at(static_cast<size_t>(device));
  return CUDA_SUCCESS;
}
CUresult cuCtxGetCurrent(CUcontext* context) {
  FAKE_CALL(cuCtxGetCurrent);
  *context = current.empty() ? nullptr : current.back();
  return CUDA_SUCCESS;
}
CUresult cuCtxPushCurrent(CUcontext context) {
  FAKE_CALL(cuCtxPushCurrent);
  current.push_back(context);
  return CUDA_SUCCESS;
}
CUresult cuCtxPopCurrent(CUcontext* context) {
  FAKE_CALL(cuCtxPopCurrent);
  if (current.empty()) return CUDA_ERROR_INVALID_CONTEXT;
  *context = current.back();
  current.pop_back();
  return CUDA_SUCCESS;
}
CUresult cuCtxSynchronize() {
  FAKE_CALL_IN_CONTEXT(cuCtxSynchronize);
  return CUDA_SUCCESS;
}
CUresult cuModuleLoadDataEx(CUmodule* module, const void* image, unsigned count,
                            CUjit_option* options, void** values) {
  FAKE_CALL_IN_CONTEXT(cuModuleLoadDataEx);
  std::string_view text = static_cast<const char*>(image);
  const bool cubin = text.starts_with(kCubin);
  if (text.starts_with("\x7f"
                       "ELF"))
    return CUDA_ERROR_NO_BINARY_FOR_GPU;
  if (cubin) text.remove_prefix(kCubin.size());
  auto parsed = emulator::Module::parse(text);
  if (const auto* error = std::get_if<emulator::ParseError>(&parsed)) {
    char* log = nullptr;
    size_t size = 0;
    for (unsigned i = 0; i < count; ++i) {
      if (options[i] == CU_JIT_ERROR_LOG_BUFFER) log = static_cast<char*>(values[i]);
      if (options[i] == CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES)
        size = reinterpret_cast<size_t>(values[i]);
    }
    if (log != nullptr && size > 0) {
      std::strncpy(log, error->render().c_str(), size - 1);
      log[size - 1] = '\0';
    }
    return CUDA_ERROR_INVALID_PTX;
  }
  state.cubins += cubin ? 1 : 0;
  auto loaded = std::make_unique<Module>(std::get<emulator::Module>(parsed));
  *module = handle_of<CUmodule>(loaded.get());
  state.modules.emplace(loaded.get(), std::move(loaded));
  return CUDA_SUCCESS;
}
CUresult cuModuleUnload(CUmodule module) {
  FAKE_CALL_IN_CONTEXT(cuModuleUnload);
  return state.modules.erase(module) == 1 ? CUDA_SUCCESS : CUDA_ERROR_INVALID_HANDLE;
}
CUresult cuModuleGetFunction(CUfunction* function, CUmodule handle, const char* name) {
  FAKE_CALL_IN_CONTEXT(cuModuleGetFunction);
  const auto module = state.modules.find(handle);
  if (module == state.modules.end()) return CUDA_ERROR_INVALID_HANDLE;
  const auto info = module->second->module.kernel(name);
  if (!info) return CUDA_ERROR_NOT_FOUND;
  std::unique_ptr<Function>& found = module->second->functions[name];
  if (found == nullptr)
    found = std::make_unique<Function>(Function{name, *info, module->second->module});
  *function = handle_of<CUfunction>(found.get());
  return CUDA_SUCCESS;
}
CUresult cuFuncGetAttribute(int* value, CUfunction_attribute attribute, CUfunction handle) {
  FAKE_CALL_IN_CONTEXT(cuFuncGetAttribute);
  const auto* function = reinterpret_cast<const Function*>(handle);
  switch (attribute) {
    case CU_FUNC_ATTRIBUTE_NUM_REGS:
      return *value = 77, CUDA_SUCCESS;
    case CU_FUNC_ATTRIBUTE_LOCAL_SIZE_BYTES:
      return *value = static_cast<int>(function->info.local_bytes), CUDA_SUCCESS;
    case CU_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES:
      return *value = static_cast<int>(function->info.static_shared_bytes), CUDA_SUCCESS;
    case CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES:
      return *value = static_cast<int>(function->max_dynamic), CUDA_SUCCESS;
  }
  return CUDA_ERROR_INVALID_VALUE;
}
CUresult cuFuncSetAttribute(CUfunction handle, CUfunction_attribute attribute, int value) {
  FAKE_CALL_IN_CONTEXT(cuFuncSetAttribute);
  auto* function = reinterpret_cast<Function*>(handle);
  if (attribute != CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES) return CUDA_ERROR_INVALID_VALUE;
  const auto fixed = static_cast<int>(function->info.static_shared_bytes);
  if (value < 0 || value + fixed > state.settings.max_shared_memory)
    return CUDA_ERROR_INVALID_VALUE;
  function->max_dynamic = static_cast<unsigned>(value);
  return CUDA_SUCCESS;
}

// Does `work` now, or when the graph that the stream captures is launched.
CUresult in_stream(CUstream stream, std::function<CUresult()> work) {
  Fake::State& state = fake().state;
  if (stream != nullptr) {
    const auto found = state.streams.find(stream);
    if (found == state.streams.end()) return CUDA_ERROR_INVALID_HANDLE;
    if (Graph* graph = found->second->capturing) {
      graph->nodes.push_back(std::move(work));
      return CUDA_SUCCESS;
    }
  }
  return work();
}
bool is_capturing(CUstream stream) {
  const auto found = fake().state.streams.find(stream);
  return found != fake().state.streams.end() && found->second->capturing != nullptr;
}

CUresult cuLaunchKernel(CUfunction handle, unsigned grid_x, unsigned grid_y, unsigned grid_z,
                        unsigned block_x, unsigned block_y, unsigned block_z, unsigned shared_bytes,
                        CUstream stream, void** parameters, void**) {
  FAKE_CALL_IN_CONTEXT(cuLaunchKernel);
  const auto* function = reinterpret_cast<const Function*>(handle);
  if (grid_x == 0 || grid_y == 0 || grid_z == 0 || block_x * block_y * block_z > 1024)
    return CUDA_ERROR_INVALID_VALUE;
  if (shared_bytes > function->max_dynamic) return CUDA_ERROR_INVALID_VALUE;
  std::vector<std::byte> bytes(function->info.parameter_bytes);
  for (size_t i = 0; i < function->info.parameters.size(); ++i) {
    const emulator::ParameterInfo& p = function->info.parameters[i];
    std::memcpy(bytes.data() + p.offset, parameters[i], p.bytes);
  }
  return in_stream(stream, [=, bytes = std::move(bytes)] {
    Fake::State& now = fake().state;
    const emulator::LaunchConfig config{.grid = {grid_x, grid_y, grid_z},
                                        .block = {block_x, block_y, block_z},
                                        .dynamic_shared_bytes = shared_bytes,
                                        .params = bytes};
    const emulator::Report report =
        emulator::launch(function->module, now.memory, function->name, config);
    if (!report.ok()) now.sticky = CUDA_ERROR_ILLEGAL_ADDRESS;  // said by what waits for it
    return CUDA_SUCCESS;
  });
}
CUresult allocate(CUdeviceptr* address, size_t bytes) {
  if (bytes == 0) return CUDA_ERROR_INVALID_VALUE;
  if (bytes > size_t{1} << 32) return CUDA_ERROR_OUT_OF_MEMORY;
  *address = fake().state.memory.allocate(bytes, {.name = "", .check_initialised = true});
  return CUDA_SUCCESS;
}
CUresult cuMemAlloc(CUdeviceptr* address, size_t bytes) {
  FAKE_CALL_IN_CONTEXT(cuMemAlloc);
  return allocate(address, bytes);
}
CUresult cuMemFree(CUdeviceptr address) {
  FAKE_CALL_IN_CONTEXT(cuMemFree);
  return state.memory.free(address) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}
CUresult cuMemAllocFromPoolAsync(CUdeviceptr* address, size_t bytes, CUmemoryPool pool, CUstream) {
  FAKE_CALL_IN_CONTEXT(cuMemAllocFromPoolAsync);
  if (!state.pools.contains(pool)) return CUDA_ERROR_INVALID_HANDLE;
  return allocate(address, bytes);
}
CUresult cuMemFreeAsync(CUdeviceptr address, CUstream stream) {
  FAKE_CALL_IN_CONTEXT(cuMemFreeAsync);
  // A graph keeps what was allocated while it was captured.
  if (is_capturing(stream)) return CUDA_SUCCESS;
  return state.memory.free(address) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}
CUresult cuMemPoolCreate(CUmemoryPool* pool, const CUmemPoolProps* properties) {
  FAKE_CALL_IN_CONTEXT(cuMemPoolCreate);
  if (properties->allocType != CU_MEM_ALLOCATION_TYPE_PINNED ||
      properties->location.type != CU_MEM_LOCATION_TYPE_DEVICE ||
      properties->location.id != context->device)
    return CUDA_ERROR_INVALID_VALUE;
  auto made = std::make_unique<Pool>();
  *pool = handle_of<CUmemoryPool>(made.get());
  state.pools.emplace(made.get(), std::move(made));
  return CUDA_SUCCESS;
}
CUresult cuMemPoolDestroy(CUmemoryPool pool) {
  FAKE_CALL_IN_CONTEXT(cuMemPoolDestroy);
  return state.pools.erase(pool) == 1 ? CUDA_SUCCESS : CUDA_ERROR_INVALID_HANDLE;
}
CUresult cuMemPoolSetAttribute(CUmemoryPool pool, CUmemPool_attribute attribute, void*) {
  FAKE_CALL_IN_CONTEXT(cuMemPoolSetAttribute);
  if (!state.pools.contains(pool)) return CUDA_ERROR_INVALID_HANDLE;
  return attribute == CU_MEMPOOL_ATTR_RELEASE_THRESHOLD ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}
CUresult cuMemcpyHtoDAsync(CUdeviceptr to, const void* from, size_t bytes, CUstream stream) {
  FAKE_CALL_IN_CONTEXT(cuMemcpyHtoDAsync);
  return in_stream(stream, [=] {
    const std::span data(static_cast<const std::byte*>(from), bytes);
    return fake().state.memory.copy_in(to, data) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
  });
}
CUresult cuMemcpyDtoHAsync(void* to, CUdeviceptr from, size_t bytes, CUstream stream) {
  FAKE_CALL_IN_CONTEXT(cuMemcpyDtoHAsync);
  return in_stream(stream, [=] {
    const std::span data(static_cast<std::byte*>(to), bytes);
    return fake().state.memory.copy_out(data, from) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
  });
}
CUresult cuMemsetD8Async(CUdeviceptr to, unsigned char value, size_t bytes, CUstream stream) {
  FAKE_CALL_IN_CONTEXT(cuMemsetD8Async);
  return in_stream(stream, [=] {
    return fake().state.memory.fill(to, static_cast<std::byte>(value), bytes)
               ? CUDA_SUCCESS
               : CUDA_ERROR_INVALID_VALUE;
  });
}
CUresult cuMemsetD32Async(CUdeviceptr to, unsigned value, size_t words, CUstream stream) {
  FAKE_CALL_IN_CONTEXT(cuMemsetD32Async);
  return in_stream(stream, [=] {
    const std::vector<unsigned> values(words, value);
    return fake().state.memory.copy_in(to, std::as_bytes(std::span(values)))
               ? CUDA_SUCCESS
               : CUDA_ERROR_INVALID_VALUE;
  });
}
CUresult cuStreamCreate(CUstream* stream, unsigned flags) {
  FAKE_CALL_IN_CONTEXT(cuStreamCreate);
  if (flags > CU_STREAM_NON_BLOCKING) return CUDA_ERROR_INVALID_VALUE;
  auto made = std::make_unique<Stream>();
  *stream = handle_of<CUstream>(made.get());
  state.streams.emplace(made.get(), std::move(made));
  return CUDA_SUCCESS;
}
CUresult cuStreamDestroy(CUstream stream) {
  FAKE_CALL_IN_CONTEXT(cuStreamDestroy);
  return state.streams.erase(stream) == 1 ? CUDA_SUCCESS : CUDA_ERROR_INVALID_HANDLE;
}
CUresult cuStreamSynchronize(CUstream stream) {
  FAKE_CALL_IN_CONTEXT(cuStreamSynchronize);
  return is_capturing(stream) ? CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED : CUDA_SUCCESS;
}
CUresult cuStreamIsCapturing(CUstream stream, CUstreamCaptureStatus* status) {
  FAKE_CALL_IN_CONTEXT(cuStreamIsCapturing);
  *status = is_capturing(stream) ? CU_STREAM_CAPTURE_STATUS_ACTIVE : CU_STREAM_CAPTURE_STATUS_NONE;
  return CUDA_SUCCESS;
}
CUresult cuStreamWaitEvent(CUstream, CUevent event, unsigned) {
  FAKE_CALL_IN_CONTEXT(cuStreamWaitEvent);
  return state.events.contains(event) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_HANDLE;
}
CUresult cuEventCreate(CUevent* event, unsigned) {
  FAKE_CALL_IN_CONTEXT(cuEventCreate);
  auto made = std::make_unique<Event>();
  *event = handle_of<CUevent>(made.get());
  state.events.emplace(made.get(), std::move(made));
  return CUDA_SUCCESS;
}
CUresult cuEventDestroy(CUevent event) {
  FAKE_CALL_IN_CONTEXT(cuEventDestroy);
  return state.events.erase(event) == 1 ? CUDA_SUCCESS : CUDA_ERROR_INVALID_HANDLE;
}
CUresult cuEventRecord(CUevent handle, CUstream) {
  FAKE_CALL_IN_CONTEXT(cuEventRecord);
  const auto event = state.events.find(handle);
  if (event == state.events.end()) return CUDA_ERROR_INVALID_HANDLE;
  event->second->time = std::chrono::steady_clock::now();
  return CUDA_SUCCESS;
}
CUresult cuEventSynchronize(CUevent event) {
  FAKE_CALL_IN_CONTEXT(cuEventSynchronize);
  return state.events.contains(event) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_HANDLE;
}
CUresult cuEventElapsedTime(float* milliseconds, CUevent from, CUevent to) {
  FAKE_CALL_IN_CONTEXT(cuEventElapsedTime);
  const auto a = state.events.find(from), b = state.events.find(to);
  if (a == state.events.end() || b == state.events.end() || !a->second->time || !b->second->time)
    return CUDA_ERROR_INVALID_HANDLE;
  *milliseconds =
      std::chrono::duration<float, std::milli>(*b->second->time - *a->second->time).count();
  return CUDA_SUCCESS;
}
CUresult cuStreamBeginCapture(CUstream handle, CUstreamCaptureMode) {
  FAKE_CALL_IN_CONTEXT(cuStreamBeginCapture);
  const auto stream = state.streams.find(handle);
  if (stream == state.streams.end()) return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
  auto graph = std::make_unique<Graph>();
  stream->second->capturing = graph.get();
  state.graphs.emplace(graph.get(), std::move(graph));
  return CUDA_SUCCESS;
}
CUresult cuStreamEndCapture(CUstream handle, CUgraph* graph) {
  FAKE_CALL_IN_CONTEXT(cuStreamEndCapture);
  const auto stream = state.streams.find(handle);
  if (stream == state.streams.end() || stream->second->capturing == nullptr)
    return CUDA_ERROR_INVALID_VALUE;
  *graph = handle_of<CUgraph>(std::exchange(stream->second->capturing, nullptr));
  return CUDA_SUCCESS;
}
CUresult cuGraphInstantiateWithFlags(CUgraphExec* executable, CUgraph graph, unsigned long long) {
  FAKE_CALL_IN_CONTEXT(cuGraphInstantiateWithFlags);
  const auto found = state.graphs.find(graph);
  if (found == state.graphs.end()) return CUDA_ERROR_INVALID_HANDLE;
  auto copy = std::make_unique<Graph>(*found->second);
  *executable = handle_of<CUgraphExec>(copy.get());
  state.graphs.emplace(copy.get(), std::move(copy));
  return CUDA_SUCCESS;
}
CUresult cuGraphLaunch(CUgraphExec executable, CUstream) {
  FAKE_CALL_IN_CONTEXT(cuGraphLaunch);
  const auto found = state.graphs.find(executable);
  if (found == state.graphs.end()) return CUDA_ERROR_INVALID_HANDLE;
  for (const auto& node : found->second->nodes) {
    if (const CUresult result = node(); result != CUDA_SUCCESS) return result;
  }
  return CUDA_SUCCESS;
}
CUresult cuGraphExecDestroy(CUgraphExec executable) {
  FAKE_CALL_IN_CONTEXT(cuGraphExecDestroy);
  return state.graphs.erase(executable) == 1 ? CUDA_SUCCESS : CUDA_ERROR_INVALID_HANDLE;
}
CUresult cuGraphDestroy(CUgraph graph) {
  FAKE_CALL_IN_CONTEXT(cuGraphDestroy);
  return state.graphs.erase(graph) == 1 ? CUDA_SUCCESS : CUDA_ERROR_INVALID_HANDLE;
}

struct Entry {
  const char* name;
  int version;
  void* function;
};
const Entry kEntries[] = {
#define FAKE_ENTRY(name, version, ...) \
  {#name, version, reinterpret_cast<void*>(static_cast<std::add_pointer_t<__VA_ARGS__>>(name))},
    MASKJIT_CUDA_FUNCTIONS(FAKE_ENTRY) MASKJIT_CUDA_GRAPH_FUNCTIONS(FAKE_ENTRY)
#undef FAKE_ENTRY
};

}  // namespace
}  // namespace maskjit::cuda::testing

extern "C" {

[[gnu::visibility("default")]] int cuGetProcAddress_v2(const char* name, void** function,
                                                       int version, uint64_t, int* status) {
  using namespace maskjit::cuda;
  *function = nullptr;
  const testing::Fake::State& state = testing::fake().state;
  for (const testing::Entry& entry : testing::kEntries) {
    if (name != state.settings.missing && std::strcmp(entry.name, name) == 0 &&
        version >= entry.version && version <= state.settings.version) {
      *function = entry.function;
      *status = 0;
      return CUDA_SUCCESS;
    }
  }
  *status = 1;
  return CUDA_ERROR_NOT_FOUND;
}

[[gnu::visibility("default")]] maskjit::cuda::testing::FakeCuda* maskjit_fake_cuda() {
  return &maskjit::cuda::testing::fake();
}

}  // extern "C"
