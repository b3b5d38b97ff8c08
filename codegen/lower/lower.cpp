#include "codegen/lower/lower.h"

#include <llvm/IR/Module.h>

#include "codegen/lower/function_lowering.h"
#include "masker_dsl/ir/internal_error.h"

namespace maskjit::codegen {
namespace {

using ir::Var;

// Gives `name` a body if the module declares it. Parameters: the arguments, then `vars` in order.
template <typename Body>
void define(llvm::Module& module, const ir::Function& function, const ProblemSpec& problem,
            ArgumentLayout layout, const char* name, std::initializer_list<Var> vars,
            const Body& body) {
  llvm::Function* hook = module.getFunction(name);
  if (hook == nullptr) return;
  MASKJIT_CHECK(hook->isDeclaration(), std::string("hook ") + name + " already has a body");
  llvm::IRBuilder<> builder(llvm::BasicBlock::Create(module.getContext(), "entry", hook));
  FunctionLowering lowering(function, problem, layout, builder, hook->getArg(0));
  unsigned index = 1;
  for (Var var : vars) lowering.set_variable(var, hook->getArg(index++));
  body(builder, lowering, *hook);
  hook->setLinkage(llvm::GlobalValue::InternalLinkage);
  hook->removeFnAttr(llvm::Attribute::NoInline);
  hook->addFnAttr(llvm::Attribute::AlwaysInline);
  hook->addFnAttr(llvm::Attribute::NoUnwind);
}

}  // namespace

bool has_keep_words(const ir::Program& program, const ProblemSpec& problem) {
  llvm::LLVMContext context;
  llvm::IRBuilder<> builder(context);
  const FunctionLowering lowering(program.function, problem, ArgumentLayout::Device, builder,
                                  nullptr);
  return lowering.has_words(program.function.result("mask"));
}

void lower_hooks(const ir::Program& program, const analysis::TileFunctions& tiles,
                 const ProblemSpec& problem, ArgumentLayout layout, llvm::Module& module) {
  const ir::Function& element = program.function;
  define(module, element, problem, layout, "mj_keep",
         {Var::Batch, Var::Head, Var::KvHead, Var::Query, Var::Key},
         [&](llvm::IRBuilder<>& builder, FunctionLowering& lowering, llvm::Function&) {
           builder.CreateRet(lowering.lower(element.result("mask")));
         });
  define(module, element, problem, layout, "mj_keep_word",
         {Var::Batch, Var::Head, Var::KvHead, Var::Query, Var::Key},
         [&](llvm::IRBuilder<>& builder, FunctionLowering& lowering, llvm::Function&) {
           const ir::Value mask = element.result("mask");
           builder.CreateRet(lowering.has_words(mask) ? lowering.lower_word(mask)
                                                      : builder.getInt64(0));
         });
  define(module, element, problem, layout, "mj_score",
         {Var::Batch, Var::Head, Var::KvHead, Var::Query, Var::Key, Var::Score},
         [&](llvm::IRBuilder<>& builder, FunctionLowering& lowering, llvm::Function&) {
           builder.CreateRet(lowering.lower(element.result("score")));
         });
  define(module, element, problem, layout, "mj_weight",
         {Var::Batch, Var::Head, Var::KvHead, Var::Query, Var::Key},
         [&](llvm::IRBuilder<>& builder, FunctionLowering& lowering, llvm::Function&) {
           const ir::Value weight = element.result("weight");
           builder.CreateRet(weight.valid() ? lowering.lower(weight)
                                            : llvm::ConstantFP::get(builder.getFloatTy(), 1.0));
         });
  define(module, tiles.tile, problem, layout, "mj_tile_class",
         {Var::Batch, Var::Head, Var::KvHead, Var::QueryLo, Var::QueryHi, Var::KeyLo, Var::KeyHi},
         [&](llvm::IRBuilder<>& builder, FunctionLowering& lowering, llvm::Function&) {
           llvm::Value* may = lowering.lower(tiles.tile.result("may"));
           llvm::Value* must = lowering.lower(tiles.tile.result("must"));
           llvm::Value* active =
               builder.CreateSelect(must, builder.getInt32(2), builder.getInt32(1));
           builder.CreateRet(builder.CreateSelect(may, active, builder.getInt32(0)));
         });
  define(module, tiles.ranges, problem, layout, "mj_key_ranges",
         {Var::Batch, Var::Head, Var::KvHead, Var::QueryLo, Var::QueryHi},
         [&](llvm::IRBuilder<>& builder, FunctionLowering& lowering, llvm::Function& hook) {
           llvm::Value* ends = hook.getArg(6);
           for (int i = 0; i < tiles.range_count; ++i) {
             for (int side = 0; side < 2; ++side) {
               const std::string name = (side == 0 ? "lo" : "hi") + std::to_string(i);
               llvm::Value* end = lowering.as_i64(lowering.lower(tiles.ranges.result(name)));
               builder.CreateStore(end, builder.CreateConstInBoundsGEP1_64(builder.getInt64Ty(),
                                                                           ends, 2 * i + side));
             }
           }
           builder.CreateRetVoid();
         });
}

}  // namespace maskjit::codegen
