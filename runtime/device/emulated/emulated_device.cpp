#include "runtime/device/emulated/emulated_device.h"

#include <chrono>
#include <cstring>

namespace maskjit::emulated {
namespace {

using device::Address;
using device::Stream;

class Kernel final : public device::CompiledKernel {
 public:
  explicit Kernel(emulator::Module parsed) : module(std::move(parsed)) {
    for (const std::string_view name : module.kernels()) {
      codegen::ResourceUsage usage;
      usage.entry = name;
      usage.shared_bytes = static_cast<int>(module.kernel(name)->static_shared_bytes);
      entries_.push_back({std::string(name), std::move(usage)});
    }
  }
  const emulator::Module module;
};

class HostEvent final : public device::Event {
 public:
  std::optional<std::chrono::steady_clock::time_point> time;
};

}  // namespace

EmulatedDevice::EmulatedDevice(Options options) : options_(std::move(options)) {
  limits_.name = "emulator (" + options_.target.print() + ")";
  limits_.target = options_.target;
  limits_.multiprocessors = options_.multiprocessors;
  limits_.max_shared_memory = options_.target.shared_memory_limit();
}

void EmulatedDevice::keep_reports() {
  const std::lock_guard lock(mutex_);
  keep_reports_ = true;
}

std::vector<LaunchReport> EmulatedDevice::take_reports() {
  const std::lock_guard lock(mutex_);
  for (LaunchReport& report : reports_) report.launch.entry = report.entry;
  return std::exchange(reports_, {});
}

size_t EmulatedDevice::allocations() const {
  const std::lock_guard lock(mutex_);
  return memory_.size();
}

Result<device::Buffer> EmulatedDevice::allocate(uint64_t bytes, Stream stream,
                                                std::string_view name) {
  const std::lock_guard lock(mutex_);
  try {
    const Address address =
        memory_.allocate(bytes, {.name = std::string(name), .check_initialised = true});
    return device::Buffer(*this, address, bytes, stream);
  } catch (const std::exception&) {  // the host's: bad_alloc, length_error
    return Error{ErrorKind::Unsupported,
                 fmt::format("{}: no memory for {} bytes", limits_.name, bytes)};
  }
}

void EmulatedDevice::free(Address address, Stream) noexcept {
  const std::lock_guard lock(mutex_);
  memory_.free(address);
}

Error EmulatedDevice::no_memory(std::string_view what, Address address, uint64_t bytes) const {
  return {ErrorKind::InvalidInput,
          fmt::format("{}: {} {} bytes at {:#x}, which is {}", limits_.name, what, bytes, address,
                      memory_.describe(address))};
}

Status EmulatedDevice::copy_in(Address to, std::span<const std::byte> from, Stream) {
  const std::lock_guard lock(mutex_);
  if (from.empty() || memory_.copy_in(to, from)) return Done{};
  return no_memory("a copy to", to, from.size());
}

Status EmulatedDevice::copy_out(std::span<std::byte> to, Address from, Stream) {
  const std::lock_guard lock(mutex_);
  if (to.empty() || memory_.copy_out(to, from)) return Done{};
  return no_memory("a copy from", from, to.size());
}

Status EmulatedDevice::fill_bytes(Address to, uint8_t value, uint64_t bytes, Stream) {
  const std::lock_guard lock(mutex_);
  if (bytes == 0 || memory_.fill(to, static_cast<std::byte>(value), bytes)) return Done{};
  return no_memory("a fill of", to, bytes);
}

Status EmulatedDevice::fill_words(Address to, uint32_t value, uint64_t words, Stream stream) {
  const std::vector<uint32_t> values(words, value);
  return copy_in(to, std::as_bytes(std::span(values)), stream);
}

Result<std::unique_ptr<device::CompiledKernel>> EmulatedDevice::load(
    const codegen::CodeArtifact& artifact) {
  const auto start = std::chrono::steady_clock::now();
  auto parsed = emulator::Module::parse(artifact.object);
  if (const auto* error = std::get_if<emulator::ParseError>(&parsed)) {
    return Error{ErrorKind::Internal, fmt::format("{} cannot read the PTX of {}: {}", limits_.name,
                                                  artifact.template_name, error->render())};
  }
  auto kernel = std::make_unique<Kernel>(std::move(std::get<emulator::Module>(parsed)));
  kernel->load_milliseconds =
      std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
  return std::unique_ptr<device::CompiledKernel>(std::move(kernel));
}

Status EmulatedDevice::launch(const device::CompiledKernel& kernel,
                              const device::KernelLaunch& launch,
                              std::span<const std::byte> parameters, Stream) {
  const emulator::LaunchConfig config{.grid = {launch.blocks, 1, 1},
                                      .block = {launch.threads, 1, 1},
                                      .dynamic_shared_bytes = launch.shared_memory,
                                      .params = parameters};
  emulator::LaunchOptions options = options_.launch;
  options.max_shared_bytes = static_cast<uint64_t>(limits_.max_shared_memory);
  const std::lock_guard lock(mutex_);
  emulator::Report report = emulator::launch(static_cast<const Kernel&>(kernel).module, memory_,
                                             launch.entry, config, options);
  if (!report.ok()) {
    return Error{ErrorKind::Internal, fmt::format("{}: {}", limits_.name, report.fault->render())};
  }
  if (keep_reports_)
    reports_.push_back({std::string(launch.entry), launch, std::move(report.counts)});
  return Done{};
}

Result<device::OwnedStream> EmulatedDevice::create_stream() {
  return device::OwnedStream(*this, Stream{});
}

Result<std::unique_ptr<device::Event>> EmulatedDevice::create_event() {
  return std::unique_ptr<device::Event>(std::make_unique<HostEvent>());
}

Status EmulatedDevice::record(device::Event& event, Stream) {
  static_cast<HostEvent&>(event).time = std::chrono::steady_clock::now();
  return Done{};
}

Result<double> EmulatedDevice::milliseconds(const device::Event& from, const device::Event& to) {
  const auto& begin = static_cast<const HostEvent&>(from).time;
  const auto& end = static_cast<const HostEvent&>(to).time;
  if (!begin || !end)
    return Error{ErrorKind::InvalidInput, limits_.name + ": an event was not recorded"};
  return std::chrono::duration<double, std::milli>(*end - *begin).count();
}

}  // namespace maskjit::emulated
