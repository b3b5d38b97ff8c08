// Reads of explicit masks: bits, weights, and what a rectangle holds.
#include <cstddef>

#include "codegen/lower/function_lowering.h"
#include "masker_dsl/ir/internal_error.h"

namespace maskjit::codegen {

using ir::Op;

// Rows start at whole words, so that the word of a key in its row does not depend on the row.
llvm::Value* FunctionLowering::bit_load(const ir::Node& node) {
  const Place place = place_of(node);
  llvm::Type* i32 = builder_.getInt32Ty();
  llvm::Value* data = tensor_field(node.index, offsetof(MjTensor, data), builder_.getPtrTy());
  llvm::Value* row = builder_.CreateGEP(i32, data, builder_.CreateLShr(place.rest, 5));
  llvm::Value* word =
      load_invariant(builder_.CreateGEP(i32, row, builder_.CreateLShr(place.last, 5)), i32, 4);
  llvm::Value* shift = builder_.CreateAnd(builder_.CreateTrunc(place.last, i32), 31);
  llvm::Value* bit = builder_.CreateTrunc(builder_.CreateLShr(word, shift), builder_.getInt1Ty());
  if (place.inside == builder_.getTrue()) return bit;
  return builder_.CreateSelect(place.inside, bit, builder_.getFalse());
}

// weights[weight_start[word] + set bits of the word before this one], 1 where the word has none.
llvm::Value* FunctionLowering::bit_weight(const ir::Node& node) {
  const Place place = place_of(node);
  llvm::Type* i64 = builder_.getInt64Ty();
  llvm::Type* f32 = builder_.getFloatTy();
  llvm::Value* one = llvm::ConstantFP::get(f32, 1.0);
  llvm::Value* zero = llvm::ConstantFP::get(f32, 0.0);
  llvm::Value* index =
      builder_.CreateAdd(builder_.CreateLShr(place.rest, 6), builder_.CreateLShr(place.last, 6));
  const auto load = [&](size_t field, llvm::Type* type, llvm::Value* at, unsigned bytes) {
    llvm::Value* data = tensor_field(node.index, field, builder_.getPtrTy());
    return load_invariant(builder_.CreateGEP(type, data, at), type, bytes);
  };
  llvm::Value* word = load(offsetof(MjTensor, data), i64, index, 8);
  llvm::Value* shift = builder_.CreateAnd(place.last, 63);
  llvm::Value* set = builder_.CreateTrunc(builder_.CreateLShr(word, shift), builder_.getInt1Ty());
  if (place.inside != builder_.getTrue()) {
    set = builder_.CreateSelect(place.inside, set, builder_.getFalse());
  }
  if (!problem_.tensors.at(node.index).weighted) return builder_.CreateSelect(set, one, zero);
  llvm::Value* start = load(offsetof(MjTensor, weight_start), i64, index, 8);
  llvm::Value* before =
      builder_.CreateSub(builder_.CreateShl(builder_.getInt64(1), shift), builder_.getInt64(1));
  llvm::Value* rank =
      builder_.CreateUnaryIntrinsic(llvm::Intrinsic::ctpop, builder_.CreateAnd(word, before));
  llvm::Value* stored =
      builder_.CreateAnd(set, builder_.CreateICmpSGE(start, builder_.getInt64(0)));
  llvm::Value* at =
      builder_.CreateSelect(stored, builder_.CreateAdd(start, rank), builder_.getInt64(0));
  llvm::Value* weight = load(offsetof(MjTensor, weights), f32, at, 4);
  return builder_.CreateSelect(set, builder_.CreateSelect(stored, weight, one), zero);
}

llvm::Value* FunctionLowering::bit_tile(const ir::Node& node) {
  llvm::Value*& tile = bit_tiles_[{node.index, node.operands}];
  if (tile == nullptr) {
    llvm::Type* i32 = builder_.getInt32Ty();
    llvm::FunctionCallee callee = builder_.GetInsertBlock()->getModule()->getOrInsertFunction(
        "mj_bit_tile", i32, builder_.getPtrTy(), i32, builder_.getPtrTy());
    const auto rank = static_cast<uint32_t>(function_.tensors()[node.index].dims.size());
    tile = builder_.CreateCall(
        callee, {tensor_argument(node), builder_.getInt32(rank), subscripts_of(node)});
  }
  return builder_.CreateTrunc(node.op == Op::TensorAny ? tile : builder_.CreateLShr(tile, 1),
                              builder_.getInt1Ty());
}

}  // namespace maskjit::codegen
