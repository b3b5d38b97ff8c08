#include "codegen/optimize/optimize.h"

#include <llvm/IR/Module.h>
#include <llvm/Passes/PassBuilder.h>
#include <llvm/Target/TargetMachine.h>
#include <llvm/Transforms/IPO/AlwaysInliner.h>
#include <llvm/Transforms/IPO/GlobalDCE.h>
#include <llvm/Transforms/InstCombine/InstCombine.h>
#include <llvm/Transforms/Scalar/ADCE.h>
#include <llvm/Transforms/Scalar/EarlyCSE.h>
#include <llvm/Transforms/Scalar/IndVarSimplify.h>
#include <llvm/Transforms/Scalar/InstSimplifyPass.h>
#include <llvm/Transforms/Scalar/LICM.h>
#include <llvm/Transforms/Scalar/LoopPassManager.h>
#include <llvm/Transforms/Scalar/LoopRotation.h>
#include <llvm/Transforms/Scalar/LoopUnrollPass.h>
#include <llvm/Transforms/Scalar/SROA.h>
#include <llvm/Transforms/Scalar/SimpleLoopUnswitch.h>
#include <llvm/Transforms/Scalar/SimplifyCFG.h>
#include <llvm/Transforms/Vectorize/LoopVectorize.h>

#include "codegen/optimize/expand_loops.h"

