#include "masker_dsl/interp/interpreter.h"

#include <algorithm>

#include "masker_dsl/interp/elements.h"
#include "masker_dsl/ir/internal_error.h"

namespace maskjit::interp {
namespace {

ir::Word zero(ir::Type type) {
  ir::Word word;
  if (type == ir::Type::Float) {
    word.real = 0;
  } else {
    word.integer = 0;
  }
  return word;
}

// The offset of the element in elements, or false if a subscript is out of range.
bool locate(const TensorValue& tensor, std::span<const int64_t> subscripts, int64_t& offset) {
  offset = 0;
  for (size_t i = 0; i < subscripts.size(); ++i) {
    const int64_t extent = tensor.extents[i];
    if (extent == 1) continue;
    if (subscripts[i] < 0 || subscripts[i] >= extent) return false;
    offset += subscripts[i] * tensor.strides[i];
  }
  return true;
}

void check_rank(const TensorValue& tensor, size_t rank) {
  MASKJIT_CHECK(tensor.extents.size() == rank && tensor.strides.size() == rank,
                "a tensor argument of another rank than its subscripts");
}

// Minimum (or maximum) of the elements lo..hi of the last dimension.
ir::Word reduce(const TensorValue& tensor, std::span<const int64_t> leading, int64_t lo, int64_t hi,
                bool minimum) {
  const ir::Type type = ir::value_type(tensor.element);
  if (lo > hi) return zero(type);
  int64_t base = 0;
  if (!locate(tensor, leading, base)) return zero(type);
  const int64_t extent = tensor.extents.back();
  if (extent == 1) return load_element(tensor.data, tensor.element, base);
  const int64_t first = std::max<int64_t>(lo, 0);
  const int64_t last = std::min(hi, extent - 1);
  if (first > last) return zero(type);
  const ir::Op op = minimum ? ir::Op::Min : ir::Op::Max;
  const ir::Type order = type == ir::Type::Bool ? ir::Type::Int : type;
  const int64_t stride = tensor.strides.back();
  const bool outside = lo < 0 || hi >= extent;
  ir::Word best =
      outside ? zero(type) : load_element(tensor.data, tensor.element, base + first * stride);
  for (int64_t i = first; i <= last; ++i) {
    const ir::Word element = load_element(tensor.data, tensor.element, base + i * stride);
    best = ir::evaluate_words(op, order, best, element, zero(order));
  }
  return best;
}

// Is some (or every) element of the rectangle set? operands: leading subscripts, then lo and hi of
// the last two dimensions.
bool scan(const TensorValue& tensor, std::span<const int64_t> operands, bool every) {
  int64_t subscripts[ir::kMaxTensorRank];
  const size_t rank = tensor.extents.size();
  const size_t leading = rank - 2;
  check_rank(tensor, operands.size() - 2);
  std::copy_n(operands.begin(), leading, subscripts);
  const int64_t* ends = operands.data() + leading;
  if (ends[0] > ends[1] || ends[2] > ends[3]) return every;
  // Beyond the tensor everything is 0: one element outside stands for all of them.
  const auto end = [&](size_t i) {
    return std::clamp<int64_t>(ends[i], -1, tensor.extents[leading + i / 2]);
  };
  for (int64_t i = end(0); i <= end(1); ++i) {
    for (int64_t j = end(2); j <= end(3); ++j) {
      subscripts[leading] = i;
      subscripts[leading + 1] = j;
      const bool set = load(tensor, std::span(subscripts, rank)).integer != 0;
      if (set != every) return set;
    }
  }
  return every;
}

}  // namespace

ir::Word load(const TensorValue& tensor, std::span<const int64_t> subscripts) {
  check_rank(tensor, subscripts.size());
  int64_t offset = 0;
  if (!locate(tensor, subscripts, offset)) return zero(ir::value_type(tensor.element));
  return load_element(tensor.data, tensor.element, offset);
}

ir::Word weight(const TensorValue& tensor, std::span<const int64_t> subscripts) {
  check_rank(tensor, subscripts.size());
  ir::Word word = zero(ir::Type::Float);
  int64_t offset = 0;
  if (!locate(tensor, subscripts, offset)) return word;
  if (load_element(tensor.data, tensor.element, offset).integer == 0) return word;
  word.real = tensor.weights != nullptr ? static_cast<double>(tensor.weights[offset]) : 1.0;
  return word;
}

Evaluator::Evaluator(const ir::Function& function, ir::Value result)
    : type_(function.type(result)), result_(0) {
  const ir::Value roots[] = {result};
  std::vector<uint32_t> slots(function.size(), 0);
  for (ir::Value value : ir::reachable(function, roots)) {
    const ir::Node& node = function[value];
    const uint32_t slot = static_cast<uint32_t>(values_.size());
    slots[value.id] = slot;
    values_.push_back(zero(node.type));
    if (node.op == ir::Op::Const) {
      values_[slot] = ir::word_of(node.constant);
      continue;
    }
    Step step{};
    step.op = node.op;
    step.type = node.operands.empty() ? node.type : function.type(node.operands.back());
    step.index = node.index;
    step.target = slot;
    step.share = node.constant.real;
    if (ir::info(node.op).operands < 0) {
      step.type = ir::value_type(function.tensors()[node.index].element);
      step.subscripts = static_cast<uint32_t>(subscripts_.size());
      step.subscript_count = static_cast<uint32_t>(node.operands.size());
      for (ir::Value operand : node.operands) subscripts_.push_back(slots[operand.id]);
    } else {
      for (size_t i = 0; i < node.operands.size(); ++i) {
        step.operands[i] = slots[node.operands[i].id];
      }
    }
    steps_.push_back(step);
  }
  result_ = slots[result.id];
}

ir::Word Evaluator::leaf(const Step& step, const Environment& environment) const {
  if (step.op == ir::Op::Variable) {
    ir::Word word;
    if (step.type == ir::Type::Float) {
      word.real = environment.score;
    } else {
      word.integer = environment.vars[step.index];
    }
    return word;
  }
  MASKJIT_CHECK(step.index < environment.params.size(), "a parameter without a value");
  const ir::Scalar& param = environment.params[step.index];
  MASKJIT_CHECK(param.type == step.type, "a parameter bound to a value of another type");
  return ir::word_of(param);
}

ir::Word Evaluator::tensor(const Step& step, const Environment& environment) const {
  MASKJIT_CHECK(step.index < environment.tensors.size(), "a tensor without a value");
  const TensorValue& tensor = environment.tensors[step.index];
  MASKJIT_CHECK(ir::value_type(tensor.element) == step.type, "a tensor of another element type");
  int64_t subscripts[ir::kMaxTensorRank + 2] = {};
  for (uint32_t i = 0; i < step.subscript_count; ++i) {
    subscripts[i] = values_[subscripts_[step.subscripts + i]].integer;
  }
  if (step.op == ir::Op::TensorLoad) {
    return load(tensor, std::span(subscripts, step.subscript_count));
  }
  if (step.op == ir::Op::TensorWeight) {
    return weight(tensor, std::span(subscripts, step.subscript_count));
  }
  if (step.op == ir::Op::TensorAny || step.op == ir::Op::TensorAll) {
    ir::Word word;
    word.integer =
        scan(tensor, std::span(subscripts, step.subscript_count), step.op == ir::Op::TensorAll);
    return word;
  }
  const size_t leading = step.subscript_count - 2;
  check_rank(tensor, leading + 1);
  return reduce(tensor, std::span(subscripts, leading), subscripts[leading],
                subscripts[leading + 1], step.op == ir::Op::TensorMin);
}

ir::Word Evaluator::run(const Environment& environment) {
  for (const Step& step : steps_) {
    ir::Word& target = values_[step.target];
    switch (step.op) {
      case ir::Op::Variable:
      case ir::Op::Parameter:
        target = leaf(step, environment);
        break;
      case ir::Op::Share:
        target.integer = ir::share_of(step.share, values_[step.operands[0]].integer);
        break;
      case ir::Op::TensorLoad:
      case ir::Op::TensorMin:
      case ir::Op::TensorMax:
      case ir::Op::TensorWeight:
      case ir::Op::TensorAny:
      case ir::Op::TensorAll:
        target = tensor(step, environment);
        break;
      default:
        target = ir::evaluate_words(step.op, step.type, values_[step.operands[0]],
                                    values_[step.operands[1]], values_[step.operands[2]]);
        break;
    }
  }
  return values_[result_];
}

}  // namespace maskjit::interp
