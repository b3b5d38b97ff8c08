#include "codegen/lower/lower.h"

#include <llvm/IR/Module.h>

#include <cstddef>
#include <functional>

#include "codegen/lower/function_lowering.h"
#include "masker_dsl/ir/internal_error.h"

namespace maskjit::codegen {
namespace {

using ir::Var;

void finish_hook(llvm::Function& hook) {
  hook.setLinkage(llvm::GlobalValue::InternalLinkage);
  hook.removeFnAttr(llvm::Attribute::NoInline);
  hook.addFnAttr(llvm::Attribute::AlwaysInline);
  hook.addFnAttr(llvm::Attribute::NoUnwind);
}

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
  finish_hook(*hook);
}

// A hook of a stage: `body(stage, builder, lowering)` makes what it returns for each of the stages
// that `has`, `otherwise` for the others. The stage is a constant where it is called, so that one
// of them is left.
template <typename Has, typename Body>
void define_by_stage(llvm::Module& module, const ir::Program& program, const ProblemSpec& problem,
                     ArgumentLayout layout, const char* name, std::initializer_list<Var> vars,
                     const Has& has, const Body& body, const Body& otherwise) {
  llvm::Function* hook = module.getFunction(name);
  if (hook == nullptr) return;
  MASKJIT_CHECK(hook->isDeclaration(), std::string("hook ") + name + " already has a body");
  llvm::LLVMContext& context = module.getContext();
  llvm::IRBuilder<> entry(llvm::BasicBlock::Create(context, "entry", hook));
  const auto lower_into = [&](llvm::BasicBlock* block, const ir::Stage* stage, const Body& lower) {
    llvm::IRBuilder<> builder(block);
    FunctionLowering lowering(program.function, problem, layout, builder, hook->getArg(0));
    unsigned index = 2;
    for (Var var : vars) lowering.set_variable(var, hook->getArg(index++));
    lower(stage, builder, lowering, *hook);
  };
  llvm::BasicBlock* rest = llvm::BasicBlock::Create(context, "none", hook);
  lower_into(rest, nullptr, otherwise);
  llvm::SwitchInst* choice = entry.CreateSwitch(hook->getArg(1), rest);
  for (size_t i = 0; i < program.stages.size(); ++i) {
    if (!has(program.stages[i])) continue;
    llvm::BasicBlock* block = llvm::BasicBlock::Create(context, "stage", hook);
    lower_into(block, &program.stages[i], body);
    choice->addCase(entry.getInt32(static_cast<uint32_t>(i)), block);
  }
  finish_hook(*hook);
}

// Stores the arguments of a selector into an MjStageNumbers.
void store_numbers(const ir::Stage& stage, llvm::IRBuilder<>& builder, FunctionLowering& lowering,
                   llvm::Value* numbers) {
  const auto store = [&](size_t offset, llvm::Value* value) {
    builder.CreateStore(value, builder.CreateConstInBoundsGEP1_64(builder.getInt8Ty(), numbers,
                                                                  static_cast<uint64_t>(offset)));
  };
  size_t fraction = 0;
  llvm::Value* count = builder.getInt64(static_cast<uint64_t>(-1));
  for (const ir::Stage::Argument& argument : stage.arguments) {
    if (!argument.value.valid()) continue;
    llvm::Value* value = lowering.lower(argument.value);
    if (value->getType()->isFloatTy()) {
      store(offsetof(MjStageNumbers, fractions) + fraction * sizeof(float), value);
    } else if (!value->getType()->isIntegerTy(1)) {
      count = lowering.as_i64(value);
    }
    // adaptive's base has the first place whether it is a count or a share.
    if (value->getType()->isFloatTy() || stage.rule == ir::Stage::Rule::Adaptive) ++fraction;
  }
  store(offsetof(MjStageNumbers, count), count);
}

void lower_stages(const ir::Program& program, const ProblemSpec& problem, ArgumentLayout layout,
                  llvm::Module& module) {
  using Body =
      std::function<void(const ir::Stage*, llvm::IRBuilder<>&, FunctionLowering&, llvm::Function&)>;
  const auto is_static = [](const ir::Stage& s) { return s.rule == ir::Stage::Rule::Static; };
  const auto element = {Var::Batch, Var::Head, Var::KvHead, Var::Query, Var::Key};
  define_by_stage(
      module, program, problem, layout, "mj_stage_keep", element, is_static,
      Body([](const ir::Stage* stage, llvm::IRBuilder<>& builder, FunctionLowering& lowering,
              llvm::Function&) { builder.CreateRet(lowering.lower(stage->mask)); }),
      Body([](const ir::Stage*, llvm::IRBuilder<>& builder, FunctionLowering&, llvm::Function&) {
        builder.CreateRet(builder.getFalse());
      }));
  define_by_stage(
      module, program, problem, layout, "mj_stage_weight", element,
      [](const ir::Stage& s) { return s.weight.valid(); },
      Body([](const ir::Stage* stage, llvm::IRBuilder<>& builder, FunctionLowering& lowering,
              llvm::Function&) { builder.CreateRet(lowering.lower(stage->weight)); }),
      Body([](const ir::Stage*, llvm::IRBuilder<>& builder, FunctionLowering&, llvm::Function&) {
        builder.CreateRet(llvm::ConstantFP::get(builder.getFloatTy(), 1.0));
      }));
  define_by_stage(
      module, program, problem, layout, "mj_stage_numbers",
      {Var::Batch, Var::Head, Var::KvHead, Var::Query},
      [&](const ir::Stage& s) { return !is_static(s); },
      Body([](const ir::Stage* stage, llvm::IRBuilder<>& builder, FunctionLowering& lowering,
              llvm::Function& hook) {
        store_numbers(*stage, builder, lowering, hook.getArg(hook.arg_size() - 1));
        builder.CreateRetVoid();
      }),
      Body([](const ir::Stage*, llvm::IRBuilder<>& builder, FunctionLowering&, llvm::Function&) {
        builder.CreateRetVoid();
      }));
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
  lower_stages(program, problem, layout, module);
}

}  // namespace maskjit::codegen
