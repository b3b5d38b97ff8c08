#include "runtime/plan/signature.h"

#include "masker_dsl/ir/internal_error.h"

namespace maskjit::plan {
namespace {

// Marks what the results of `function` read, by index.
struct Uses {
  std::vector<bool> params, tensors, extremes, weights;

  explicit Uses(const ir::Function& declared)
      : params(declared.params().size()),
        tensors(declared.tensors().size()),
        extremes(declared.tensors().size()),
        weights(declared.tensors().size()) {}

  void add(const ir::Function& function, std::optional<ir::Value> also = {}) {
    std::vector<ir::Value> roots;
    for (const ir::Result& result : function.results()) roots.push_back(result.value);
    if (also) roots.push_back(*also);
    for (ir::Value value : ir::reachable(function, roots)) {
      const ir::Node& node = function[value];
      switch (node.op) {
        case ir::Op::Parameter:
          params.at(node.index) = true;
          break;
        case ir::Op::TensorMin:
        case ir::Op::TensorMax:
          extremes.at(node.index) = true;
          tensors.at(node.index) = true;
          break;
        case ir::Op::TensorWeight:
          weights.at(node.index) = true;
          tensors.at(node.index) = true;
          break;
        case ir::Op::TensorAny:
        case ir::Op::TensorAll:
        case ir::Op::TensorLoad:
          tensors.at(node.index) = true;
          break;
        default:
          break;
      }
    }
  }
};

}  // namespace

ElementType element_type_of(ir::Element element) {
  switch (element) {
    case ir::Element::Bool:
      return ElementType::Bool;
    case ir::Element::Bit:
      break;
    case ir::Element::I8:
      return ElementType::I8;
    case ir::Element::U8:
      return ElementType::U8;
    case ir::Element::I16:
      return ElementType::I16;
    case ir::Element::I32:
      return ElementType::I32;
    case ir::Element::I64:
      return ElementType::I64;
    case ir::Element::F16:
      return ElementType::F16;
    case ir::Element::BF16:
      return ElementType::BF16;
    case ir::Element::F32:
      return ElementType::F32;
    case ir::Element::F64:
      return ElementType::F64;
  }
  MASKJIT_CHECK(false, "no element type of views");
}

Signature signature_of(const ir::Program& program, const analysis::TileFunctions& tiles) {
  const ir::Function& function = program.function;
  Uses uses(function);
  uses.add(function);
  if (program.dropout) uses.add(function, program.dropout->probability);
  uses.add(tiles.tile);
  uses.add(tiles.ranges);
  Signature signature;
  if (program.dropout) {
    ir::Function only = function;
    only.mutable_results() = {{"p", program.dropout->probability}};
    signature.dropout = DropoutClause{ir::compact(only, /*drop_unused_params=*/false),
                                      program.dropout->renormalise};
  }
  for (size_t i = 0; i < function.params().size(); ++i) {
    const ir::Param& param = function.params()[i];
    if (param.time != ir::BindingTime::Runtime) continue;
    signature.scalars.push_back({param.name, param.type, param.default_value, uses.params[i]});
  }
  for (size_t i = 0; i < function.tensors().size(); ++i) {
    const ir::Tensor& tensor = function.tensors()[i];
    const bool bits = tensor.element == ir::Element::Bit;
    signature.tensors.push_back(
        {tensor.name, bits ? ElementType::Bool : element_type_of(tensor.element), tensor.dims,
         uses.tensors[i], tiles.needs_summaries && uses.extremes[i], bits, uses.weights[i]});
  }
  return signature;
}

}  // namespace maskjit::plan
