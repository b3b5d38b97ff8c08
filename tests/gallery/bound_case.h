#pragma once
// A gallery file bound to the values and tensors of a case, to be evaluated by the interpreter.
#include <array>
#include <string>
#include <vector>

#include "masker_dsl/driver/driver.h"
#include "masker_dsl/interp/interpreter.h"
#include "tests/gallery/check.h"

namespace maskjit::gallery {

std::string masks_folder();
std::string read_file(const std::string& path);

class BoundCase {
 public:
  // Errors are test failures; then ok() is false. The case must outlive this.
  BoundCase(const std::string& name, const Case& c);
  BoundCase(const BoundCase&) = delete;

  bool ok() const { return ok_; }
  const analysis::TileFunctions& tiles() const { return bound_.tiles; }
  const ir::Program& program() const { return bound_.program; }
  // Sizes, parameters and tensors; what belongs to an element or a tile is still 0.
  interp::Environment environment() const { return environment_; }

 private:
  void add_tensor(const ir::Tensor& tensor);

  const Case& case_;
  bool ok_ = false;
  driver::BoundProgram bound_;
  interp::Environment environment_;
  std::vector<std::vector<unsigned char>> storage_;
};

}  // namespace maskjit::gallery
