#pragma once
// Copies of a caller's host tensors in device memory for one call. A copy has the strides of its
// tensor and is as much aligned; what lies between elements is neither read nor written.
#include <string_view>
#include <vector>

#include "runtime/api/tensor_view.h"
#include "runtime/device/device.h"

namespace maskjit::detail {

// Where the elements of a view lie around its data, in bytes: [data - before, data + after).
struct Span {
  int64_t before = 0, after = 0;
};
Span span_of(const TensorView& view);

class Staging {
 public:
  Staging(device::Device& device, device::Stream stream) : device_(device), stream_(stream) {}

  // What the kernel gets in the place of view.data; null for a view without elements.
  Result<void*> input(std::string_view name, const TensorView& view);
  // The same without a copy; collect() writes the tensor's elements.
  Result<void*> output(std::string_view name, const TensorView& view);
  // Plain bytes.
  Result<void*> bytes(std::string_view name, const void* data, int64_t size);
  // Waits for the stream and copies the outputs back.
  Status collect();

 private:
  struct Copy {
    device::Buffer buffer;
    TensorView view;          // the host's
    device::Address address;  // of what view.data is
  };
  Result<Copy*> place(std::string_view name, const TensorView& view);

  device::Device& device_;
  device::Stream stream_;
  std::vector<std::unique_ptr<Copy>> inputs_, outputs_;
  std::vector<device::Buffer> plain_;
};

// The elements of a view in device memory, on the host: the pointer stands for view.data.
class HostCopy {
 public:
  static Result<HostCopy> of(device::Device& device, device::Stream stream, const TensorView& view);
  const void* data() const { return memory_.data() + before_; }

 private:
  std::vector<std::byte> memory_;
  int64_t before_ = 0;
};

}  // namespace maskjit::detail
