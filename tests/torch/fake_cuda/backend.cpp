// CUDA for a torch that was built without it, on the fake driver
// (tests/runtime/cuda/fake_cuda.cpp): tensors whose memory, streams and graphs are the driver's, so
// that what is called on them is what a GPU would be called with. Two devices. Loaded by
// torch.ops.load_library, or linked; MASKJIT_LIBCUDA names the fake driver.
//
// Operators without a kernel here run on copies on the CPU. Memory is what the emulator checks:
// read before it is written, or past its end, it is a fault.
#include <dlfcn.h>

#include <array>
#include <cstdlib>

#include <ATen/EmptyTensor.h>
#include <ATen/native/CPUFallback.h>
#include <ATen/ops/_reshape_alias_native.h>
#include <ATen/ops/as_strided_native.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/view_native.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>
#include <torch/library.h>

#include "runtime/device/cuda/context_scope.h"
#include "runtime/device/cuda/cuda_device.h"
#include "tests/runtime/cuda/fake_cuda.h"

namespace maskjit::torch::testing {
namespace {

using at::Tensor;
using c10::Device;
using c10::DeviceIndex;
using c10::Stream;

constexpr DeviceIndex kDevices = 2;

template <typename T>
T checked(Result<T> result) {
  TORCH_CHECK(result, result.error().message);
  return std::move(*result);
}
void check(const Status& status) { TORCH_CHECK(status, status.error().message); }

const char* library() {
  const char* name = std::getenv("MASKJIT_LIBCUDA");
  TORCH_CHECK(name != nullptr, "MASKJIT_LIBCUDA does not name the fake driver");
  return name;
}

cuda::testing::FakeCuda& fake() {
  static cuda::testing::FakeCuda* const found = [] {
    void* handle = ::dlopen(library(), RTLD_NOW | RTLD_LOCAL);
    TORCH_CHECK(handle != nullptr, ::dlerror());
    void* function = ::dlsym(handle, "maskjit_fake_cuda");
    TORCH_CHECK(function != nullptr, library(), " is not the fake driver");
    return reinterpret_cast<cuda::testing::FakeCudaFunction*>(function)();
  }();
  return *found;
}

const cuda::Driver& driver() {
  static const auto& loaded =
      *new std::shared_ptr<const cuda::Driver>(checked(cuda::Driver::load(library())));
  return *loaded;
}

cuda::CudaDevice& device(DeviceIndex index) {
  static const auto& all = *new std::array<cuda::CudaDevice*, kDevices>([] {
    std::array<cuda::CudaDevice*, kDevices> opened = {};
    const auto loaded = checked(cuda::Driver::load(library()));
    for (int i = 0; i < kDevices; ++i) {
      opened.at(static_cast<size_t>(i)) = checked(cuda::CudaDevice::open(loaded, i)).release();
    }
    return opened;
  }());
  TORCH_CHECK(index >= 0 && index < kDevices, "there is no cuda:", static_cast<int>(index));
  return *all.at(static_cast<size_t>(index));
}

// Streams: number 0 is the default one, which has no object.
std::vector<void*>& streams(DeviceIndex index) {
  static std::array<std::vector<void*>, kDevices> all = {std::vector<void*>{nullptr},
                                                         std::vector<void*>{nullptr}};
  return all.at(static_cast<size_t>(index));
}

thread_local DeviceIndex current_device = 0;
thread_local std::array<c10::StreamId, kDevices> current_stream = {};

struct Guard final : public c10::impl::DeviceGuardImplInterface {
  static Device on(DeviceIndex index) { return {at::kCUDA, index}; }
  at::DeviceType type() const override { return at::kCUDA; }
  Device exchangeDevice(Device d) const override {
    return on(std::exchange(current_device, d.index()));
  }
  Device getDevice() const override { return on(current_device); }
  void setDevice(Device d) const override { current_device = d.index(); }
  void uncheckedSetDevice(Device d) const noexcept override { current_device = d.index(); }
  Stream getStream(Device d) const override {
    const DeviceIndex index = d.has_index() ? d.index() : current_device;
    return Stream(Stream::UNSAFE, on(index), current_stream.at(static_cast<size_t>(index)));
  }
  Stream getDefaultStream(Device d) const override { return Stream(Stream::DEFAULT, d); }
  Stream getNewStream(Device d, int) const override {
    const DeviceIndex index = d.has_index() ? d.index() : current_device;
    static auto& kept = *new std::vector<device::OwnedStream>;
    kept.push_back(checked(device(index).create_stream()));
    streams(index).push_back(kept.back().get().handle);
    return Stream(Stream::UNSAFE, on(index), static_cast<c10::StreamId>(streams(index).size() - 1));
  }
  Stream exchangeStream(Stream stream) const override {
    c10::StreamId& current = current_stream.at(static_cast<size_t>(stream.device_index()));
    return Stream(Stream::UNSAFE, stream.device(), std::exchange(current, stream.id()));
  }
  void* getStreamNativeHandle(const Stream stream) const override {
    return streams(stream.device_index()).at(static_cast<size_t>(stream.id()));
  }
  DeviceIndex deviceCount() const noexcept override { return kDevices; }
  bool queryStream(const Stream&) const override { return true; }
  void synchronizeStream(const Stream&) const override {}
  void synchronizeDevice(const DeviceIndex) const override {}
};
C10_REGISTER_GUARD_IMPL(CUDA, Guard)

struct Allocator final : public c10::Allocator {
  c10::DataPtr allocate(size_t bytes) override {
    const Device here(at::kCUDA, current_device);
    if (bytes == 0) return {nullptr, here};
    auto* buffer = new device::Buffer(checked(device(current_device).allocate(bytes, {}, "")));
    return {reinterpret_cast<void*>(buffer->address()), buffer, release, here};
  }
  c10::DeleterFnPtr raw_deleter() const override { return nullptr; }
  void copy_data(void*, const void*, size_t) const override {
    TORCH_CHECK(false, "not in this backend");
  }
  static void release(void* buffer) { delete static_cast<device::Buffer*>(buffer); }
};
Allocator allocator;

// Makes the device of a tensor that is to be made current.
class OnDevice {
 public:
  explicit OnDevice(std::optional<Device> wanted) {
    if (wanted && wanted->has_index()) current_device = wanted->index();
    TORCH_CHECK(current_device < kDevices, "there is no cuda:", static_cast<int>(current_device));
  }
  ~OnDevice() { current_device = before_; }
  OnDevice(const OnDevice&) = delete;
  OnDevice& operator=(const OnDevice&) = delete;

