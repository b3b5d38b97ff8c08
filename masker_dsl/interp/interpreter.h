#pragma once
// The meaning of MaskIR: evaluates a function in f64 on one element (or one tile, for tile
// functions). Every other executor is tested against this one.
#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "masker_dsl/ir/evaluate.h"
#include "masker_dsl/ir/function.h"

namespace maskjit::interp {

// A tensor argument, any strides (in elements). Extents of 1 broadcast.
struct TensorValue {
  const void* data = nullptr;
  ir::Element element = ir::Element::I32;
  std::vector<int64_t> extents;
  std::vector<int64_t> strides;
  const float* weights = nullptr;  // Bit: of each element, at the offset of its bit; null: all 1
};

struct Environment {
  std::array<int64_t, ir::kNumVars> vars{};  // indexed by ir::Var; Score is in `score`
  double score = 0;
  std::vector<ir::Scalar>
      params;  // by Function::params index; Const ones included if not yet bound
  std::vector<TensorValue> tensors;  // by Function::tensors index

  int64_t& operator[](ir::Var var) { return vars[static_cast<size_t>(var)]; }
  int64_t operator[](ir::Var var) const { return vars[static_cast<size_t>(var)]; }
};

// Evaluates many elements of one function; keeps its scratch between calls. Not thread-safe.
class Evaluator {
 public:
  // Only the nodes that `result` needs are evaluated.
  Evaluator(const ir::Function& function, ir::Value result);
  ir::Scalar operator()(const Environment& environment) {
    return ir::scalar_of(type_, run(environment));
  }
  ir::Word run(const Environment& environment);
  ir::Type type() const { return type_; }

 private:
  // A node in a form that is quick to run: operand nodes are slots of values_.
  struct Step {
    ir::Op op;
    ir::Type type;   // of the (last) operand, of the element for tensor ops
    uint32_t index;  // Variable, Parameter, tensor
    uint32_t target;
    uint32_t operands[3];
    uint32_t subscripts;  // tensor ops: where subscripts_ has their operands
    uint32_t subscript_count;
    double share;
  };
  ir::Word leaf(const Step& step, const Environment& environment) const;
  ir::Word tensor(const Step& step, const Environment& environment) const;

  ir::Type type_;
  uint32_t result_;
  std::vector<Step> steps_;
  std::vector<uint32_t> subscripts_;
  std::vector<ir::Word> values_;
};

// One element, by the tensor's strides; subscripts as TensorLoad treats them. Int and Bool as
// `integer`.
ir::Word load(const TensorValue& tensor, std::span<const int64_t> subscripts);

// The weight of an element of a Bit tensor as TensorWeight gives it.
ir::Word weight(const TensorValue& tensor, std::span<const int64_t> subscripts);

// One op on constant operands: what Evaluator uses and what the folding pass agrees with.
using ir::evaluate;
using ir::evaluate_share;

}  // namespace maskjit::interp