namespace maskjit::codegen {
namespace {

llvm::InstCombinePass combine() {
  return llvm::InstCombinePass(llvm::InstCombineOptions().setMaxIterations(1));
}

llvm::SimplifyCFGPass merge_blocks() {
  return llvm::SimplifyCFGPass(llvm::SimplifyCFGOptions()
                                   .convertSwitchRangeToICmp(true)
                                   .hoistCommonInsts(true)
                                   .sinkCommonInsts(true)
                                   .speculateBlocks(true));
}

// Specialisation constants decide most branches: fold them before inlining multiplies the code.
void fold_and_inline(llvm::ModulePassManager& module) {
  llvm::FunctionPassManager fold;
  fold.addPass(llvm::InstSimplifyPass());
  fold.addPass(llvm::SimplifyCFGPass());
  module.addPass(llvm::createModuleToFunctionPassAdaptor(std::move(fold)));
  module.addPass(llvm::AlwaysInlinerPass(/*InsertLifetime=*/false));
  module.addPass(llvm::GlobalDCEPass());
}

// What inlining leaves, before loops are looked at.
void simplify_inlined(llvm::FunctionPassManager& function) {
  function.addPass(llvm::SROAPass(llvm::SROAOptions::ModifyCFG));
  function.addPass(llvm::EarlyCSEPass(/*UseMemorySSA=*/false));
  function.addPass(llvm::SimplifyCFGPass());
  function.addPass(combine());
  function.addPass(llvm::SimplifyCFGPass());
}

// A kernel is a few loop nests whose shape is known, so a short pipeline does what the default one
// does at a fraction of the time (ADR 0003 has the figures).
llvm::ModulePassManager host_pipeline() {
  llvm::ModulePassManager module;
  fold_and_inline(module);
  llvm::FunctionPassManager function;
  simplify_inlined(function);
  {
    llvm::LoopPassManager loops;
    loops.addPass(llvm::LoopRotatePass(/*EnableHeaderDuplication=*/true));
    loops.addPass(llvm::LICMPass(llvm::LICMOptions()));
    loops.addPass(llvm::SimpleLoopUnswitchPass(/*NonTrivial=*/false));
    function.addPass(
        llvm::createFunctionToLoopPassAdaptor(std::move(loops), /*UseMemorySSA=*/true));
  }
  {
    llvm::LoopPassManager loops;
    // Widening would turn 32-bit vectors of key positions into 64-bit ones.
    loops.addPass(llvm::IndVarSimplifyPass(/*WidenIndVars=*/false));
    loops.addPass(llvm::LoopFullUnrollPass(/*OptLevel=*/2, /*OnlyWhenForced=*/true));
    function.addPass(llvm::createFunctionToLoopPassAdaptor(std::move(loops)));
  }
  function.addPass(llvm::SROAPass(llvm::SROAOptions::PreserveCFG));
  function.addPass(llvm::EarlyCSEPass(/*UseMemorySSA=*/true));
  function.addPass(combine());
  function.addPass(llvm::SimplifyCFGPass());
  {
    llvm::LoopPassManager loops;
    loops.addPass(llvm::LICMPass(llvm::LICMOptions()));
    function.addPass(
        llvm::createFunctionToLoopPassAdaptor(std::move(loops), /*UseMemorySSA=*/true));
  }
  function.addPass(llvm::LoopVectorizePass(llvm::LoopVectorizeOptions(
      /*InterleaveOnlyWhenForced=*/true, /*VectorizeOnlyWhenForced=*/true)));
  function.addPass(combine());
  function.addPass(merge_blocks());
  function.addPass(llvm::EarlyCSEPass(/*UseMemorySSA=*/true));
  {
    llvm::LoopPassManager loops;
    loops.addPass(llvm::LICMPass(llvm::LICMOptions()));
    function.addPass(
        llvm::createFunctionToLoopPassAdaptor(std::move(loops), /*UseMemorySSA=*/true));
  }
  function.addPass(llvm::ADCEPass());
  module.addPass(llvm::createModuleToFunctionPassAdaptor(std::move(function)));
  module.addPass(llvm::GlobalDCEPass());
  return module;
}

// Device kernels are unrolled into registers, of which they have none to spare: nothing is moved
// out of the loop over tiles, where each value would cost one through all of it. ptxas does that as
// long as there is room.
llvm::ModulePassManager device_pipeline() {
  llvm::ModulePassManager module;
  fold_and_inline(module);
  llvm::FunctionPassManager function;
  simplify_inlined(function);
  function.addPass(ExpandLoopsPass());
  // Fewer blocks: cheaper to put in registers.
  function.addPass(llvm::SimplifyCFGPass());
  llvm::LoopPassManager loops;
  loops.addPass(llvm::LoopRotatePass(/*EnableHeaderDuplication=*/true));
  function.addPass(llvm::createFunctionToLoopPassAdaptor(std::move(loops)));
  function.addPass(llvm::SROAPass(llvm::SROAOptions::PreserveCFG));
  function.addPass(llvm::EarlyCSEPass(/*UseMemorySSA=*/false));
  function.addPass(merge_blocks());
  function.addPass(llvm::ADCEPass());
  module.addPass(llvm::createModuleToFunctionPassAdaptor(std::move(function)));
  module.addPass(llvm::GlobalDCEPass());
  return module;
}

}  // namespace

void optimize(llvm::Module& module, llvm::TargetMachine& machine, int level, int pass_limit) {
  llvm::LoopAnalysisManager loops;
  llvm::FunctionAnalysisManager functions;
  llvm::CGSCCAnalysisManager components;
  llvm::ModuleAnalysisManager modules;
  llvm::PassInstrumentationCallbacks callbacks;
  int passes = 0;
  if (pass_limit >= 0) {
    callbacks.registerShouldRunOptionalPassCallback(
        [&passes, pass_limit](llvm::StringRef, llvm::Any) { return passes++ < pass_limit; });
  }
  llvm::PassBuilder builder(&machine, llvm::PipelineTuningOptions(), std::nullopt, &callbacks);
  builder.registerModuleAnalyses(modules);
  builder.registerCGSCCAnalyses(components);
  builder.registerFunctionAnalyses(functions);
  builder.registerLoopAnalyses(loops);
  builder.crossRegisterProxies(loops, functions, components, modules);
  llvm::ModulePassManager pipeline;
  if (level == 0) {
    pipeline.addPass(llvm::AlwaysInlinerPass());
    pipeline.addPass(llvm::GlobalDCEPass());
  } else {
    pipeline = machine.getTargetTriple().isNVPTX() ? device_pipeline() : host_pipeline();
  }
  pipeline.run(module, modules);
  if (level == 0) return;
  // What only directs the work is compiled without optimisation: instruction selection and register
  // allocation for it would take a quarter of code generation. Templates mark it.
  for (llvm::Function& function : module) {
    if (function.isDeclaration() || function.getSection() != "mj_director") continue;
    function.setSection("");
    function.addFnAttr(llvm::Attribute::NoInline);
    function.addFnAttr(llvm::Attribute::OptimizeNone);
  }
}

}  // namespace maskjit::codegen
