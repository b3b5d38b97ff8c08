#include "codegen/lower/function_lowering.h"

#include <cmath>
#include <cstddef>
#include <limits>

#include "kernels_templates/include/device_abi.h"
#include "masker_dsl/ir/internal_error.h"

namespace maskjit::codegen {

using analysis::Interval;
using ir::Op;
using ir::Type;
using ir::Var;

namespace {

constexpr Interval kInt32{std::numeric_limits<int32_t>::min(), std::numeric_limits<int32_t>::max()};
// Values strictly inside 32 bits compare right with a saturated 64-bit value.
constexpr Interval kInsideInt32{kInt32.lo + 1, kInt32.hi - 1};

// The nodes that `root` needs, operands first.
std::vector<ir::Value> reachable(const ir::Function& function, ir::Value root) {
  std::vector<bool> needed(function.size(), false);
  needed[root.id] = true;
  std::vector<ir::Value> order;
  for (uint32_t id = root.id + 1; id-- > 0;) {
    if (!needed[id]) continue;
    order.push_back({id});
    for (ir::Value operand : function[ir::Value{id}].operands) needed[operand.id] = true;
  }
  return {order.rbegin(), order.rend()};
}

}  // namespace

FunctionLowering::FunctionLowering(const ir::Function& function, const ProblemSpec& problem,
                                   ArgumentLayout layout, llvm::IRBuilder<>& builder,
                                   llvm::Value* args)
    : function_(function),
      problem_(problem),
      layout_(layout),
      builder_(builder),
      args_(args),
      ranges_(analysis::value_ranges(function)) {}

bool FunctionLowering::narrow(ir::Value value) const {
  const analysis::ValueRange& range = ranges_[value.id];
  return !range.may_wrap && range.interval.within(kInt32);
}

llvm::Value* FunctionLowering::resize(llvm::Value* value, llvm::Type* type) {
  return value->getType() == type ? value : builder_.CreateSExtOrTrunc(value, type);
}

llvm::Value* FunctionLowering::as_i64(llvm::Value* value) {
  if (value->getType()->isIntegerTy(1)) return builder_.CreateZExt(value, builder_.getInt64Ty());
  return resize(value, builder_.getInt64Ty());
}

llvm::Value* FunctionLowering::load_invariant(llvm::Value* pointer, llvm::Type* type,
                                              unsigned alignment) {
  llvm::LoadInst* load = builder_.CreateAlignedLoad(type, pointer, llvm::Align(alignment));
  load->setMetadata(llvm::LLVMContext::MD_invariant_load,
                    llvm::MDNode::get(builder_.getContext(), {}));
  return load;
}

llvm::Value* FunctionLowering::load_field(size_t offset, llvm::Type* type) {
  llvm::Value* pointer = builder_.CreateConstInBoundsGEP1_64(builder_.getInt8Ty(), args_, offset);
  return load_invariant(pointer, type, 8);
}

llvm::Value* FunctionLowering::scalars() {
  if (layout_ == ArgumentLayout::Host)
    return load_field(offsetof(MjAttentionArgs, scalars), builder_.getPtrTy());
  return builder_.CreateConstInBoundsGEP1_64(builder_.getInt8Ty(), args_,
                                             offsetof(MjDeviceArgs, scalars));
}

llvm::Value* FunctionLowering::tensors() {
  if (layout_ == ArgumentLayout::Host)
    return load_field(offsetof(MjAttentionArgs, tensors), builder_.getPtrTy());
  return builder_.CreateConstInBoundsGEP1_64(builder_.getInt8Ty(), args_,
                                             offsetof(MjDeviceArgs, tensors));
}

llvm::Value* FunctionLowering::math_call(const char* name, llvm::Value* argument) {
  llvm::Module* module = builder_.GetInsertBlock()->getModule();
  llvm::Type* f32 = builder_.getFloatTy();
  llvm::FunctionCallee callee = module->getOrInsertFunction(name, f32, f32);
  return builder_.CreateCall(callee, {argument});
}

llvm::Value* FunctionLowering::lower(ir::Value value) {
  for (ir::Value id : reachable(function_, value)) {
    if (lowered_.contains(id.id)) continue;
    lowered_[id.id] = lower_node(id, function_[id]);
  }
  return lowered_.at(value.id);
}

llvm::Value* FunctionLowering::variable(Var var) {
  const auto given = given_.find(var);
  if (given != given_.end()) return given->second;
  const auto size = [&](size_t offset) {
    return builder_.CreateTrunc(load_field(offset, builder_.getInt64Ty()), builder_.getInt32Ty());
  };
  switch (var) {
    case Var::QLen:
      return size(offsetof(MjAttentionArgs, q_len));
    case Var::KvLen:
      return size(offsetof(MjAttentionArgs, kv_len));
    case Var::QOffset:
      return size(offsetof(MjAttentionArgs, q_offset));
    case Var::BatchSize:
      return size(offsetof(MjAttentionArgs, batch_size));
    case Var::NumHeads:
      return size(offsetof(MjAttentionArgs, num_heads));
    case Var::NumKvHeads:
      return size(offsetof(MjAttentionArgs, num_kv_heads));
    case Var::HeadDim:
      return builder_.getInt32(static_cast<uint32_t>(problem_.head_dim));
    case Var::Batch:
    case Var::Head:
    case Var::KvHead:
    case Var::Query:
    case Var::Key:
    case Var::Score:
    case Var::QueryLo:
    case Var::QueryHi:
    case Var::KeyLo:
    case Var::KeyHi:
      break;
  }
  MASKJIT_CHECK(false, "the hook has no variable " + std::string(ir::name_of(var)));
  return nullptr;
}

llvm::Value* FunctionLowering::parameter(const ir::Node& node) {
  const ir::Param& param = function_.params()[node.index];
  MASKJIT_CHECK(param.time == ir::BindingTime::Runtime,
                "parameter " + param.name + " is not bound");
  // Scalars are numbered over the run-time parameters in order.
  int64_t position = 0;
  for (uint32_t i = 0; i < node.index; ++i) {
    if (function_.params()[i].time == ir::BindingTime::Runtime) ++position;
  }
  llvm::Value* slot =
      builder_.CreateConstInBoundsGEP1_64(builder_.getInt64Ty(), scalars(), position);
  if (param.type == Type::Float) {
    return builder_.CreateFPTrunc(load_invariant(slot, builder_.getDoubleTy(), 8),
                                  builder_.getFloatTy());
  }
  llvm::Value* value = load_invariant(slot, builder_.getInt64Ty(), 8);
  if (param.type == Type::Bool) return builder_.CreateICmpNE(value, builder_.getInt64(0));
  return value;
}

llvm::Value* FunctionLowering::share(const ir::Node& node) {
  llvm::Value* of =
      builder_.CreateSIToFP(as_i64(lowered_.at(node.operands[0].id)), builder_.getDoubleTy());
  llvm::Value* product =
      builder_.CreateFMul(of, llvm::ConstantFP::get(builder_.getDoubleTy(), node.constant.real));
  llvm::Value* floor = builder_.CreateUnaryIntrinsic(llvm::Intrinsic::floor, product);
  return builder_.CreateIntrinsic(llvm::Intrinsic::fptosi_sat,
                                  {builder_.getInt64Ty(), builder_.getDoubleTy()}, {floor});
}

llvm::Value* FunctionLowering::lower_node(ir::Value id, const ir::Node& node) {
  const auto operand = [&](int i) { return lowered_.at(node.operands[i].id); };
  switch (node.op) {
    case Op::Const:
      if (node.type == Type::Bool) return builder_.getInt1(node.constant.integer != 0);
      if (node.type == Type::Float)
        return llvm::ConstantFP::get(builder_.getFloatTy(), node.constant.real);
      return narrow(id) ? builder_.getInt32(static_cast<uint32_t>(node.constant.integer))
                        : builder_.getInt64(static_cast<uint64_t>(node.constant.integer));
    case Op::Variable:
      return variable(node.var());
    case Op::Parameter:
      return parameter(node);
    case Op::Share:
      return share(node);
    case Op::Add:
    case Op::Sub:
    case Op::Mul:
    case Op::Min:
    case Op::Max:
    case Op::Neg:
    case Op::Abs:
      return node.type == Type::Float ? float_arithmetic(node) : arithmetic(id, node);
    case Op::FloorDiv:
    case Op::FloorMod:
    case Op::Shl:
    case Op::Shr:
      return arithmetic(id, node);
    case Op::And:
    case Op::Or:
    case Op::Xor:
    case Op::Not:
      if (node.type != Type::Bool) return arithmetic(id, node);
      if (node.op == Op::And) return builder_.CreateAnd(operand(0), operand(1));
      if (node.op == Op::Or) return builder_.CreateOr(operand(0), operand(1));
      if (node.op == Op::Xor) return builder_.CreateXor(operand(0), operand(1));
      return builder_.CreateNot(operand(0));
    case Op::Div:
    case Op::Exp:
    case Op::Log:
    case Op::Tanh:
    case Op::Sqrt:
      return float_arithmetic(node);
    case Op::Floor: {
      llvm::Value* floor = builder_.CreateUnaryIntrinsic(llvm::Intrinsic::floor, operand(0));
      return builder_.CreateIntrinsic(llvm::Intrinsic::fptosi_sat,
                                      {builder_.getInt64Ty(), builder_.getFloatTy()}, {floor});
    }
    case Op::ToFloat:
      return builder_.CreateSIToFP(operand(0), builder_.getFloatTy());
    case Op::Eq:
    case Op::Ne:
    case Op::Lt:
    case Op::Le:
      return compare(node);
    case Op::Select: {
      llvm::Value* a = operand(1);
      llvm::Value* b = operand(2);
      if (node.type == Type::Int) {
        llvm::Type* type = narrow(id) && narrow(node.operands[1]) && narrow(node.operands[2])
                               ? builder_.getInt32Ty()
                               : builder_.getInt64Ty();
        a = resize(a, type);
        b = resize(b, type);
      }
      return builder_.CreateSelect(operand(0), a, b);
    }
    case Op::TensorLoad:
      return tensor_load(node);
    case Op::TensorMin:
    case Op::TensorMax:
      return tensor_extreme(node);
    case Op::TensorWeight:
      return bit_weight(node);
    case Op::TensorAny:
    case Op::TensorAll:
      return bit_tile(node);
  }
  MASKJIT_CHECK(false, "unknown op");
  return nullptr;
}

llvm::Value* FunctionLowering::arithmetic(ir::Value id, const ir::Node& node) {
  bool small = narrow(id);
  for (ir::Value operand : node.operands) small = small && narrow(operand);
  const bool shift = node.op == Op::Shl || node.op == Op::Shr;
  if (shift) small = small && ranges_[node.operands[1].id].interval.within({0, 31});
  llvm::Type* type = small ? builder_.getInt32Ty() : builder_.getInt64Ty();
  llvm::Value* a = resize(lowered_.at(node.operands[0].id), type);
  llvm::Value* b =
      node.operands.size() > 1 ? resize(lowered_.at(node.operands[1].id), type) : nullptr;
  // Exact results fit the type where nothing wraps, so LLVM may assume it.
  const bool exact = !ranges_[id.id].may_wrap;
  switch (node.op) {
    case Op::Add:
      return builder_.CreateAdd(a, b, "", false, exact);
    case Op::Sub:
      return builder_.CreateSub(a, b, "", false, exact);
    case Op::Mul:
      return builder_.CreateMul(a, b, "", false, exact);
    case Op::Neg:
      return builder_.CreateSub(llvm::ConstantInt::get(type, 0), a, "", false, exact);
    case Op::Min:
      return builder_.CreateBinaryIntrinsic(llvm::Intrinsic::smin, a, b);
    case Op::Max:
      return builder_.CreateBinaryIntrinsic(llvm::Intrinsic::smax, a, b);
    case Op::Abs:
      return builder_.CreateBinaryIntrinsic(llvm::Intrinsic::abs, a, builder_.getInt1(false));
    case Op::FloorDiv:
      return floor_divide(a, b, node.operands[0], false);
    case Op::FloorMod:
      return floor_divide(a, b, node.operands[0], true);
    case Op::Shl:
    case Op::Shr: {
      llvm::Value* amount = builder_.CreateAnd(b, llvm::ConstantInt::get(type, small ? 31 : 63));
      return node.op == Op::Shl ? builder_.CreateShl(a, amount) : builder_.CreateAShr(a, amount);
    }
    case Op::And:
      return builder_.CreateAnd(a, b);
    case Op::Or:
      return builder_.CreateOr(a, b);
    case Op::Xor:
      return builder_.CreateXor(a, b);
    case Op::Not:
      return builder_.CreateNot(a);
    default:
      break;
  }
  MASKJIT_CHECK(false, "not an integer op");
  return nullptr;
}

llvm::Value* FunctionLowering::floor_divide(llvm::Value* a, llvm::Value* b, ir::Value dividend,
                                            bool remainder) {
  llvm::Type* type = a->getType();
  llvm::Value* zero = llvm::ConstantInt::get(type, 0);
  llvm::Value* one = llvm::ConstantInt::get(type, 1);
  llvm::Value* minus_one = llvm::ConstantInt::getSigned(type, -1);
  const bool non_negative = ranges_[dividend.id].interval.lo >= 0;
  if (const auto* constant = llvm::dyn_cast<llvm::ConstantInt>(b);
      constant != nullptr && constant->getSExtValue() > 0) {
    const int64_t divisor = constant->getSExtValue();
    if ((divisor & (divisor - 1)) == 0) {
      if (remainder)
        return builder_.CreateAnd(a,
                                  llvm::ConstantInt::get(type, static_cast<uint64_t>(divisor - 1)));
      return builder_.CreateAShr(
          a, static_cast<uint64_t>(__builtin_ctzll(static_cast<uint64_t>(divisor))));
    }
    if (non_negative) return remainder ? builder_.CreateURem(a, b) : builder_.CreateUDiv(a, b);
  }
  // A divisor of 0 gives 0; -1 is a negation that may wrap, where the machine's division would
  // trap.
  llvm::Value* by_zero = builder_.CreateICmpEQ(b, zero);
  llvm::Value* by_minus_one = builder_.CreateICmpEQ(b, minus_one);
  llvm::Value* divisor = builder_.CreateSelect(builder_.CreateOr(by_zero, by_minus_one), one, b);
  llvm::Value* quotient = builder_.CreateSDiv(a, divisor);
  llvm::Value* rest = builder_.CreateSub(a, builder_.CreateMul(quotient, divisor));
  llvm::Value* signs_differ = builder_.CreateICmpSLT(builder_.CreateXor(rest, divisor), zero);
  llvm::Value* adjust = builder_.CreateAnd(builder_.CreateICmpNE(rest, zero), signs_differ);
  if (remainder) {
    llvm::Value* floored = builder_.CreateSelect(adjust, builder_.CreateAdd(rest, divisor), rest);
    return builder_.CreateSelect(builder_.CreateOr(by_zero, by_minus_one), zero, floored);
  }
  llvm::Value* floored = builder_.CreateSelect(adjust, builder_.CreateSub(quotient, one), quotient);
  llvm::Value* negated = builder_.CreateSub(zero, a);
  return builder_.CreateSelect(by_zero, zero,
                               builder_.CreateSelect(by_minus_one, negated, floored));
}

// x / c for a constant c as x times its reciprocal, at most a unit in the last place off: tanh
// itself may be off by more, and a division is its slowest instruction.
static llvm::Value* argument_of_tanh(llvm::IRBuilder<>& builder, llvm::Value* x) {
  const auto* quotient = llvm::dyn_cast<llvm::BinaryOperator>(x);
  if (quotient == nullptr || quotient->getOpcode() != llvm::Instruction::FDiv) return x;
  const auto* divisor = llvm::dyn_cast<llvm::ConstantFP>(quotient->getOperand(1));
  if (divisor == nullptr) return x;
  llvm::APFloat reciprocal(1.0f);
  reciprocal.divide(divisor->getValueAPF(), llvm::APFloat::rmNearestTiesToEven);
  if (!reciprocal.isNormal()) return x;
  return builder.CreateFMul(quotient->getOperand(0),
                            llvm::ConstantFP::get(x->getType(), reciprocal));
}

llvm::Value* FunctionLowering::float_arithmetic(const ir::Node& node) {
  llvm::Value* a = lowered_.at(node.operands[0].id);
  llvm::Value* b = node.operands.size() > 1 ? lowered_.at(node.operands[1].id) : nullptr;
  switch (node.op) {
    case Op::Add:
      return builder_.CreateFAdd(a, b);
    case Op::Sub:
      return builder_.CreateFSub(a, b);
    case Op::Mul:
      return builder_.CreateFMul(a, b);
    case Op::Div:
      return builder_.CreateFDiv(a, b);
    case Op::Neg:
      return builder_.CreateFNeg(a);
    case Op::Abs:
      return builder_.CreateUnaryIntrinsic(llvm::Intrinsic::fabs, a);
    // Of a NaN and a number the number, as the interpreter.
    case Op::Min:
      return builder_.CreateBinaryIntrinsic(llvm::Intrinsic::minnum, a, b);
    case Op::Max:
      return builder_.CreateBinaryIntrinsic(llvm::Intrinsic::maxnum, a, b);
    case Op::Exp:
      return math_call("mj_exp", a);
    case Op::Log:
      return math_call("mj_log", a);
    case Op::Tanh:
      return math_call("mj_tanh", argument_of_tanh(builder_, a));
    case Op::Sqrt:
      return builder_.CreateUnaryIntrinsic(llvm::Intrinsic::sqrt, a);
    default:
      break;
  }
  MASKJIT_CHECK(false, "not a float op");
  return nullptr;
}

llvm::Value* FunctionLowering::compare(const ir::Node& node) {
  llvm::Value* a = lowered_.at(node.operands[0].id);
  llvm::Value* b = lowered_.at(node.operands[1].id);
  const Type type = function_.type(node.operands[0]);
  if (type == Type::Float) {
    switch (node.op) {
      case Op::Eq:
        return builder_.CreateFCmpOEQ(a, b);
      case Op::Ne:
        return builder_.CreateFCmpUNE(a, b);
      case Op::Lt:
        return builder_.CreateFCmpOLT(a, b);
      default:
        return builder_.CreateFCmpOLE(a, b);
    }
  }
  if (type == Type::Int && a->getType() != b->getType()) {
    const bool a_is_wide = a->getType()->isIntegerTy(64);
    llvm::Value*& wide = a_is_wide ? a : b;
    const ir::Value other = node.operands[a_is_wide ? 1 : 0];
    if (ranges_[other.id].interval.within(kInsideInt32)) {
      llvm::Value* low = builder_.CreateBinaryIntrinsic(
          llvm::Intrinsic::smax, wide, llvm::ConstantInt::getSigned(wide->getType(), kInt32.lo));
      llvm::Value* saturated = builder_.CreateBinaryIntrinsic(
          llvm::Intrinsic::smin, low, llvm::ConstantInt::getSigned(wide->getType(), kInt32.hi));
      wide = builder_.CreateTrunc(saturated, builder_.getInt32Ty());
    } else {
      a = as_i64(a);
      b = as_i64(b);
    }
  }
  switch (node.op) {
    case Op::Eq:
      return builder_.CreateICmpEQ(a, b);
    case Op::Ne:
      return builder_.CreateICmpNE(a, b);
    case Op::Lt:
      return builder_.CreateICmpSLT(a, b);
    default:
      return builder_.CreateICmpSLE(a, b);
  }
}

}  // namespace maskjit::codegen
