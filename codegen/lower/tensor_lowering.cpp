// Reads of tensor arguments: element loads, and block extremes for tile functions.
#include <cstddef>

#include "codegen/lower/function_lowering.h"
#include "masker_dsl/ir/internal_error.h"

namespace maskjit::codegen {

using ir::Op;
using ir::Var;

// Launch checks guarantee that these subscripts are inside a dimension of that size.
bool FunctionLowering::in_range(ir::Value subscript, const ir::Dim& dim) const {
  const ir::Node& node = function_[subscript];
  const auto is = [&](Var var) { return node.op == Op::Variable && node.var() == var; };
  switch (dim.kind) {
    case ir::Dim::Kind::Batch:
      return is(Var::Batch);
    case ir::Dim::Kind::NumHeads:
      return is(Var::Head);
    case ir::Dim::Kind::NumKvHeads:
      return is(Var::KvHead);
    case ir::Dim::Kind::KvLen:
      return is(Var::Key);
    case ir::Dim::Kind::QLen: {  // q_index = q - q_offset
      if (node.op != Op::Sub) return false;
      const ir::Node& a = function_[node.operands[0]];
      const ir::Node& b = function_[node.operands[1]];
      return a.op == Op::Variable && a.var() == Var::Query && b.op == Op::Variable &&
             b.var() == Var::QOffset;
    }
    case ir::Dim::Kind::HeadDim:
      return false;
    case ir::Dim::Kind::Constant:
      return ranges_[subscript.id].interval.within({0, dim.constant - 1});
  }
  return false;
}

llvm::Value* FunctionLowering::tensor_field(uint32_t tensor, size_t offset, llvm::Type* type) {
  llvm::Value* pointer = builder_.CreateConstInBoundsGEP1_64(builder_.getInt8Ty(), tensors(),
                                                             tensor * sizeof(MjTensor) + offset);
  return load_invariant(pointer, type, 8);
}

FunctionLowering::Place FunctionLowering::place_of(const ir::Node& node) {
  const ir::Tensor& tensor = function_.tensors()[node.index];
  const TensorLayout& layout = problem_.tensors.at(node.index);
  llvm::Type* i64 = builder_.getInt64Ty();
  Place place{builder_.getTrue(), builder_.getInt64(0), builder_.getInt64(0)};
  for (size_t d = 0; d < tensor.dims.size(); ++d) {
    if (layout.broadcast >> d & 1) continue;
    const ir::Value subscript = node.operands[d];
    llvm::Value* index = as_i64(lowered_.at(subscript.id));
    if (!in_range(subscript, tensor.dims[d])) {
      llvm::Value* extent = tensor_field(node.index, offsetof(MjTensor, extent) + 8 * d, i64);
      llvm::Value* fits = builder_.CreateICmpULT(index, extent);
      place.inside = builder_.CreateAnd(place.inside, fits);
      index = builder_.CreateSelect(fits, index, builder_.getInt64(0));
    }
    const bool last = d + 1 == tensor.dims.size();
    llvm::Value* step = index;
    if (!last || !layout.unit_stride) {
      step = builder_.CreateMul(index,
                                tensor_field(node.index, offsetof(MjTensor, stride) + 8 * d, i64));
    }
    if (last) {
      place.last = step;
    } else {
      place.rest = builder_.CreateAdd(place.rest, step);
    }
  }
  return place;
}

llvm::Value* FunctionLowering::tensor_load(const ir::Node& node) {
  const ir::Tensor& tensor = function_.tensors()[node.index];
  if (tensor.element == ir::Element::Bit) return bit_load(node);
  llvm::Type* i64 = builder_.getInt64Ty();
  const Place place = place_of(node);
  llvm::Value* inside = place.inside;
  llvm::Value* offset = builder_.CreateAdd(place.rest, place.last);
  llvm::Value* data = tensor_field(node.index, offsetof(MjTensor, data), builder_.getPtrTy());
  const auto element = [&](llvm::Type* type, unsigned bytes) {
    return load_invariant(builder_.CreateGEP(type, data, offset), type, bytes);
  };
  llvm::Type* f32 = builder_.getFloatTy();
  llvm::Value* value = nullptr;
  switch (tensor.element) {
    case ir::Element::Bit:
      MASKJIT_CHECK(false, "a bit is no element of its own");
      break;
    case ir::Element::Bool:
      value = builder_.CreateICmpNE(element(builder_.getInt8Ty(), 1), builder_.getInt8(0));
      break;
    case ir::Element::I8:
      value = builder_.CreateSExt(element(builder_.getInt8Ty(), 1), builder_.getInt32Ty());
      break;
    case ir::Element::U8:
      value = builder_.CreateZExt(element(builder_.getInt8Ty(), 1), builder_.getInt32Ty());
      break;
    case ir::Element::I16:
      value = builder_.CreateSExt(element(builder_.getInt16Ty(), 2), builder_.getInt32Ty());
      break;
    case ir::Element::I32:
      value = element(builder_.getInt32Ty(), 4);
      break;
    case ir::Element::I64:
      value = element(i64, 8);
      break;
    case ir::Element::F16: {  // as kernels_templates/host/common/elements.h
      llvm::Module* module = builder_.GetInsertBlock()->getModule();
      llvm::FunctionCallee widen =
          module->getOrInsertFunction("mj_widen_f16", f32, builder_.getInt16Ty());
      value = builder_.CreateCall(widen, {element(builder_.getInt16Ty(), 2)});
      break;
    }
    case ir::Element::BF16: {
      llvm::Value* bits =
          builder_.CreateZExt(element(builder_.getInt16Ty(), 2), builder_.getInt32Ty());
      value = builder_.CreateBitCast(builder_.CreateShl(bits, 16), f32);
      break;
    }
    case ir::Element::F32:
      value = element(f32, 4);
      break;
    case ir::Element::F64:
      value = builder_.CreateFPTrunc(element(builder_.getDoubleTy(), 8), f32);
      break;
  }
  if (inside == builder_.getTrue()) return value;
  return builder_.CreateSelect(inside, value, llvm::Constant::getNullValue(value->getType()));
}

llvm::Value* FunctionLowering::subscripts_of(const ir::Node& node) {
  llvm::Type* i64 = builder_.getInt64Ty();
  llvm::Function* function = builder_.GetInsertBlock()->getParent();
  llvm::IRBuilder<> entry(&function->getEntryBlock(), function->getEntryBlock().begin());
  llvm::Value* subscripts = entry.CreateAlloca(
      llvm::ArrayType::get(i64, std::max<size_t>(node.operands.size(), ir::kMaxTensorRank + 1)));
  for (size_t i = 0; i < node.operands.size(); ++i) {
    builder_.CreateStore(
        as_i64(lowered_.at(node.operands[i].id)),
        builder_.CreateConstInBoundsGEP1_64(i64, subscripts, static_cast<int64_t>(i)));
  }
  return subscripts;
}

llvm::Value* FunctionLowering::tensor_argument(const ir::Node& node) {
  return builder_.CreateConstInBoundsGEP1_64(builder_.getInt8Ty(), tensors(),
                                             node.index * sizeof(MjTensor));
}

llvm::Value* FunctionLowering::tensor_extreme(const ir::Node& node) {
  const size_t rank = function_.tensors()[node.index].dims.size();
  llvm::Type* i64 = builder_.getInt64Ty();
  llvm::Value* subscripts = subscripts_of(node);
  llvm::Value* argument = tensor_argument(node);
  const bool real = node.type == ir::Type::Float;
  const bool minimum = node.op == Op::TensorMin;
  const char* name = real ? (minimum ? "mj_tensor_min_float" : "mj_tensor_max_float")
                          : (minimum ? "mj_tensor_min_int" : "mj_tensor_max_int");
  llvm::Module* module = builder_.GetInsertBlock()->getModule();
  const bool broadcast = problem_.tensors.at(node.index).broadcast >> (rank - 1) & 1;
  llvm::FunctionCallee callee =
      module->getOrInsertFunction(name, real ? builder_.getFloatTy() : i64, builder_.getPtrTy(),
                                  builder_.getInt32Ty(), builder_.getInt1Ty(), builder_.getPtrTy());
  llvm::CallInst* call =
      builder_.CreateCall(callee, {argument, builder_.getInt32(static_cast<uint32_t>(rank)),
                                   builder_.getInt1(broadcast), subscripts});
  call->addParamAttr(2, llvm::Attribute::ZExt);
  return call;
}

}  // namespace maskjit::codegen
