#pragma once
// Runs the maskjit program in a folder of its own, with a kernel cache of its own.
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tests/tools/io/temporary_folder.h"
#include "tools/io/tensor.h"

namespace maskjit::testing {

struct Outcome {
  int code = -1;  // exit code; 128 + signal if it was killed
  std::string out, err;
  nlohmann::json json() const { return nlohmann::json::parse(out, nullptr, false); }
};

class Program {
 public:
  // The working directory of every run.
  const TemporaryFolder& folder() const { return folder_; }
  void write(const std::string& name, const std::string& text) const;
  // A .npy file of counting, bounded numbers.
  void write_tensor(const std::string& name, std::vector<int64_t> shape,
                    ElementType type = ElementType::F32) const;
  // Small query, key and value files: q.npy, k.npy, v.npy.
  void write_attention(int64_t length = 40, ElementType type = ElementType::F32) const;

  Outcome run(const std::vector<std::string>& arguments, const std::string& standard_input = {},
              const std::vector<std::pair<std::string, std::string>>& environment = {}) const;

 private:
  TemporaryFolder folder_;
};

}  // namespace maskjit::testing
