#pragma once
// Checks and binds a source text and evaluates the result on elements with the interpreter.
#include <gtest/gtest.h>

#include <map>
#include <string>
#include <vector>

#include "masker_dsl/driver/driver.h"
#include "masker_dsl/interp/interpreter.h"

namespace maskjit::testing {

struct Shape {
  int64_t batches = 2, heads = 4, kv_heads = 2, q_len = 9, kv_len = 13, head_dim = 64;
};

struct Element {
  int64_t batch, head, kv_head, q, k, q_index;
  Shape shape;
};

struct TensorArgument {
  std::vector<int64_t> extents;
  std::vector<double> values;  // row major; converted to the element type
};

inline ir::Program check_program(const std::string& text, const std::string& entry = {}) {
  driver::CheckedSource checked =
      driver::check("test.masker", text, entry, [](const std::string&) { return std::nullopt; });
  EXPECT_TRUE(checked.program) << text << "\n" << diag::render_all(checked.diagnostics);
  ir::Program none;
  return checked.program ? *checked.program : none;
}

class Evaluation {
 public:
  using Values = std::map<std::string, std::string>;

  // Scalars as on a command line ("8", "10%"), tensors by name.
  Evaluation(const std::string& text, const std::string& entry = {}, const Values& values = {},
             const std::map<std::string, TensorArgument>& tensors = {})
      : program_(check_program(text, entry)) {
    std::map<std::string, driver::ParamValue> constants;
    std::map<std::string, ir::Scalar> runtime;
    for (const auto& [name, value] : values) {
      const auto parsed = driver::parse_param_value(value);
      EXPECT_TRUE(parsed) << value;
      constants.emplace(name, *parsed);
      if (const auto* scalar = std::get_if<ir::Scalar>(&*parsed)) runtime.emplace(name, *scalar);
    }
    diag::DiagnosticEmitter diagnostics;
    auto bound = driver::bind(program_, constants, diagnostics);
    EXPECT_TRUE(bound) << diag::render_all(diagnostics);
    if (!bound) return;
    bound_ = std::move(bound->program);
    for (const ir::Param& param : bound_.function.params()) {
      const auto given = runtime.find(param.name);
      environment_.params.push_back(
          given != runtime.end() ? given->second : param.default_value.value_or(ir::Scalar{}));
    }
    for (const ir::Tensor& tensor : bound_.function.tensors()) {
      const auto given = tensors.find(tensor.name);
      EXPECT_NE(given, tensors.end()) << tensor.name;
      if (given != tensors.end()) environment_.tensors.push_back(store(tensor, given->second));
    }
  }
  Evaluation(const Evaluation&) = delete;

  const ir::Program& program() const { return program_; }
  const ir::Program& bound() const { return bound_; }

  ir::Scalar operator()(const std::string& result, const Element& e, double s = 0) {
    return value(bound_.function.result(result), e, s);
  }
  ir::Scalar value(ir::Value node, const Element& e, double s = 0) {
    using ir::Var;
    interp::Environment& env = environment_;
    env[Var::Batch] = e.batch, env[Var::Head] = e.head, env[Var::KvHead] = e.kv_head;
    env[Var::Query] = e.q, env[Var::Key] = e.k, env[Var::QOffset] = e.q - e.q_index;
    env[Var::QLen] = e.shape.q_len, env[Var::KvLen] = e.shape.kv_len,
    env[Var::BatchSize] = e.shape.batches;
    env[Var::NumHeads] = e.shape.heads, env[Var::NumKvHeads] = e.shape.kv_heads;
    env[Var::HeadDim] = e.shape.head_dim;
    env.score = s;
    auto found = evaluators_.find(node.id);
    if (found == evaluators_.end()) {
      found = evaluators_.emplace(node.id, interp::Evaluator(bound_.function, node)).first;
    }
    return found->second(env);
  }

 private:
  interp::TensorValue store(const ir::Tensor& tensor, const TensorArgument& argument) {
    interp::TensorValue value;
    value.element = tensor.element;
    value.extents = argument.extents;
    value.strides.assign(argument.extents.size(), 1);
    for (size_t i = argument.extents.size() - 1; i > 0; --i)
      value.strides[i - 1] = value.strides[i] * argument.extents[i];
    if (tensor.element == ir::Element::Bit) return store_bits(std::move(value), argument);
    auto& bytes = storage_.emplace_back(argument.values.size() * 8);
    for (size_t i = 0; i < argument.values.size(); ++i) {
      switch (tensor.element) {
        case ir::Element::Bool:
          bytes[i] = argument.values[i] != 0;
          break;
        case ir::Element::I32:
          reinterpret_cast<int32_t*>(bytes.data())[i] = static_cast<int32_t>(argument.values[i]);
          break;
        case ir::Element::F32:
          reinterpret_cast<float*>(bytes.data())[i] = static_cast<float>(argument.values[i]);
          break;
        default:
          ADD_FAILURE() << "element type without a test";
      }
    }
    value.data = bytes.data();
    return value;
  }

  // Values other than 0 and 1 are weights.
  interp::TensorValue store_bits(interp::TensorValue value, const TensorArgument& argument) {
    std::vector<uint64_t> words(argument.values.size() / 64 + 1);
    auto& weights = weights_.emplace_back();
    for (size_t i = 0; i < argument.values.size(); ++i) {
      words[i / 64] |= uint64_t{argument.values[i] != 0} << i % 64;
      weights.push_back(static_cast<float>(argument.values[i]));
    }
    auto& bytes = storage_.emplace_back(words.size() * 8);
    std::memcpy(bytes.data(), words.data(), bytes.size());
    value.data = bytes.data();
    value.weights = weights.data();
    return value;
  }

  ir::Program program_, bound_;
  interp::Environment environment_;
  std::vector<std::vector<unsigned char>> storage_;
  std::vector<std::vector<float>> weights_;
  std::map<uint32_t, interp::Evaluator> evaluators_;
};

// Every element of `shape`, the last query aligned with the last key.
template <typename Visit>
void for_each_element(const Shape& shape, Visit visit) {
  Element e{};
  e.shape = shape;
  for (e.batch = 0; e.batch < shape.batches; ++e.batch) {
    for (e.head = 0; e.head < shape.heads; ++e.head) {
      e.kv_head = e.head * shape.kv_heads / shape.heads;
      for (e.q_index = 0; e.q_index < shape.q_len; ++e.q_index) {
        e.q = e.q_index + shape.kv_len - shape.q_len;
        for (e.k = 0; e.k < shape.kv_len; ++e.k) visit(e);
      }
    }
  }
}

}  // namespace maskjit::testing
