#include "runtime/device/cuda/driver.h"

#include <dlfcn.h>

namespace maskjit::cuda {
namespace {

constexpr const char* kLibrary = "libcuda.so.1";
constexpr int kMinDriver = 11040;  // memory allocation within captured graphs

// Before CUDA 12, and since.
using GetProcAddress = CUresult(const char* name, void** function, int version, uint64_t flags);
using GetProcAddressV2 = CUresult(const char* name, void** function, int version, uint64_t flags,
                                  int* status);

Error unsupported(std::string message) { return {ErrorKind::Unsupported, std::move(message)}; }

std::string version_text_of(int version) {
  return fmt::format("{}.{}", version / 1000, version % 1000 / 10);
}

}  // namespace

Result<std::shared_ptr<const Driver>> Driver::load(const std::string& library) {
  const std::string name = library.empty() ? kLibrary : library;
  // Not std::make_shared: the constructor is private.
  std::shared_ptr<Driver> driver(new Driver());
  driver->library_ = ::dlopen(name.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (driver->library_ == nullptr) {
    const char* reason = ::dlerror();
    return unsupported(fmt::format("no CUDA driver: {} cannot be loaded ({})", name,
                                   reason == nullptr ? "no reason is given" : reason));
  }
  driver->get_proc_address_ = ::dlsym(driver->library_, "cuGetProcAddress_v2");
  driver->status_parameter_ = driver->get_proc_address_ != nullptr;
  if (!driver->status_parameter_)
    driver->get_proc_address_ = ::dlsym(driver->library_, "cuGetProcAddress");
  if (driver->get_proc_address_ == nullptr) {
    return unsupported(fmt::format("{} has no cuGetProcAddress: CUDA {} or newer is needed", name,
                                   version_text_of(kMinDriver)));
  }
  // The version first, to say what is wrong with a driver that lacks a function.
  DriverApi& api = driver->api_;
  api.cuDriverGetVersion =
      reinterpret_cast<decltype(api.cuDriverGetVersion)>(driver->find("cuDriverGetVersion", 2020));
  if (api.cuDriverGetVersion == nullptr ||
      api.cuDriverGetVersion(&driver->version_) != CUDA_SUCCESS) {
    return unsupported(fmt::format("{} does not say its version", name));
  }
  if (driver->version_ < kMinDriver) {
    return unsupported(fmt::format("the CUDA driver is of version {}; {} or newer is needed",
                                   driver->version_text(), version_text_of(kMinDriver)));
  }
  const char* missing = nullptr;
#define MASKJIT_FIND(function, version, ...)                                                 \
  api.function = reinterpret_cast<decltype(api.function)>(driver->find(#function, version)); \
  if (api.function == nullptr) missing = #function;
  MASKJIT_CUDA_FUNCTIONS(MASKJIT_FIND)
#undef MASKJIT_FIND
  if (missing != nullptr) {
    return unsupported(fmt::format("the CUDA driver {} lacks {}", driver->version_text(), missing));
  }
  CUresult result = api.cuInit(0);
  if (result != CUDA_SUCCESS) {
    return unsupported(fmt::format("no CUDA device: {}", driver->describe("cuInit", result)));
  }
  result = api.cuDeviceGetCount(&driver->device_count_);
  if (result != CUDA_SUCCESS) {
    return unsupported(
        fmt::format("no CUDA device: {}", driver->describe("cuDeviceGetCount", result)));
  }
  if (driver->device_count_ == 0)
    return unsupported("no CUDA device: the driver knows none (CUDA_VISIBLE_DEVICES hides them)");
  return std::shared_ptr<const Driver>(std::move(driver));
}

// The library stays loaded: drivers keep threads of their own.
Driver::~Driver() = default;

void* Driver::find(const char* name, int version) const {
  void* function = nullptr;
  CUresult result;
  if (status_parameter_) {
    int status = 0;
    result = reinterpret_cast<GetProcAddressV2*>(get_proc_address_)(name, &function, version, 0,
                                                                    &status);
  } else {
    result = reinterpret_cast<GetProcAddress*>(get_proc_address_)(name, &function, version, 0);
  }
  return result == CUDA_SUCCESS ? function : nullptr;
}

std::string Driver::version_text() const { return version_text_of(version_); }

Result<DeviceInfo> Driver::device_info(int ordinal) const {
  if (ordinal < 0 || ordinal >= device_count_) {
    return Error{ErrorKind::InvalidInput,
                 fmt::format("there is no cuda:{}: the driver knows {}", ordinal, device_count_)};
  }
  DeviceInfo info;
  CUdevice device = 0;
  const auto failed = [&](std::string_view call, CUresult result) {
    return unsupported(fmt::format("cuda:{}: {}", ordinal, describe(call, result)));
  };
  CUresult result = api_.cuDeviceGet(&device, ordinal);
  if (result != CUDA_SUCCESS) return failed("cuDeviceGet", result);
  char name[256] = {};
  result = api_.cuDeviceGetName(name, sizeof(name) - 1, device);
  if (result != CUDA_SUCCESS) return failed("cuDeviceGetName", result);
  info.name = name;
  size_t bytes = 0;
  result = api_.cuDeviceTotalMem(&bytes, device);
  if (result != CUDA_SUCCESS) return failed("cuDeviceTotalMem", result);
  info.memory_bytes = bytes;
  int pools = 0;
  const struct {
    CUdevice_attribute attribute;
    int& value;
  } attributes[] = {
      {CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, info.major},
      {CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR, info.minor},
      {CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT, info.multiprocessors},
      {CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_BLOCK, info.max_threads},
      {CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN, info.max_shared_memory},
      {CU_DEVICE_ATTRIBUTE_MEMORY_POOLS_SUPPORTED, pools},
  };
  for (const auto& [attribute, value] : attributes) {
    result = api_.cuDeviceGetAttribute(&value, attribute, device);
    if (result != CUDA_SUCCESS) {
      return failed(fmt::format("cuDeviceGetAttribute({})", static_cast<unsigned>(attribute)),
                    result);
    }
  }
  info.memory_pools = pools != 0;
  return info;
}

std::string Driver::describe(std::string_view call, CUresult result) const {
  const char* name = nullptr;
  const char* text = nullptr;
  if (api_.cuGetErrorName == nullptr || api_.cuGetErrorName(result, &name) != CUDA_SUCCESS)
    name = nullptr;
  if (api_.cuGetErrorString == nullptr || api_.cuGetErrorString(result, &text) != CUDA_SUCCESS)
    text = nullptr;
  return fmt::format("{}: {} ({}){}{}", call, name == nullptr ? "unknown error" : name, result,
                     text == nullptr ? "" : ": ", text == nullptr ? "" : text);
}

}  // namespace maskjit::cuda
