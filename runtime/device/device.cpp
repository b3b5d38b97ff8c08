#include "runtime/device/device.h"

#include <algorithm>

namespace maskjit::device {

Buffer::~Buffer() {
  if (device_ != nullptr) device_->free(address_, stream_);
}

void Buffer::swap(Buffer& other) noexcept {
  std::swap(device_, other.device_);
  std::swap(address_, other.address_);
  std::swap(bytes_, other.bytes_);
  std::swap(stream_, other.stream_);
}

OwnedStream::OwnedStream(OwnedStream&& other) noexcept
    : device_(std::exchange(other.device_, nullptr)), stream_(other.stream_) {}

OwnedStream::~OwnedStream() {
  if (device_ != nullptr) device_->destroy(stream_);
}

bool Device::executes(const codegen::Target& target) const {
  const std::vector<codegen::Target> targets = runnable_targets(limits().target);
  return std::find(targets.begin(), targets.end(), target) != targets.end();
}

std::vector<codegen::Target> runnable_targets(const codegen::Target& target) {
  std::vector<codegen::Target> result;
  const auto names = target.is_host() ? codegen::Target::names() : codegen::Target::device_names();
  for (const std::string& name : names) {
    const codegen::Target candidate = *codegen::Target::parse(name);
    const bool runs = target.is_host()        ? candidate.level <= target.level
                      : candidate.sm_specific ? candidate == target
                                              : candidate.sm <= target.sm;
    if (runs) result.push_back(candidate);
  }
  std::reverse(result.begin(), result.end());
  return result;
}

}  // namespace maskjit::device
