#include "runtime/torch/index.h"

#include <mutex>
#include <unordered_map>

#include <ATen/ops/from_blob.h>
#include <torch/custom_class.h>

#include "runtime/torch/attention.h"
#include "runtime/torch/checks.h"
#include "runtime/torch/spec_cache.h"
#include "runtime/torch/torch_pool.h"
#include "runtime/torch/view.h"

namespace maskjit::torch {
namespace {

using at::Tensor;

struct Known {
  KeyIndex index;
  int64_t updates = 0;
};

// The indexes whose handles live, by their numbers.
struct Indexes {
  std::mutex mutex;
  int64_t last = 0;
  std::unordered_map<int64_t, Known> known;
};

Indexes& indexes() {
  static Indexes& shared = *new Indexes;
  return shared;
}

// The memory of a handle.
struct Handle {
  explicit Handle(const KeyIndex& index) {
    Indexes& all = indexes();
    const std::lock_guard lock(all.mutex);
    values[0] = number = ++all.last;
    all.known.emplace(number, Known{index});
  }
  Handle(const Handle&) = delete;
  Handle& operator=(const Handle&) = delete;
  ~Handle() {
    Indexes& all = indexes();
    const std::lock_guard lock(all.mutex);
    all.known.erase(number);
  }
  int64_t number = 0;
  int64_t values[2] = {};
};

void release_handle(void* handle) { delete static_cast<Handle*>(handle); }

struct IndexHolder final : ::torch::CustomClassHolder {
  explicit IndexHolder(KeyIndex held) : index(std::move(held)) {
    auto memory = std::make_unique<Handle>(index);
    int64_t* values = memory->values;
    handle = at::for_blob(values, {2})
                 .context(memory.release(), release_handle)
                 .options(at::TensorOptions().dtype(at::kLong))
                 .make_tensor();
  }
  const KeyIndex index;
  Tensor handle;
};
using IndexPointer = c10::intrusive_ptr<IndexHolder>;

KeyIndex::Execution execution() { return {.thread_pool = std::make_shared<TorchPool>()}; }

IndexPointer hold(Result<KeyIndex> index) {
  if (!index) raise(index.error());
  return c10::make_intrusive<IndexHolder>(std::move(*index));
}

IndexPointer make(const std::string& program, const std::string& entry,
                  const std::string& constants, const std::string& path, const Tensor& query,
                  const Tensor& key, const std::string& tensor_names,
                  const std::vector<Tensor>& tensors, int64_t seed) {
  const std::vector<std::string> names = split_names(tensor_names);
  TORCH_CHECK_VALUE(names.size() == tensors.size(), "tensor_names has ", names.size(),
                    " names for ", tensors.size(), " tensors");
  Options options;
  options.sampling.seed = static_cast<uint64_t>(seed);
  for (size_t i = 0; i < names.size(); ++i) options.tensors.emplace(names[i], tensors[i]);
  return c10::make_intrusive<IndexHolder>(
      make_index(find_spec({program, entry, constants, path}), query, key, options));
}

// The number and the updates that a handle has.
std::pair<int64_t, int64_t> read(const Tensor& handle) {
  TORCH_CHECK_VALUE(handle.defined() && handle.layout() == at::kStrided && handle.dim() == 1 &&
                        handle.scalar_type() == at::kLong && handle.numel() == 2,
                    "index is ", handle.defined() ? describe(handle) : std::string("missing"),
                    "; the handle of a maskjit.KeyIndex is needed");
  check_on_cpu("index", handle, "the handle of an index is a number of this process");
  const auto* values = static_cast<const int64_t*>(handle.const_data_ptr());
  return {values[0], values[handle.stride(0)]};
}

Known& find(Indexes& all, int64_t number) {
  const auto found = all.known.find(number);
  TORCH_CHECK_VALUE(found != all.known.end(), "there is no index ", number,
                    " in this process: its maskjit.KeyIndex is gone");
  return found->second;
}

}  // namespace

KeyIndex index_of(const Tensor& handle) {
  const auto [number, updates] = read(handle);
  Indexes& all = indexes();
  const std::lock_guard lock(all.mutex);
  const Known& known = find(all, number);
  TORCH_CHECK_VALUE(known.updates == updates, known.index.describe(),
                    " was updated since: update it before the calls that read it, in what "
                    "torch.compile traces");
  return known.index;
}

void update_index(const Tensor& handle, const Tensor& keys, std::optional<int64_t> unchanged) {
  const int64_t number = read(handle).first;
  Indexes& all = indexes();
  std::unique_lock lock(all.mutex);
  KeyIndex index = find(all, number).index;
  lock.unlock();
  TORCH_CHECK_VALUE(keys.defined() && keys.layout() == at::kStrided,
                    "keys are not a strided tensor");
  check_no_grad("keys", keys);
  check_device("keys", keys);
  const Tensor rows = with_unit_stride(keys.cpu());
  const Status done = index.update(view_of("keys", rows), unchanged.value_or(INT64_MAX));
  lock.lock();
  static_cast<int64_t*>(handle.mutable_data_ptr())[handle.stride(0)] = ++find(all, number).updates;
  lock.unlock();
  if (!done) raise(done.error());
}

void define_index(::torch::Library& library) {
  library.class_<IndexHolder>("KeyIndex")
      .def_static("make", make)
      .def_static("load",
                  [](const std::string& path) { return hold(KeyIndex::load(path, execution())); })
      .def("handle", [](const IndexPointer& self) { return self->handle; })
      .def("save",
           [](const IndexPointer& self, const std::string& path) {
             const Status done = self->index.save(path);
             if (!done) raise(done.error());
           })
      .def("size", [](const IndexPointer& self) { return self->index.size(); })
      .def("seed",
           [](const IndexPointer& self) { return static_cast<int64_t>(self->index.seed()); })
      .def("bytes", [](const IndexPointer& self) { return self->index.bytes(); })
      .def("describe", [](const IndexPointer& self) { return self->index.describe(); });
}

}  // namespace maskjit::torch