 private:
  const DeviceIndex before_ = current_device;
};

constexpr c10::DispatchKeySet kKeys(c10::DispatchKey::CUDA);

Tensor empty(at::IntArrayRef size, std::optional<at::ScalarType> type, std::optional<at::Layout>,
             std::optional<Device> where, std::optional<bool>,
             std::optional<at::MemoryFormat> format) {
  const OnDevice there(where);
  return at::detail::empty_generic(size, &allocator, kKeys, type.value_or(at::kFloat), format);
}

Tensor empty_strided(at::IntArrayRef size, at::IntArrayRef stride,
                     std::optional<at::ScalarType> type, std::optional<at::Layout>,
                     std::optional<Device> where, std::optional<bool>) {
  const OnDevice there(where);
  return at::detail::empty_strided_generic(size, stride, &allocator, kKeys,
                                           type.value_or(at::kFloat));
}

// Calls visit(address, bytes) for the elements of a device's tensor in row-major order, together if
// they lie together.
template <typename Visit>
void for_each_element(const Tensor& tensor, Visit visit) {
  const auto base = reinterpret_cast<device::Address>(tensor.const_data_ptr());
  const auto size = static_cast<int64_t>(tensor.element_size());
  if (tensor.numel() == 0) return;
  if (tensor.is_contiguous()) return visit(base, tensor.numel() * size);
  for (int64_t i = 0; i < tensor.numel(); ++i) {
    int64_t rest = i, offset = 0;
    for (int64_t d = tensor.dim(); d-- > 0;) {
      offset += rest % tensor.size(d) * tensor.stride(d);
      rest /= tensor.size(d);
    }
    visit(base + static_cast<device::Address>(offset * size), size);
  }
}

Tensor to_host(const Tensor& tensor) {
  Tensor result = at::empty(tensor.sizes(), tensor.options().device(at::kCPU));
  auto* to = static_cast<std::byte*>(result.mutable_data_ptr());
  for_each_element(tensor, [&](device::Address from, int64_t bytes) {
    check(device(tensor.get_device()).copy_out({to, static_cast<size_t>(bytes)}, from, {}));
    to += bytes;
  });
  return result;
}

Tensor& copy_(Tensor& self, const Tensor& source, bool) {
  Tensor host = source.is_cuda() ? to_host(source) : source;
  if (self.is_cpu()) return self.copy_(host);
  host = host.to(self.scalar_type()).expand(self.sizes()).contiguous();
  const auto* from = static_cast<const std::byte*>(host.const_data_ptr());
  for_each_element(self, [&](device::Address to, int64_t bytes) {
    check(device(self.get_device()).copy_in(to, {from, static_cast<size_t>(bytes)}, {}));
    from += bytes;
  });
  return self;
}

// What an operator that ran on the CPU has written.
Tensor copy_from_and_resize(const Tensor& source, const Tensor& to) {
  Tensor result = to;
  if (result.sizes() != source.sizes()) {
    const Tensor fresh = at::empty(source.sizes(), to.options());
    result.unsafeGetTensorImpl()->set_storage_keep_dtype(fresh.storage());
    result.unsafeGetTensorImpl()->set_sizes_contiguous(source.sizes());
  }
  return result.copy_(source);
}

void fallback(const c10::OperatorHandle& op, ::torch::jit::Stack* stack) {
  at::native::cpu_fallback(op, stack, true);
}

// Graphs, as torch.cuda.CUDAGraph has them.
using namespace cuda;
struct GraphApi {
#define DECLARE(name, version, ...) std::add_pointer_t<__VA_ARGS__> name;
  MASKJIT_CUDA_GRAPH_FUNCTIONS(DECLARE)
#undef DECLARE
  GraphApi() {
#define FIND(name, version, ...) \
  name = reinterpret_cast<std::add_pointer_t<__VA_ARGS__>>(driver().find(#name, version));
    MASKJIT_CUDA_GRAPH_FUNCTIONS(FIND)
#undef FIND
  }
};
const GraphApi& graphs() {
  static const GraphApi api;
  return api;
}

// The current stream of a device, in its context.
template <typename Work>
void in_stream(int64_t index, Work work) {
  const auto at = static_cast<DeviceIndex>(index);
  const cuda::ContextScope scope(driver().api(), device(at).context());
  const Guard guard;
  const cuda::CUresult result = work(
      static_cast<cuda::CUstream>(guard.getStreamNativeHandle(guard.getStream(Guard::on(at)))));
  TORCH_CHECK(result == cuda::CUDA_SUCCESS, driver().describe("the graph's call", result));
}

void begin_capture(int64_t index) {
  in_stream(index, [](cuda::CUstream stream) {
    return graphs().cuStreamBeginCapture(stream, cuda::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL);
  });
}

// The graph's number, for replay.
int64_t end_capture(int64_t index) {
  cuda::CUgraph graph = nullptr;
  cuda::CUgraphExec executable = nullptr;
  in_stream(index, [&](cuda::CUstream stream) {
    const cuda::CUresult ended = graphs().cuStreamEndCapture(stream, &graph);
    return ended != cuda::CUDA_SUCCESS
               ? ended
               : graphs().cuGraphInstantiateWithFlags(&executable, graph, 0);
  });
  return reinterpret_cast<int64_t>(executable);
}

void replay(int64_t index, int64_t executable) {
  in_stream(index, [&](cuda::CUstream stream) {
    return graphs().cuGraphLaunch(reinterpret_cast<cuda::CUgraphExec>(executable), stream);
  });
}

int64_t live(const std::string& what) { return fake().live(what); }

}  // namespace
}  // namespace maskjit::torch::testing

namespace backend = maskjit::torch::testing;

TORCH_LIBRARY(fake_cuda, m) {
  m.def("take_calls() -> str[]", [] { return backend::fake().take_calls(); });
  m.def("live(str what) -> int", backend::live);
  m.def("new_stream(int device) -> int", [](int64_t index) {
    const auto at = static_cast<c10::DeviceIndex>(index);
    return backend::Guard().getNewStream(backend::Guard::on(at), 0).id();
  });
  // Both are numbers that new_stream gave, or 0; the result is the one before.
  m.def("exchange_stream(int device, int stream) -> int", [](int64_t index, int64_t stream) {
    const auto at = backend::Guard::on(static_cast<c10::DeviceIndex>(index));
    return backend::Guard().exchangeStream(c10::Stream(c10::Stream::UNSAFE, at, stream)).id();
  });
  m.def("begin_capture(int device) -> ()", backend::begin_capture);
  m.def("end_capture(int device) -> int", backend::end_capture);
  m.def("replay(int device, int graph) -> ()", backend::replay);
}

TORCH_LIBRARY_IMPL(aten, CUDA, m) {
  m.impl("empty.memory_format", backend::empty);
  m.impl("empty_strided", backend::empty_strided);
  m.impl("as_strided", at::native::as_strided_tensorimpl);
  m.impl("view", at::native::view);
  m.impl("_reshape_alias", at::native::_reshape_alias);
  m.impl("copy_", backend::copy_);
  m.impl("_copy_from_and_resize", backend::copy_from_and_resize);
}

TORCH_LIBRARY_IMPL(_, CUDA, m) {
  m.fallback(::torch::CppFunction::makeFromBoxedFunction<&backend::fallback>());
}
