#pragma once
// Random well-typed functions and environments to run them in: a seed -> a function with the
// results "mask" (Bool), "value" (Int) and "score" (Float), whose nodes use every op of the table.
// Environments keep to the limits that value ranges rely on (ir::kMaxPosition, ir::kMaxRuntimeInt).
#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "masker_dsl/interp/interpreter.h"
#include "masker_dsl/ir/function.h"

namespace maskjit::random {

using Generator = std::mt19937_64;

struct FunctionOptions {
  int nodes = 24;       // beyond the leaves
  bool floats = true;   // Float arithmetic
  bool tensors = true;  // tensor arguments
  bool params = true;
  bool small = false;  // few leaves, so that equal operands and constants meet often
  bool tile = false;   // tile bounds and TensorMin / TensorMax instead of the element's q and k
};

inline int64_t below(Generator& generator, int64_t n) {
  return static_cast<int64_t>(generator() % static_cast<uint64_t>(n));
}
inline bool chance(Generator& generator, int percent) { return below(generator, 100) < percent; }

template <typename T>
const T& pick(Generator& generator, const std::vector<T>& from) {
  return from[static_cast<size_t>(below(generator, static_cast<int64_t>(from.size())))];
}

inline int64_t random_int(Generator& generator) {
  switch (below(generator, 8)) {
    case 0:
      return std::vector<int64_t>{std::numeric_limits<int64_t>::min(),
                                  std::numeric_limits<int64_t>::max(),
                                  int64_t{1} << 31,
                                  -(int64_t{1} << 40),
                                  63,
                                  64,
                                  65}[static_cast<size_t>(below(generator, 7))];
    case 1:
      return int64_t{1} << below(generator, 12);
    case 2:
      return (int64_t{1} << below(generator, 12)) - 1;
    default:
      return below(generator, 12) - 3;
  }
}

inline double random_float(Generator& generator) {
  static const std::vector<double> special = {0.0,
                                              -0.0,
                                              1.0,
                                              -1.0,
                                              0.5,
                                              8.0,
                                              1e300,
                                              5e-324,
                                              std::numeric_limits<double>::infinity(),
                                              -std::numeric_limits<double>::infinity(),
                                              std::numeric_limits<double>::quiet_NaN()};
  if (chance(generator, 40)) return pick(generator, special);
  return static_cast<double>(below(generator, 4001) - 2000) / 128.0;
}

// Builds one function; the pools hold what operands are taken from.
class FunctionBuilder {
 public:
  FunctionBuilder(Generator& generator, const FunctionOptions& options)
      : generator_(generator), options_(options) {}

  ir::Function run() {
    signature();
    options_.small ? small_leaves() : leaves();
    const int leaf_count = static_cast<int>(function_.size());
    for (int tries = 0; tries < options_.nodes * 20; ++tries) {
      if (static_cast<int>(function_.size()) >= leaf_count + options_.nodes) break;
      step();
    }
    function_.add_result("mask", pools_[static_cast<size_t>(ir::Type::Bool)].back());
    function_.add_result("value", pools_[static_cast<size_t>(ir::Type::Int)].back());
    function_.add_result("score", pools_[static_cast<size_t>(ir::Type::Float)].back());
    return std::move(function_);
  }

 private:
  void keep(ir::Value value) {
    pools_[static_cast<size_t>(function_.type(value))].push_back(value);
  }

  // Recent values are preferred, so that expressions get deep.
  ir::Value operand(ir::Type type) {
    const std::vector<ir::Value>& pool = pools_[static_cast<size_t>(type)];
    const int64_t size = static_cast<int64_t>(pool.size());
    const int64_t window =
        chance(generator_, 60) ? std::min<int64_t>(size, options_.small ? 2 : 5) : size;
    return pool[static_cast<size_t>(size - 1 - below(generator_, window))];
  }

