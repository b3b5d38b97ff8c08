#include "masker_dsl/ir/function.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <utility>

#include "masker_dsl/ir/hash.h"
#include "masker_dsl/ir/internal_error.h"

namespace maskjit::ir {
namespace {

bool same_scalar(const Scalar& a, const Scalar& b) {
  return a.type == b.type && a.integer == b.integer &&
         std::bit_cast<uint64_t>(a.real) == std::bit_cast<uint64_t>(b.real);
}

bool same_node(const Node& a, const Node& b) {
  return a.op == b.op && a.type == b.type && a.index == b.index &&
         same_scalar(a.constant, b.constant) && a.operands == b.operands;
}

// One representation a value: unused fields are zero and there is one NaN.
Scalar normalised(Scalar scalar) {
  switch (scalar.type) {
    case Type::Bool:
      return Scalar::of_bool(scalar.integer != 0);
    case Type::Int:
      return Scalar::of_int(scalar.integer);
    case Type::Float:
      return Scalar::of_float(std::isnan(scalar.real) ? std::numeric_limits<double>::quiet_NaN()
                                                      : scalar.real);
  }
  internal_error(__FILE__, __LINE__, "unknown type");
}

}  // namespace

int operand_count(Op op, size_t tensor_rank) {
  if (op == Op::TensorLoad || op == Op::TensorWeight) return static_cast<int>(tensor_rank);
  if (op == Op::TensorMin || op == Op::TensorMax) return static_cast<int>(tensor_rank) + 1;
  if (op == Op::TensorAny || op == Op::TensorAll) return static_cast<int>(tensor_rank) + 2;
  return info(op).operands;
}

std::optional<Type> result_type(Op op, std::span<const Type> operands) {
  if (static_cast<int>(operands.size()) != info(op).operands) return std::nullopt;
  auto all = [&](Type type) {
    for (Type operand : operands) {
      if (operand != type) return false;
    }
    return true;
  };
  auto either = [&](Type a, Type b) -> std::optional<Type> {
    if (all(a)) return a;
    if (all(b)) return b;
    return std::nullopt;
  };
  auto only = [&](Type type, Type result) -> std::optional<Type> {
    return all(type) ? std::optional(result) : std::nullopt;
  };
  switch (op) {
    case Op::Const:
    case Op::Variable:
    case Op::Parameter:
    case Op::TensorLoad:
    case Op::TensorMin:
    case Op::TensorMax:
    case Op::TensorWeight:
    case Op::TensorAny:
    case Op::TensorAll:
      return std::nullopt;
    case Op::Add:
    case Op::Sub:
    case Op::Mul:
    case Op::Min:
    case Op::Max:
    case Op::Neg:
    case Op::Abs:
      return either(Type::Int, Type::Float);
    case Op::Share:
    case Op::FloorDiv:
    case Op::FloorMod:
    case Op::Shl:
    case Op::Shr:
      return only(Type::Int, Type::Int);
    case Op::And:
    case Op::Or:
    case Op::Xor:
    case Op::Not:
      return either(Type::Bool, Type::Int);
    case Op::Div:
    case Op::Exp:
    case Op::Log:
    case Op::Tanh:
    case Op::Sqrt:
      return only(Type::Float, Type::Float);
    case Op::Floor:
      return only(Type::Float, Type::Int);
    case Op::ToFloat:
      return only(Type::Int, Type::Float);
    case Op::Eq:
    case Op::Ne:
      return operands[0] == operands[1] ? std::optional(Type::Bool) : std::nullopt;
    case Op::Lt:
    case Op::Le:
      return either(Type::Int, Type::Float) ? std::optional(Type::Bool) : std::nullopt;
    case Op::Select:
      if (operands[0] != Type::Bool || operands[1] != operands[2]) return std::nullopt;
      return operands[1];
  }
  internal_error(__FILE__, __LINE__, "unknown op");
}

uint32_t Function::add_param(Param param) {
  for (uint32_t i = 0; i < params_.size(); ++i) {
    if (params_[i].name != param.name) continue;
    MASKJIT_CHECK(params_[i] == param, "two different parameters are called " + param.name);
    return i;
  }
  params_.push_back(std::move(param));
  return static_cast<uint32_t>(params_.size() - 1);
}

uint32_t Function::add_tensor(Tensor tensor) {
  for (uint32_t i = 0; i < tensors_.size(); ++i) {
    if (tensors_[i].name != tensor.name) continue;
    MASKJIT_CHECK(tensors_[i] == tensor, "two different tensors are called " + tensor.name);
    return i;
  }
  tensors_.push_back(std::move(tensor));
  return static_cast<uint32_t>(tensors_.size() - 1);
}

Value Function::append_unchecked(Node node) {
  uint32_t mask = 0;
  BindingTime time = BindingTime::Const;
  if (node.op == Op::Variable && node.index < uint32_t{kNumVars}) {
    mask = bit(node.var());
    time = binding_time_of(node.var());
  }
  if (node.op == Op::Parameter && node.index < params_.size()) time = params_[node.index].time;
  if (info(node.op).operands < 0) time = BindingTime::Tensor;
  for (Value operand : node.operands) {
    if (operand.id >= nodes_.size()) continue;
    mask |= variable_masks_[operand.id];
    time = std::max(time, binding_times_[operand.id]);
  }
  const Value value{static_cast<uint32_t>(nodes_.size())};
  nodes_.push_back(std::move(node));
  variable_masks_.push_back(mask);
  binding_times_.push_back(time);
  return value;
}

std::vector<std::pair<Value, Value>> Function::duplicates() const {
  std::unordered_multimap<uint64_t, uint32_t> seen;
  std::vector<std::pair<Value, Value>> pairs;
  for (uint32_t id = 0; id < nodes_.size(); ++id) {
    const uint64_t hash = mix(payload_hash(nodes_[id]), nodes_[id].operands);
    auto [first, last] = seen.equal_range(hash);
    for (; first != last; ++first) {
      if (same_node(nodes_[first->second], nodes_[id])) break;
    }
    if (first != last)
      pairs.push_back({Value{first->second}, Value{id}});
    else
      seen.emplace(hash, id);
  }
  return pairs;
}

Value Function::intern(Node node) {
  if (info(node.op).commutative && node.operands[1] < node.operands[0]) {
    std::swap(node.operands[0], node.operands[1]);
  }
  const uint64_t hash = mix(payload_hash(node), node.operands);
  auto [first, last] = interned_.equal_range(hash);
  for (; first != last; ++first) {
    if (same_node(nodes_[first->second], node)) return Value{first->second};
  }
  const Value value = append_unchecked(std::move(node));
  interned_.emplace(hash, value.id);
  return value;
}

Value Function::constant(Scalar value) {
  Node node;
  node.op = Op::Const;
  node.type = value.type;
  node.constant = normalised(value);
  return intern(std::move(node));
}

Value Function::variable(Var var) {
  Node node;
  node.op = Op::Variable;
  node.type = type_of(var);
  node.index = static_cast<uint32_t>(var);
  return intern(std::move(node));
}

Value Function::parameter(uint32_t index) {
  MASKJIT_CHECK(index < params_.size(), "no such parameter");
  Node node;
  node.op = Op::Parameter;
  node.type = params_[index].type;
  node.index = index;
  return intern(std::move(node));
}

Value Function::share(double share, Value of) {
  Node node;
  node.op = Op::Share;
  node.constant = Scalar::of_float(share);
  const Value operands[] = {of};
  return rebuild(node, operands);
}

Value Function::unary(Op op, Value a) {
  Node node;
  node.op = op;
  const Value operands[] = {a};
  return rebuild(node, operands);
}

Value Function::binary(Op op, Value a, Value b) {
  Node node;
  node.op = op;
  const Value operands[] = {a, b};
  return rebuild(node, operands);
}

Value Function::select(Value condition, Value a, Value b) {
  Node node;
  node.op = Op::Select;
  const Value operands[] = {condition, a, b};
  return rebuild(node, operands);
}

Value Function::tensor_op(Op op, uint32_t tensor, std::span<const Value> operands) {
  Node node;
  node.op = op;
  node.index = tensor;
  return rebuild(node, operands);
}

Value Function::rebuild(const Node& like, std::span<const Value> operands) {
  switch (like.op) {
    case Op::Const:
      return constant(like.constant);
    case Op::Variable:
      return variable(like.var());
    case Op::Parameter:
      return parameter(like.index);
    default:
      break;
  }
  std::vector<Type> types;
  for (Value operand : operands) {
    MASKJIT_CHECK(operand.id < nodes_.size(), "an operand is not a value of this function");
    types.push_back(type(operand));
  }
  Node node;
  node.op = like.op;
  node.operands.assign(operands.begin(), operands.end());
  std::optional<Type> type;
  if (info(like.op).operands < 0) {
    node.index = like.index;
    MASKJIT_CHECK(like.index < tensors_.size(), "no such tensor");
    type = tensor_op_type(like.op, tensors_[like.index], types);
  } else {
    if (like.op == Op::Share) node.constant = normalised(Scalar::of_float(like.constant.real));
    type = result_type(like.op, types);
  }
  if (!type) {
    std::string list;
    for (Type t : types) list += (list.empty() ? "" : ", ") + std::string(name_of(t));
    internal_error(__FILE__, __LINE__,
                   fmt::format("{} is not defined on ({})", info(like.op).name, list));
  }
  node.type = *type;
  return intern(std::move(node));
}

std::optional<Type> tensor_op_type(Op op, const Tensor& tensor, std::span<const Type> operands) {
  if (static_cast<int>(operands.size()) != operand_count(op, tensor.dims.size())) {
    return std::nullopt;
  }
  for (Type operand : operands) {
    if (operand != Type::Int) return std::nullopt;
  }
  const Type loaded = value_type(tensor.element);
  const bool bits = tensor.element == Element::Bit;
  switch (op) {
    case Op::TensorMin:
    case Op::TensorMax:
      if (bits) return std::nullopt;
      return loaded == Type::Bool ? Type::Int : loaded;
    case Op::TensorWeight:
      return bits ? std::optional(Type::Float) : std::nullopt;
    case Op::TensorAny:
    case Op::TensorAll:
      return bits && tensor.dims.size() >= 2 ? std::optional(Type::Bool) : std::nullopt;
    default:
      return loaded;
  }
}

Value Function::result(std::string_view name) const {
  for (const Result& result : results_) {
    if (result.name == name) return result.value;
  }
  return {};
}

BindingTime Function::binding_time(Value value) const { return binding_times_[value.id]; }
uint32_t Function::variables_of(Value value) const { return variable_masks_[value.id]; }

}  // namespace maskjit::ir
