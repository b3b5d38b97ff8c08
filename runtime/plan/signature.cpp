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

int64_t structure(const ir::Program& program, const std::vector<ir::Stage::Argument>& arguments,
                  std::string_view name) {
  for (const ir::Stage::Argument& argument : arguments) {
    if (argument.name != name) continue;
    const ir::Node& node = program.function[argument.value];
    MASKJIT_CHECK(node.op == ir::Op::Const, "a structural argument that is not constant");
    return node.constant.integer;
  }
  MASKJIT_CHECK(false, "a scorer without " + std::string(name));
  return 0;
}

StageParameter stage_parameter(const ir::Program& program, const ir::Stage& stage) {
  StageParameter out;
  const bool lsh = stage.rule == ir::Stage::Rule::MagicPig;
  const auto& arguments = lsh ? stage.arguments : stage.scorer_arguments;
  const auto number = [&](std::string_view name) {
    return static_cast<int>(structure(program, arguments, name));
  };
  out.scorer_name = lsh ? "magic_pig" : stage.scorer;
  for (const ir::Stage::Argument& argument : arguments) {
    if (argument.tensor)
      out.tensors.emplace_back(argument.name, program.function.tensors()[*argument.tensor].name);
  }
  if (lsh) {
    out.part = KeyIndex::Lsh{number("tables"), number("bits"), number("centre") != 0};
  } else if (stage.scorer == "page_bound") {
    out.part = KeyIndex::PageBound{number("page"), number("bits")};
    out.min_pages = number("min_pages");
  } else if (stage.scorer == "channels") {
    out.part = KeyIndex::Channels{{}, number("bits")};
  } else if (stage.scorer == "hash_bits") {
    out.part = KeyIndex::HashBits{number("bits"),
                                  number("layers"),
                                  number("hidden"),
                                  static_cast<KeyIndex::Activation>(number("activation")),
                                  {},
                                  {}};
  } else if (stage.scorer == "pq_codes") {
    out.part = KeyIndex::PqCodes{number("sub_dims"), number("bits")};
  }
  return out;
}

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
  uses.add(ir::with_stage_results(program));
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
  for (const ir::Stage& stage : program.stages) {
    signature.stages.push_back(stage_parameter(program, stage));
    for (const auto& [name, tensor] : signature.stages.back().tensors) {
      for (TensorParameter& parameter : signature.tensors)
        parameter.indexed |= parameter.name == tensor;
    }
  }
  return signature;
}

}  // namespace maskjit::plan
