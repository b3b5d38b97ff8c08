#include "codegen/lower/device_instructions.h"

#include <llvm/IR/IRBuilder.h>
#include <llvm/IR/IntrinsicsNVPTX.h>
#include <llvm/IR/Module.h>

namespace maskjit::codegen {
namespace {

llvm::Function* hook_of(llvm::Module& module, const char* name) {
  llvm::Function* hook = module.getFunction(name);
  if (hook == nullptr) return nullptr;
  hook->setLinkage(llvm::GlobalValue::InternalLinkage);
  hook->removeFnAttr(llvm::Attribute::NoInline);
  hook->addFnAttr(llvm::Attribute::AlwaysInline);
  hook->addFnAttr(llvm::Attribute::NoUnwind);
  return hook;
}

llvm::CallInst* call(llvm::IRBuilder<>& builder, llvm::Intrinsic::ID id,
                     llvm::ArrayRef<llvm::Type*> overloads, llvm::ArrayRef<llvm::Value*> operands) {
  llvm::CallInst* result = builder.CreateIntrinsic(id, overloads, operands);
  result->addFnAttr(llvm::Attribute::Convergent);
  return result;
}

llvm::Value* element_of(llvm::IRBuilder<>& builder, llvm::Type* type, llvm::Value* array,
                        unsigned index) {
  return builder.CreateConstInBoundsGEP1_64(type, array, index);
}

// void name(float* c, u32 a0, u32 a1, u32 a2, u32 a3, u32 b0, u32 b1): c += a b.
void define_multiply(llvm::Module& module, const char* name, llvm::Intrinsic::ID id,
                     llvm::Type* operand) {
  llvm::Function* hook = hook_of(module, name);
  if (hook == nullptr) return;
  llvm::IRBuilder<> builder(llvm::BasicBlock::Create(module.getContext(), "entry", hook));
  llvm::Type* f32 = builder.getFloatTy();
  llvm::SmallVector<llvm::Value*, 10> operands;
  for (unsigned i = 1; i < 7; ++i)
    operands.push_back(builder.CreateBitCast(hook->getArg(i), operand));
  llvm::SmallVector<llvm::Value*, 4> places;
  for (unsigned i = 0; i < 4; ++i) {
    places.push_back(element_of(builder, f32, hook->getArg(0), i));
    operands.push_back(builder.CreateLoad(f32, places[i]));
  }
  llvm::Value* sums = call(builder, id, {}, operands);
  for (unsigned i = 0; i < 4; ++i)
    builder.CreateStore(builder.CreateExtractValue(sums, i), places[i]);
  builder.CreateRetVoid();
}

// void name(u32* r, shared const void* row): four 8 x 8 matrices.
void define_load(llvm::Module& module, const char* name, llvm::Intrinsic::ID id) {
  llvm::Function* hook = hook_of(module, name);
  if (hook == nullptr) return;
  llvm::IRBuilder<> builder(llvm::BasicBlock::Create(module.getContext(), "entry", hook));
  llvm::Type* i32 = builder.getInt32Ty();
  llvm::Value* row = hook->getArg(1);
  llvm::Value* matrices = call(builder, id, {row->getType()}, {row});
  for (unsigned i = 0; i < 4; ++i) {
    builder.CreateStore(builder.CreateExtractValue(matrices, i),
                        element_of(builder, i32, hook->getArg(0), i));
  }
  builder.CreateRetVoid();
}

}  // namespace

void define_device_instructions(llvm::Module& module) {
  llvm::LLVMContext& context = module.getContext();
  llvm::Type* i32 = llvm::Type::getInt32Ty(context);
  llvm::Type* halves = llvm::FixedVectorType::get(llvm::Type::getHalfTy(context), 2);
  define_multiply(module, "mj_mma_bf16", llvm::Intrinsic::nvvm_mma_m16n8k16_row_col_bf16, i32);
  define_multiply(module, "mj_mma_f16", llvm::Intrinsic::nvvm_mma_m16n8k16_row_col_f32_f32, halves);
  define_multiply(module, "mj_mma_tf32", llvm::Intrinsic::nvvm_mma_m16n8k8_row_col_tf32, i32);
  define_load(module, "mj_ldmatrix", llvm::Intrinsic::nvvm_ldmatrix_sync_aligned_m8n8_x4_b16);
  define_load(module, "mj_ldmatrix_transposed",
              llvm::Intrinsic::nvvm_ldmatrix_sync_aligned_m8n8_x4_trans_b16);
}

}  // namespace maskjit::codegen
