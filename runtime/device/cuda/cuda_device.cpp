#include "runtime/device/cuda/cuda_device.h"

#include <limits>

#include "runtime/device/cuda/context_scope.h"

namespace maskjit::cuda {
namespace {

using device::Address;
using device::Stream;

CUstream stream_of(Stream stream) { return static_cast<CUstream>(stream.handle); }

class CudaEvent final : public device::Event {
 public:
  CudaEvent(const CudaDevice& device, CUevent handle) : event(handle), device_(device) {}
  ~CudaEvent() override {
    const DriverApi& api = device_.driver().api();
    const ContextScope scope(api, device_.context());
    if (scope.result() == CUDA_SUCCESS) api.cuEventDestroy(event);
  }
  const CUevent event;

 private:
  const CudaDevice& device_;
};

CUevent event_of(const device::Event& event) { return static_cast<const CudaEvent&>(event).event; }

}  // namespace

std::optional<codegen::Target> target_of(int major, int minor) {
  const int sm = 10 * major + minor;
  std::optional<codegen::Target> best;
  for (const std::string& name : codegen::Target::device_names()) {
    const codegen::Target target = *codegen::Target::parse(name);
    if (target.sm > sm || (target.sm_specific && target.sm != sm)) continue;
    if (!best || target.sm > best->sm || target.sm_specific) best = target;
  }
  return best;
}

Result<std::unique_ptr<CudaDevice>> CudaDevice::open(std::shared_ptr<const Driver> driver,
                                                     int ordinal) {
  const Result<DeviceInfo> info = driver->device_info(ordinal);
  if (!info) return info.error();
  const DriverApi& api = driver->api();
  CUdevice handle = 0;
  CUresult result = api.cuDeviceGet(&handle, ordinal);
  std::unique_ptr<CudaDevice> device(new CudaDevice(std::move(driver), handle));
  device::Limits& limits = device->limits_;
  limits.name = fmt::format("cuda:{} ({})", ordinal, info->name);
  if (result != CUDA_SUCCESS) return device->error("cuDeviceGet", result);
  const auto target = target_of(info->major, info->minor);
  if (!target) {
    return Error{ErrorKind::Unsupported,
                 fmt::format("{} is of compute capability {}.{}; kernels need 8.0 or newer",
                             limits.name, info->major, info->minor)};
  }
  limits.target = *target;
  limits.multiprocessors = info->multiprocessors;
  limits.max_threads = info->max_threads;
  limits.max_shared_memory = info->max_shared_memory;
  limits.memory_bytes = info->memory_bytes;
  result = api.cuDevicePrimaryCtxRetain(&device->context_, handle);
  if (result != CUDA_SUCCESS) {
    device->context_ = nullptr;
    return device->error("cuDevicePrimaryCtxRetain", result);
  }
  if (!info->memory_pools) return device;
  // A pool of its own keeps what it was given for the next launch, and nobody else's settings
  // change.
  const ContextScope scope(api, device->context_);
  if (scope.result() != CUDA_SUCCESS) return device->error("cuCtxPushCurrent", scope.result());
  CUmemPoolProps properties = {};
  properties.allocType = CU_MEM_ALLOCATION_TYPE_PINNED;
  properties.handleTypes = CU_MEM_HANDLE_TYPE_NONE;
  properties.location = {CU_MEM_LOCATION_TYPE_DEVICE, handle};
  result = api.cuMemPoolCreate(&device->pool_, &properties);
  if (result != CUDA_SUCCESS) {
    device->pool_ = nullptr;
    return device->error("cuMemPoolCreate", result);
  }
  uint64_t threshold = std::numeric_limits<uint64_t>::max();
  result = api.cuMemPoolSetAttribute(device->pool_, CU_MEMPOOL_ATTR_RELEASE_THRESHOLD, &threshold);
  if (result != CUDA_SUCCESS) return device->error("cuMemPoolSetAttribute", result);
  return device;
}

CudaDevice::~CudaDevice() {
  if (context_ == nullptr) return;
  const DriverApi& api = driver_->api();
  {
    const ContextScope scope(api, context_);
    if (scope.result() == CUDA_SUCCESS && pool_ != nullptr) api.cuMemPoolDestroy(pool_);
  }
  api.cuDevicePrimaryCtxRelease(device_);
}

Error CudaDevice::error(std::string_view call, CUresult result) const {
  return {ErrorKind::Unsupported,
          fmt::format("{}: {}", limits_.name, driver_->describe(call, result))};
}

Status CudaDevice::checked(std::string_view call, CUresult result) const {
  if (result == CUDA_SUCCESS) return Done{};
  return error(call, result);
}

// Of a function whose first lines need the context.
#define MASKJIT_ENTER_CONTEXT()            \
  const DriverApi& api = driver_->api();   \
  const ContextScope scope(api, context_); \
  if (scope.result() != CUDA_SUCCESS) return error("cuCtxPushCurrent", scope.result())

Result<device::Buffer> CudaDevice::allocate(uint64_t bytes, Stream stream, std::string_view) {
  if (bytes == 0) return device::Buffer();
  MASKJIT_ENTER_CONTEXT();
  CUdeviceptr address = 0;
  const CUresult result =
      pool_ != nullptr ? api.cuMemAllocFromPoolAsync(&address, bytes, pool_, stream_of(stream))
                       : api.cuMemAlloc(&address, bytes);
  if (result != CUDA_SUCCESS) return error(fmt::format("allocating {} bytes", bytes), result);
  return device::Buffer(*this, address, bytes, stream);
}

void CudaDevice::free(Address address, Stream stream) noexcept {
  const DriverApi& api = driver_->api();
  const ContextScope scope(api, context_);
  if (scope.result() != CUDA_SUCCESS) return;
  if (pool_ != nullptr) {
    api.cuMemFreeAsync(address, stream_of(stream));
  } else {
    api.cuMemFree(address);  // waits for the device
  }
}

Status CudaDevice::copy_in(Address to, std::span<const std::byte> from, Stream stream) {
  if (from.empty()) return Done{};
  MASKJIT_ENTER_CONTEXT();
  return checked("cuMemcpyHtoDAsync",
                 api.cuMemcpyHtoDAsync(to, from.data(), from.size(), stream_of(stream)));
}

Status CudaDevice::copy_out(std::span<std::byte> to, Address from, Stream stream) {
  if (to.empty()) return Done{};
  MASKJIT_ENTER_CONTEXT();
  const CUresult result = api.cuMemcpyDtoHAsync(to.data(), from, to.size(), stream_of(stream));
  if (result != CUDA_SUCCESS) return error("cuMemcpyDtoHAsync", result);
  return checked("cuStreamSynchronize", api.cuStreamSynchronize(stream_of(stream)));
}

Status CudaDevice::fill_bytes(Address to, uint8_t value, uint64_t bytes, Stream stream) {
  if (bytes == 0) return Done{};
  MASKJIT_ENTER_CONTEXT();
  return checked("cuMemsetD8Async", api.cuMemsetD8Async(to, value, bytes, stream_of(stream)));
}

Status CudaDevice::fill_words(Address to, uint32_t value, uint64_t words, Stream stream) {
  if (words == 0) return Done{};
  MASKJIT_ENTER_CONTEXT();
  return checked("cuMemsetD32Async", api.cuMemsetD32Async(to, value, words, stream_of(stream)));
}

Status CudaDevice::synchronise(Stream stream) {
  MASKJIT_ENTER_CONTEXT();
  return checked("cuStreamSynchronize", api.cuStreamSynchronize(stream_of(stream)));
}

Result<bool> CudaDevice::is_capturing(Stream stream) {
  MASKJIT_ENTER_CONTEXT();
  CUstreamCaptureStatus status = CU_STREAM_CAPTURE_STATUS_NONE;
  const CUresult result = api.cuStreamIsCapturing(stream_of(stream), &status);
  if (result != CUDA_SUCCESS) return error("cuStreamIsCapturing", result);
  return status != CU_STREAM_CAPTURE_STATUS_NONE;
}

Result<device::OwnedStream> CudaDevice::create_stream() {
  MASKJIT_ENTER_CONTEXT();
  CUstream stream = nullptr;
  const CUresult result = api.cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING);
  if (result != CUDA_SUCCESS) return error("cuStreamCreate", result);
  return device::OwnedStream(*this, Stream{stream});
}

