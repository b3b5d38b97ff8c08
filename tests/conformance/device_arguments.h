#pragma once
// The arguments of a launch on the host -> those of the same launch on a device.
#include <algorithm>
#include <vector>

#include "kernels_templates/include/select_abi.h"
#include "tests/conformance/problem.h"

namespace maskjit::conformance {

// Device addresses of host buffers.
class AddressMap {
 public:
  void add(const void* host, size_t bytes, uint64_t device) {
    entries_.push_back({reinterpret_cast<uintptr_t>(host), bytes, device});
  }
  template <typename T>
  T* translate(T* host) const {
    const auto address = reinterpret_cast<uintptr_t>(host);
    for (const Entry& e : entries_) {
      if (address >= e.host && address < e.host + e.bytes)
        return reinterpret_cast<T*>(e.device + (address - e.host));
    }
    return nullptr;
  }

 private:
  struct Entry {
    uintptr_t host;
    size_t bytes;
    uint64_t device;
  };
  std::vector<Entry> entries_;
};

inline MjSelectArgs translate(const Problem& problem, const MjAttentionArgs& args,
                              const AddressMap& map) {
  MjSelectArgs result{};
  MjDeviceArgs& device = result.device;
  device.attention = args;
  MjAttentionArgs& a = device.attention;
  a.stages = nullptr;
  std::copy_n(args.stages, problem.program().stages.size(), result.stages);
  for (MjOperand* x :
       {&a.query, &a.key, &a.value, &a.output, &a.additive, &a.numerator, &a.weights})
    x->data = map.translate(x->data);
  for (float** x : {&a.lse, &a.row_max, &a.denominator}) *x = map.translate(*x);
  a.scalars = nullptr;
  a.tensors = nullptr;
  std::copy(problem.scalars().begin(), problem.scalars().end(), device.scalars);
  for (size_t i = 0; i < problem.tensors().size(); ++i) {
    MjTensor tensor = problem.tensors()[i];
    for (const void** x : {&tensor.data, &tensor.block_min, &tensor.block_max})
      *x = map.translate(*x);
    tensor.weight_start = map.translate(tensor.weight_start);
    tensor.weights = map.translate(tensor.weights);
    device.tensors[i] = tensor;
  }
  return result;
}

}  // namespace maskjit::conformance