  void small_leaves() {
    keep(function_.constant_bool(chance(generator_, 50)));
    keep(function_.constant_int(random_int(generator_)));
    keep(function_.constant_int(below(generator_, 5) - 1));
    keep(function_.constant_float(random_float(generator_)));
    keep(function_.variable(ir::Var::Score));
    keep(function_.variable(options_.tile ? ir::Var::QueryLo : ir::Var::Query));
    keep(function_.variable(options_.tile ? ir::Var::KeyHi : ir::Var::Key));
    for (uint32_t i = 0; i < function_.params().size(); ++i) {
      if (chance(generator_, 30)) keep(function_.parameter(i));
    }
    keep(function_.binary(ir::Op::Lt, operand(ir::Type::Int), operand(ir::Type::Int)));
  }

  void signature() {
    using ir::BindingTime;
    if (options_.params) {
      int number = 0;
      for (ir::Type type : {ir::Type::Int, ir::Type::Float, ir::Type::Bool}) {
        for (BindingTime time : {BindingTime::Const, BindingTime::Runtime}) {
          ir::Param param;
          param.name = "p" + std::to_string(number++);
          param.type = type;
          param.time = time;
          if (chance(generator_, 50)) function_.add_param(std::move(param));
        }
      }
    }
    if (!options_.tensors) return;
    const int64_t tensors = below(generator_, 3);
    for (int64_t i = 0; i < tensors; ++i) {
      ir::Tensor tensor;
      tensor.name = "t" + std::to_string(i);
      tensor.element = static_cast<ir::Element>(below(generator_, 11));
      const int64_t rank = 1 + below(generator_, 3);
      for (int64_t d = 0; d < rank; ++d) {
        tensor.dims.push_back({static_cast<ir::Dim::Kind>(below(generator_, 7)), 3});
        if (tensor.dims.back().kind != ir::Dim::Kind::Constant) tensor.dims.back().constant = 0;
      }
      function_.add_tensor(std::move(tensor));
    }
  }

  void leaves() {
    for (int i = 0; i < ir::kNumVars; ++i) {
      const ir::Var var = static_cast<ir::Var>(i);
      const bool bound = var >= ir::Var::QueryLo;
      const bool element = var == ir::Var::Query || var == ir::Var::Key;
      if (options_.tile ? element : bound) continue;
      if (element || bound || var == ir::Var::Score || chance(generator_, 40)) {
        keep(function_.variable(var));
      }
    }
    for (uint32_t i = 0; i < function_.params().size(); ++i) keep(function_.parameter(i));
    for (int i = 0; i < 4; ++i) keep(function_.constant_int(random_int(generator_)));
    for (int i = 0; i < 3; ++i) keep(function_.constant_float(random_float(generator_)));
    keep(function_.constant_bool(chance(generator_, 50)));
  }

