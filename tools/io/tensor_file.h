#pragma once
// Tensors by the name that a user gives on the command line:
//   x.npy                  a NumPy file
//   x.npy:bf16             its 16-bit elements are the bits of bfloat16
//   x.safetensors:name     one tensor of a safetensors file
//   x.safetensors          its only tensor, or the one called as the caller expects
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tools/io/tensor.h"

namespace maskjit::io {

// `expected`: the name to look for in a .safetensors file when the user gives none ("query"); may
// be empty.
Result<Tensor> read_tensor(const std::string& argument, std::string_view expected = {});

struct NamedTensor {
  std::string argument;  // x.npy or x.safetensors[:name]
  std::string name;      // in a .safetensors file when the argument has none
  Tensor tensor;
};
// Writes all of them; those that name one .safetensors file share it.
Status write_tensors(const std::vector<NamedTensor>& tensors);

// What is wrong with a name as an output, before anything is computed.
Status check_output_name(const std::string& argument);

}  // namespace maskjit::io
