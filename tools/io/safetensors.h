#pragma once
// The safetensors format: an 8-byte header length, a JSON header, then the data of all tensors.
#include <string>
#include <utility>
#include <vector>

#include "tools/io/file.h"
#include "tools/io/tensor.h"

namespace maskjit::io {

struct SafetensorsEntry {
  std::string name;
  std::string type;  // as the file spells it: "F32", "BF16", ...
  std::vector<int64_t> shape;
};
// All tensors in the order of their names. `name` is shown in errors.
Result<std::vector<SafetensorsEntry>> list_safetensors(const std::string& name,
                                                       const FileBytes& file);

Result<Tensor> parse_safetensors(const std::string& name, const FileBytes& file,
                                 const std::string& tensor);

// Contiguous views. The header with its length, padded so that the data that follows is aligned to
// 8 bytes.
std::string safetensors_header(const std::vector<std::pair<std::string, TensorView>>& tensors);

}  // namespace maskjit::io