  void step() {
    const ir::Op op = static_cast<ir::Op>(below(generator_, ir::kNumOps));
    const ir::Type numeric =
        options_.floats && chance(generator_, 30) ? ir::Type::Float : ir::Type::Int;
    const ir::Type logical = chance(generator_, 70) ? ir::Type::Bool : ir::Type::Int;
    using ir::Op;
    switch (op) {
      case Op::Const:
        if (chance(generator_, 70)) return keep(function_.constant_int(random_int(generator_)));
        return keep(function_.constant_float(random_float(generator_)));
      case Op::Variable:
        if (options_.tile) return;
        return keep(function_.binary(Op::Sub, function_.variable(ir::Var::Query),
                                     function_.variable(ir::Var::Key)));
      case Op::Parameter:
        return;
      case Op::Share:
        return keep(
            function_.share(static_cast<double>(below(generator_, 9)) / 8, operand(ir::Type::Int)));
      case Op::Add:
      case Op::Sub:
      case Op::Mul:
      case Op::Min:
      case Op::Max:
        return keep(function_.binary(op, operand(numeric), operand(numeric)));
      case Op::Neg:
      case Op::Abs:
        return keep(function_.unary(op, operand(numeric)));
      case Op::FloorDiv:
      case Op::FloorMod:
      case Op::Shl:
      case Op::Shr:
        return keep(function_.binary(op, operand(ir::Type::Int), operand(ir::Type::Int)));
      case Op::And:
      case Op::Or:
      case Op::Xor:
        return keep(function_.binary(op, operand(logical), operand(logical)));
      case Op::Not:
        return keep(function_.unary(op, operand(logical)));
      case Op::Div:
        if (!options_.floats) return;
        return keep(function_.binary(op, operand(ir::Type::Float), operand(ir::Type::Float)));
      case Op::Exp:
      case Op::Log:
      case Op::Tanh:
      case Op::Sqrt:
      case Op::Floor:
        if (!options_.floats) return;
        return keep(function_.unary(op, operand(ir::Type::Float)));
      case Op::ToFloat:
        return keep(function_.unary(op, operand(ir::Type::Int)));
      case Op::Eq:
      case Op::Ne: {
        const ir::Type type = chance(generator_, 25) ? ir::Type::Bool : numeric;
        return keep(function_.binary(op, operand(type), operand(type)));
      }
      case Op::Lt:
      case Op::Le:
        return keep(function_.binary(op, operand(numeric), operand(numeric)));
      case Op::Select: {
        const ir::Type type = static_cast<ir::Type>(below(generator_, 3));
        return keep(function_.select(operand(ir::Type::Bool), operand(type), operand(type)));
      }
      case Op::TensorLoad:
      case Op::TensorMin:
      case Op::TensorMax: {
        if (function_.tensors().empty()) return;
        const uint32_t index = static_cast<uint32_t>(
            below(generator_, static_cast<int64_t>(function_.tensors().size())));
        // Bits have no minimum.
        const bool bits = function_.tensors()[index].element == ir::Element::Bit;
        const Op use = options_.tile && !bits ? op : Op::TensorLoad;
        std::vector<ir::Value> subscripts;
        const int count = ir::operand_count(use, function_.tensors()[index].dims.size());
        for (int i = 0; i < count; ++i) subscripts.push_back(operand(ir::Type::Int));
        return keep(function_.tensor_op(use, index, subscripts));
      }
      case Op::TensorWeight:
      case Op::TensorAny:
      case Op::TensorAll: {
        for (uint32_t index = 0; index < function_.tensors().size(); ++index) {
          const ir::Tensor& tensor = function_.tensors()[index];
          const bool tile = op != Op::TensorWeight;
          if (tile && !options_.tile) return;
          if (tensor.element != ir::Element::Bit || (tile && tensor.dims.size() < 2)) continue;
          std::vector<ir::Value> subscripts;
          const int count = ir::operand_count(op, tensor.dims.size());
          for (int i = 0; i < count; ++i) subscripts.push_back(operand(ir::Type::Int));
          return keep(function_.tensor_op(op, index, subscripts));
        }
        return;
      }
    }
  }

  Generator& generator_;
  FunctionOptions options_;
  ir::Function function_;
  std::vector<ir::Value> pools_[3];
};

inline ir::Function function(Generator& generator, const FunctionOptions& options = {}) {
  return FunctionBuilder(generator, options).run();
}

// An environment with the memory that its tensors point to. Not to be copied.
struct Environment {
  interp::Environment values;
  std::vector<std::vector<unsigned char>> storage;

