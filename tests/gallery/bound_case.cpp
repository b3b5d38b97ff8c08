#include "tests/gallery/bound_case.h"

#include <gtest/gtest.h>

#include <cstring>
#include <fstream>
#include <sstream>

namespace maskjit::gallery {

std::string masks_folder() { return std::string(MASKJIT_SOURCE_DIR) + "/examples/masks/"; }

std::string read_file(const std::string& path) {
  std::ifstream stream(path, std::ios::binary);
  std::stringstream text;
  text << stream.rdbuf();
  return text.str();
}

BoundCase::BoundCase(const std::string& name, const Case& c) : case_(c) {
  const std::string path = masks_folder() + name + ".masker";
  const driver::CheckedSource checked = driver::check(path, read_file(path));
  EXPECT_TRUE(checked.diagnostics.diagnostics().empty()) << diag::render_all(checked.diagnostics);
  if (!checked.program) return;
  std::map<std::string, driver::ParamValue> values;
  for (const auto& [key, text] : c.values) {
    const auto value = driver::parse_param_value(text);
    if (value) values.emplace(key, *value);
    EXPECT_TRUE(value) << text;
  }
  diag::DiagnosticEmitter diagnostics;
  auto bound = driver::bind(*checked.program, values, diagnostics);
  EXPECT_TRUE(bound) << diag::render_all(diagnostics);
  if (!bound) return;
  bound_ = std::move(*bound);
  const ir::Function& function = bound_.program.function;
  for (const ir::Param& param : function.params()) {
    const auto given = values.find(param.name);
    ir::Scalar scalar = param.default_value.value_or(ir::Scalar{});
    if (given != values.end()) scalar = std::get<ir::Scalar>(given->second);
    environment_.params.push_back(scalar);
  }
  const Launch& launch = c.launch;
  using ir::Var;
  environment_[Var::QLen] = launch.q_len;
  environment_[Var::KvLen] = launch.kv_len;
  environment_[Var::QOffset] = launch.offset();
  environment_[Var::BatchSize] = launch.batches;
  environment_[Var::NumHeads] = launch.heads;
  environment_[Var::NumKvHeads] = launch.kv_heads;
  environment_[Var::HeadDim] = 64;
  ok_ = true;
  for (const ir::Tensor& tensor : function.tensors()) add_tensor(tensor);
}

void BoundCase::add_tensor(const ir::Tensor& tensor) {
  const auto given = case_.tensors.find(tensor.name);
  if (given == case_.tensors.end()) {
    ADD_FAILURE() << "no tensor " << tensor.name;
    ok_ = false;
    return;
  }
  const TensorData& data = given->second;
  interp::TensorValue value;
  value.element = tensor.element;
  value.extents = data.extents;
  value.strides.assign(data.extents.size(), 1);
  for (size_t i = data.extents.size() - 1; i > 0; --i)
    value.strides[i - 1] = value.strides[i] * data.extents[i];
  const size_t count = static_cast<size_t>(value.strides[0] * data.extents[0]);
  const bool real = ir::value_type(tensor.element) == ir::Type::Float;
  EXPECT_EQ(data.extents.size(), tensor.dims.size()) << tensor.name;
  EXPECT_EQ(real ? data.reals.size() : data.integers.size(), count) << tensor.name;
  const size_t size = static_cast<size_t>(ir::element_size(tensor.element));
  std::vector<unsigned char>& bytes = storage_.emplace_back(count * size);
  for (size_t i = 0; i < count; ++i) {
    const auto store = [&](auto element) { std::memcpy(&bytes[i * size], &element, size); };
    switch (tensor.element) {
      case ir::Element::Bool:
        store(static_cast<uint8_t>(data.integers[i]));
        break;
      case ir::Element::I32:
        store(static_cast<int32_t>(data.integers[i]));
        break;
      case ir::Element::I64:
        store(data.integers[i]);
        break;
      case ir::Element::F32:
        store(static_cast<float>(data.reals[i]));
        break;
      default:
        ADD_FAILURE() << "an element type that no file of the gallery uses";
        return;
    }
  }
  value.data = bytes.data();
  environment_.tensors.push_back(value);
}

}  // namespace maskjit::gallery
