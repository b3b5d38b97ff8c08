#include "runtime/api/staging.h"

namespace maskjit::detail {
namespace {

constexpr int64_t kKeptAlignment = 16;  // what kernels distinguish

// A dimension that does not move: its stride means nothing.
bool is_fixed(const TensorView& view, size_t d) {
  return view.shape[d] == 1 || view.strides[d] == 0;
}

bool has_elements(const TensorView& view) {
  return view.defined() &&
         std::none_of(view.shape.begin(), view.shape.end(), [](int64_t n) { return n == 0; });
}

// Calls visit(offset, bytes) for runs of elements that lie together, each element once, until a
// call fails. Offsets are bytes from view.data.
template <typename Visit>
Status for_each_run(const TensorView& view, Visit visit) {
  const int64_t size = size_of(view.type);
  // Dimensions by stride, the innermost first.
  std::vector<std::pair<int64_t, int64_t>> dims;  // stride and extent
  for (size_t d = 0; d < view.shape.size(); ++d) {
    if (!is_fixed(view, d)) dims.emplace_back(view.strides[d], view.shape[d]);
  }
  std::sort(dims.begin(), dims.end());
  int64_t run = 1;
  while (!dims.empty()) {
    const auto joined =
        std::find_if(dims.begin(), dims.end(), [&](const auto& dim) { return dim.first == run; });
    if (joined == dims.end()) break;
    run *= joined->second;
    dims.erase(joined);
  }
  std::vector<int64_t> index(dims.size());
  while (true) {
    int64_t offset = 0;
    for (size_t d = 0; d < dims.size(); ++d) offset += index[d] * dims[d].first;
    const Status done = visit(offset * size, run * size);
    if (!done) return done;
    size_t d = 0;
    while (d < dims.size() && ++index[d] == dims[d].second) index[d++] = 0;
    if (d == dims.size()) return Done{};
  }
}

}  // namespace

Span span_of(const TensorView& view) {
  Span span;
  const int64_t size = size_of(view.type);
  span.after = size;
  for (size_t d = 0; d < view.shape.size(); ++d) {
    if (is_fixed(view, d)) continue;
    const int64_t reach = (view.shape[d] - 1) * view.strides[d] * size;
    (reach < 0 ? span.before : span.after) += reach < 0 ? -reach : reach;
  }
  return span;
}

Result<Staging::Copy*> Staging::place(std::string_view name, const TensorView& view) {
  const Span span = span_of(view);
  const auto first = reinterpret_cast<uintptr_t>(view.data) - static_cast<uintptr_t>(span.before);
  const auto shift = static_cast<int64_t>(first % kKeptAlignment);
  Result<device::Buffer> buffer =
      device_.allocate(static_cast<uint64_t>(shift + span.before + span.after), stream_, name);
  if (!buffer) return buffer.error();
  const device::Address address =
      buffer->address() + static_cast<device::Address>(shift + span.before);
  auto copy = std::make_unique<Copy>(Copy{std::move(*buffer), view, address});
  Copy* const result = copy.get();
  outputs_.push_back(std::move(copy));
  return result;
}

Result<void*> Staging::input(std::string_view name, const TensorView& view) {
  if (!has_elements(view)) return nullptr;
  const Result<Copy*> placed = place(name, view);
  if (!placed) return placed.error();
  inputs_.push_back(std::move(outputs_.back()));
  outputs_.pop_back();
  const Copy& copy = **placed;
  const Status done = for_each_run(view, [&](int64_t offset, int64_t bytes) {
    const auto* from = static_cast<const std::byte*>(view.data) + offset;
    return device_.copy_in(copy.address + static_cast<device::Address>(offset),
                           {from, static_cast<size_t>(bytes)}, stream_);
  });
  if (!done) return done.error();
  return reinterpret_cast<void*>(copy.address);
}

Result<void*> Staging::output(std::string_view name, const TensorView& view) {
  if (!has_elements(view)) return nullptr;
  const Result<Copy*> placed = place(name, view);
  if (!placed) return placed.error();
  return reinterpret_cast<void*>((*placed)->address);
}

Result<void*> Staging::bytes(std::string_view name, const void* data, int64_t size) {
  if (size == 0) return nullptr;
  Result<device::Buffer> buffer = device_.allocate(static_cast<uint64_t>(size), stream_, name);
  if (!buffer) return buffer.error();
  const std::span<const std::byte> from(static_cast<const std::byte*>(data),
                                        static_cast<size_t>(size));
  const Status done = device_.copy_in(buffer->address(), from, stream_);
  if (!done) return done.error();
  plain_.push_back(std::move(*buffer));
  return reinterpret_cast<void*>(plain_.back().address());
}

Status Staging::collect() {
  const Status done = device_.synchronise(stream_);
  if (!done) return done;
  for (const std::unique_ptr<Copy>& copy : outputs_) {
    const Status copied = for_each_run(copy->view, [&](int64_t offset, int64_t bytes) {
      auto* to = static_cast<std::byte*>(copy->view.data) + offset;
      return device_.copy_out({to, static_cast<size_t>(bytes)},
                              copy->address + static_cast<device::Address>(offset), stream_);
    });
    if (!copied) return copied;
  }
  return Done{};
}

Result<HostCopy> HostCopy::of(device::Device& device, device::Stream stream,
                              const TensorView& view) {
  HostCopy copy;
  if (!has_elements(view)) return copy;
  const Span span = span_of(view);
  copy.before_ = span.before;
  copy.memory_.resize(static_cast<size_t>(span.before + span.after));
  const auto address = reinterpret_cast<device::Address>(view.data);
  const Status done = for_each_run(view, [&](int64_t offset, int64_t bytes) {
    return device.copy_out({copy.memory_.data() + span.before + offset, static_cast<size_t>(bytes)},
                           address + static_cast<device::Address>(offset), stream);
  });
  if (!done) return done.error();
  return copy;
}

}  // namespace maskjit::detail