  Environment() = default;
  Environment(const Environment&) = delete;
  Environment& operator=(const Environment&) = delete;
  Environment(Environment&&) = default;
};

inline ir::Scalar random_argument(Generator& generator, const ir::Param& param) {
  switch (param.type) {
    case ir::Type::Bool:
      return ir::Scalar::of_bool(chance(generator, 50));
    case ir::Type::Int: {
      if (param.time == ir::BindingTime::Const) return ir::Scalar::of_int(random_int(generator));
      if (chance(generator, 20)) {
        return ir::Scalar::of_int(chance(generator, 50) ? ir::kMaxRuntimeInt : -ir::kMaxRuntimeInt);
      }
      return ir::Scalar::of_int(below(generator, 40) - 10);
    }
    case ir::Type::Float:
      return ir::Scalar::of_float(random_float(generator));
  }
  return {};
}

inline Environment environment(Generator& generator, const ir::Function& function) {
  Environment out;
  for (int i = 0; i < ir::kNumVars; ++i) {
    const ir::Var var = static_cast<ir::Var>(i);
    const bool is_signed = var == ir::Var::Query || var == ir::Var::QOffset ||
                           var == ir::Var::QueryLo || var == ir::Var::QueryHi;
    int64_t value =
        chance(generator, 10) ? ir::kMaxPosition - below(generator, 2) : below(generator, 20);
    if (is_signed && chance(generator, 30)) value = -value;
    out.values[var] = value;
  }
  out.values.score = random_float(generator);
  for (const ir::Param& param : function.params()) {
    out.values.params.push_back(random_argument(generator, param));
  }
  for (const ir::Tensor& tensor : function.tensors()) {
    interp::TensorValue value;
    value.element = tensor.element;
    int64_t elements = 1;
    for (size_t d = 0; d < tensor.dims.size(); ++d) {
      value.extents.push_back(chance(generator, 25) ? 1 : below(generator, 9));
      elements *= value.extents.back();
    }
    value.strides.assign(value.extents.size(), 1);
    for (size_t d = value.extents.size(); d-- > 1;) {
      value.strides[d - 1] = value.strides[d] * value.extents[d];
    }
    if (tensor.element == ir::Element::Bit) {
      // Rows start at words.
      for (size_t d = value.strides.size(); d-- > 1;) value.strides[d - 1] *= 64;
      elements *= 64;
      auto& words = out.storage.emplace_back(static_cast<size_t>(elements / 64 + 1) * 8);
      for (unsigned char& byte : words) byte = static_cast<unsigned char>(generator());
      auto& weights = out.storage.emplace_back(static_cast<size_t>(elements + 1) * sizeof(float));
      for (size_t i = 0; i < weights.size(); i += sizeof(float)) {
        const float weight = static_cast<float>(1 + below(generator, 8)) / 8;
        std::memcpy(weights.data() + i, &weight, sizeof(weight));
      }
      value.data = out.storage[out.storage.size() - 2].data();
      if (chance(generator, 70)) {
        value.weights = reinterpret_cast<const float*>(out.storage.back().data());
      }
      out.values.tensors.push_back(std::move(value));
      continue;
    }
    // Small numbers in any element type, so that comparisons between tensors are not trivial.
    std::vector<unsigned char> bytes(
        static_cast<size_t>(elements * ir::element_size(tensor.element)) + 1, 0);
    for (int64_t i = 0; i < elements; ++i) {
      const int size = ir::element_size(tensor.element);
      if (tensor.element == ir::Element::F32) {
        const float number = static_cast<float>(random_float(generator));
        std::memcpy(bytes.data() + i * size, &number, sizeof(number));
      } else if (tensor.element == ir::Element::F64) {
        const double number = random_float(generator);
        std::memcpy(bytes.data() + i * size, &number, sizeof(number));
      } else if (tensor.element == ir::Element::Bool) {
        bytes[static_cast<size_t>(i)] = static_cast<unsigned char>(below(generator, 2));
      } else if (ir::value_type(tensor.element) == ir::Type::Float) {
        const uint16_t bits = static_cast<uint16_t>(generator());
        std::memcpy(bytes.data() + i * size, &bits, sizeof(bits));
      } else {
        const int64_t number = below(generator, 12) - (tensor.element == ir::Element::U8 ? 0 : 4);
        std::memcpy(bytes.data() + i * size, &number, static_cast<size_t>(size));
      }
    }
    out.storage.push_back(std::move(bytes));
    value.data = out.storage.back().data();
    out.values.tensors.push_back(std::move(value));
  }
  return out;
}

}  // namespace maskjit::random
