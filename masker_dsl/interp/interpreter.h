#pragma once
// The meaning of MaskIR: evaluates a function in f64 on one element (or one tile, for tile functions).
// Every other executor is tested against this one.
#include <array>
#include <cstdint>
#include <vector>

#include "masker_dsl/ir/function.h"

namespace maskjit::interp {

// A tensor argument, any strides (in elements). Extents of 1 broadcast.
struct TensorValue {
  const void* data = nullptr;
  ir::Element element = ir::Element::I32;
  std::vector<int64_t> extents;
  std::vector<int64_t> strides;
};

struct Environment {
  std::array<int64_t, ir::kNumVars> vars{};  // indexed by ir::Var; Score is in `score`
  double score = 0;
  std::vector<ir::Scalar> params;    // by Function::params index; Const ones included if not yet bound
  std::vector<TensorValue> tensors;  // by Function::tensors index

  int64_t& operator[](ir::Var var) { return vars[static_cast<size_t>(var)]; }
  int64_t operator[](ir::Var var) const { return vars[static_cast<size_t>(var)]; }
};

// Evaluates many elements of one function; keeps its scratch between calls. Not thread-safe.
class Evaluator {
 public:
  // Only the nodes that `result` needs are evaluated. The function must outlive the evaluator.
  Evaluator(const ir::Function& function, ir::Value result);
  ir::Scalar operator()(const Environment& environment);

 private:
  const ir::Function& function_;
  ir::Value result_;
  std::vector<ir::Value> order_;
  std::vector<ir::Scalar> values_;
};

// One op on constant operands: what Evaluator uses and what the folding pass must agree with. Not for
// leaves, Share and tensor ops.
ir::Scalar evaluate(ir::Op op, std::span<const ir::Scalar> operands);
ir::Scalar evaluate_share(double share, int64_t of);

}  // namespace maskjit::interp
