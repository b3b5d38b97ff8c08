#include "tools/maskjit/device_data.h"

namespace maskjit::cli {

Result<std::unique_ptr<DeviceData>> DeviceData::place(device::Device& device,
                                                      AttentionInputs& inputs,
                                                      AttentionOutputs& outputs) {
  Result<device::OwnedStream> stream = device.create_stream();
  if (!stream) return stream.error();
  Result<std::unique_ptr<device::Event>> begin = device.create_event(), end = device.create_event();
  if (!begin) return begin.error();
  if (!end) return end.error();
  std::unique_ptr<DeviceData> data(
      new DeviceData(device, std::move(*stream), std::move(*begin), std::move(*end)));
  std::vector<std::pair<std::string, TensorView*>> views = {
      {"query", &inputs.query},
      {"key", &inputs.key},
      {"value", &inputs.value},
      {"additive_mask", &inputs.additive_mask}};
  for (auto& [name, view] : inputs.tensors) views.emplace_back(name, &view);
  for (const auto& [name, view] : views) {
    const Result<void*> copy = data->staging_.input(name, *view);
    if (!copy) return copy.error();
    view->data = *copy;
  }
  const Result<void*> output = data->staging_.output("output", outputs.output);
  if (!output) return output.error();
  outputs.output.data = *output;
  inputs.memory = MemorySpace::Device;
  inputs.stream = data->stream_.get().handle;
  const Status done = device.synchronise(data->stream_.get());
  if (!done) return done.error();
  return data;
}

Result<double> DeviceData::time(const Attention& attention, const AttentionInputs& inputs,
                                const AttentionOutputs& outputs) {
  Status done = device_.record(*begin_, stream_.get());
  if (done) done = attention.run(inputs, outputs);
  if (done) done = device_.record(*end_, stream_.get());
  if (!done) return done.error();
  return device_.milliseconds(*begin_, *end_);
}

}  // namespace maskjit::cli
