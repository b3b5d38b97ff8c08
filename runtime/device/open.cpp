#include "runtime/device/open.h"

#include <charconv>

#include <fmt/ranges.h>

#include "masker_dsl/diag/diagnostic.h"
#include "masker_dsl/diag/text.h"
#include "runtime/device/cuda/cuda_device.h"
#include "runtime/device/emulated/emulated_device.h"

namespace maskjit::device {
namespace {

constexpr const char* kEmulatorTarget = "sm_80";

Error invalid(std::string message) { return {ErrorKind::InvalidInput, std::move(message)}; }

// The number of "cuda:N", 0 for "cuda".
std::optional<int> cuda_ordinal(std::string_view name) {
  if (!name.starts_with("cuda")) return std::nullopt;
  name.remove_prefix(4);
  if (name.empty()) return 0;
  if (name.front() != ':') return std::nullopt;
  name.remove_prefix(1);
  int ordinal = -1;
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), ordinal);
  if (error != std::errc() || end != name.data() + name.size() || ordinal < 0) return std::nullopt;
  return ordinal;
}

Result<codegen::Target> gpu_target(const std::string& text) {
  const auto target = codegen::Target::parse(text);
  if (target && !target->is_host()) return *target;
  const std::vector<std::string> names = codegen::Target::device_names();
  const std::string close = diag::closest_name(text, names);
  return invalid(fmt::format("there is no device target '{}'; {}", text,
                             close.empty() ? fmt::format("possible are {}", fmt::join(names, ", "))
                                           : fmt::format("did you mean '{}'?", close)));
}

}  // namespace

Result<Opened> open(const OpenOptions& options) {
  std::optional<codegen::Target> wanted;
  if (!options.target.empty()) {
    const Result<codegen::Target> target = gpu_target(options.target);
    if (!target) return target.error();
    wanted = *target;
  }
  if (options.name == "emulator") {
    const codegen::Target target = wanted ? *wanted : *codegen::Target::parse(kEmulatorTarget);
    return Opened{std::make_shared<emulated::EmulatedDevice>(emulated::Options{.target = target}),
                  target};
  }
  const std::optional<int> ordinal = cuda_ordinal(options.name);
  if (!ordinal) {
    return invalid(fmt::format(
        "there is no device '{}'; emulator, cuda and cuda:N are possible, and none for the CPU",
        options.name));
  }
  const auto driver = cuda::Driver::load(options.libcuda);
  if (!driver) return driver.error();
  auto device = cuda::CudaDevice::open(*driver, *ordinal);
  if (!device) return device.error();
  const Limits& limits = (*device)->limits();
  if (wanted && !(*device)->executes(*wanted)) {
    return Error{ErrorKind::Unsupported,
                 fmt::format("{} cannot execute code for {}; it executes {}", limits.name,
                             wanted->print(), limits.target.print())};
  }
  const codegen::Target target = wanted.value_or(limits.target);
  return Opened{std::move(*device), target};
}

CudaSummary cuda_summary(const std::string& libcuda) {
  CudaSummary summary;
  const auto driver = cuda::Driver::load(libcuda);
  if (!driver) {
    summary.reason = driver.error().message;
    return summary;
  }
  summary.available = true;
  summary.driver_version = (*driver)->version_text();
  for (int i = 0; i < (*driver)->device_count(); ++i) {
    const Result<cuda::DeviceInfo> info = (*driver)->device_info(i);
    if (!info) {
      summary.devices.push_back(info.error().message);
      continue;
    }
    const auto target = cuda::target_of(info->major, info->minor);
    summary.devices.push_back(fmt::format(
        "cuda:{} {}, compute capability {}.{} ({}), {} multiprocessors, {:.1f} GiB, {} KiB of "
        "shared memory a block",
        i, info->name, info->major, info->minor, target ? "code for " + target->print() : "too old",
        info->multiprocessors, static_cast<double>(info->memory_bytes) / (1 << 30),
        info->max_shared_memory / 1024));
  }
  return summary;
}

}  // namespace maskjit::device