void CudaDevice::destroy(Stream stream) noexcept {
  const DriverApi& api = driver_->api();
  const ContextScope scope(api, context_);
  if (scope.result() == CUDA_SUCCESS) api.cuStreamDestroy(stream_of(stream));
}

Result<std::unique_ptr<device::Event>> CudaDevice::create_event() {
  MASKJIT_ENTER_CONTEXT();
  CUevent event = nullptr;
  const CUresult result = api.cuEventCreate(&event, CU_EVENT_DEFAULT);
  if (result != CUDA_SUCCESS) return error("cuEventCreate", result);
  return std::unique_ptr<device::Event>(std::make_unique<CudaEvent>(*this, event));
}

Status CudaDevice::record(device::Event& event, Stream stream) {
  MASKJIT_ENTER_CONTEXT();
  return checked("cuEventRecord", api.cuEventRecord(event_of(event), stream_of(stream)));
}

Status CudaDevice::wait(Stream stream, const device::Event& event) {
  MASKJIT_ENTER_CONTEXT();
  return checked("cuStreamWaitEvent", api.cuStreamWaitEvent(stream_of(stream), event_of(event), 0));
}

Result<double> CudaDevice::milliseconds(const device::Event& from, const device::Event& to) {
  MASKJIT_ENTER_CONTEXT();
  CUresult result = api.cuEventSynchronize(event_of(to));
  if (result != CUDA_SUCCESS) return error("cuEventSynchronize", result);
  float elapsed = 0;
  result = api.cuEventElapsedTime(&elapsed, event_of(from), event_of(to));
  if (result != CUDA_SUCCESS) return error("cuEventElapsedTime", result);
  return static_cast<double>(elapsed);
}

}  // namespace maskjit::cuda
