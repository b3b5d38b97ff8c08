#pragma once
// The tensors of a call copied to an engine's device once, for commands that repeat it there.
#include "runtime/api/staging.h"
#include "tools/maskjit/attention_data.h"

namespace maskjit::cli {

class DeviceData {
 public:
  // `inputs` and `outputs` become those of a call in device memory, in a stream of its own. What
  // they were views of, and the device, outlive the object.
  static Result<std::unique_ptr<DeviceData>> place(device::Device& device, AttentionInputs& inputs,
                                                   AttentionOutputs& outputs);

  // Milliseconds of the device from the start to the end of one call.
  Result<double> time(const Attention& attention, const AttentionInputs& inputs,
                      const AttentionOutputs& outputs);

 private:
  DeviceData(device::Device& device, device::OwnedStream stream,
             std::unique_ptr<device::Event> begin, std::unique_ptr<device::Event> end)
      : device_(device),
        stream_(std::move(stream)),
        begin_(std::move(begin)),
        end_(std::move(end)),
        staging_(device, stream_.get()) {}

  device::Device& device_;
  device::OwnedStream stream_;
  std::unique_ptr<device::Event> begin_, end_;
  detail::Staging staging_;
};

}  // namespace maskjit::cli
