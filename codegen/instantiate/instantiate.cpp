#include "codegen/instantiate/instantiate.h"

#include <fmt/format.h>
#include <llvm/Bitcode/BitcodeReader.h>
#include <llvm/IR/Module.h>
#include <llvm/Linker/Linker.h>
#include <llvm/Support/MemoryBuffer.h>

#include <map>

#include "codegen/lower/device_instructions.h"
#include "codegen/lower/lower.h"
#include "kernels_templates/include/device_abi.h"
#include "kernels_templates/include/embedded.h"
#include "kernels_templates/include/hooks.h"
#include "kernels_templates/include/select_abi.h"
#include "masker_dsl/ir/internal_error.h"

namespace maskjit::codegen {
namespace {

std::unique_ptr<llvm::Module> load_bitcode(const std::string& name, llvm::LLVMContext& context) {
  for (const auto& t : templates::embedded_templates()) {
    if (name != t.name) continue;
    const llvm::MemoryBufferRef buffer(
        llvm::StringRef(reinterpret_cast<const char*>(t.data), t.size), name);
    llvm::Expected<std::unique_ptr<llvm::Module>> module = llvm::parseBitcodeFile(buffer, context);
    MASKJIT_CHECK(!!module,
                  "embedded bitcode of " + name + ": " + llvm::toString(module.takeError()));
    return std::move(*module);
  }
  MASKJIT_CHECK(false, "no template is called " + name);
  return nullptr;
}

void define_constant(llvm::Module& module, const std::string& name, int64_t value) {
  llvm::GlobalVariable* global = module.getNamedGlobal(name);
  if (global == nullptr) return;
  MASKJIT_CHECK(global->isDeclaration(), "constant " + name + " is already defined");
  global->setInitializer(llvm::ConstantInt::getSigned(global->getValueType(), value));
  global->setConstant(true);
  global->setLinkage(llvm::GlobalValue::InternalLinkage);
}

bool depends_on_head(const analysis::TileFunctions& tiles) {
  const uint32_t heads = ir::bit(ir::Var::Head) | ir::bit(ir::Var::KvHead);
  for (const ir::Function* function : {&tiles.tile, &tiles.ranges}) {
    for (const ir::Result& result : function->results()) {
      if ((function->variables_of(result.value) & heads) != 0) return true;
    }
  }
  return false;
}

bool is_constant_true(const ir::Function& function, ir::Value value) {
  return function[value].op == ir::Op::Const && function[value].constant.integer != 0;
}

MjRule rule_of(ir::Stage::Rule rule) {
  switch (rule) {
    case ir::Stage::Rule::Static:
      return MJ_STATIC;
    case ir::Stage::Rule::TopK:
      return MJ_TOP_K;
    case ir::Stage::Rule::TopP:
      return MJ_TOP_P;
    case ir::Stage::Rule::Random:
      return MJ_RANDOM;
    case ir::Stage::Rule::Adaptive:
      return MJ_ADAPTIVE;
    case ir::Stage::Rule::MagicPig:
      return MJ_MAGIC_PIG;
  }
  return MJ_STATIC;
}

// A number a stage, 8 bits each.
template <typename Of>
int64_t by_stage(const ir::Program& program, const Of& of) {
  MASKJIT_CHECK(program.stages.size() <= mj_max_stages, "more stages than kernels have");
  uint64_t all = 0;
  for (size_t i = 0; i < program.stages.size(); ++i)
    all |= static_cast<uint64_t>(of(program.stages[i])) << (8 * i);
  return static_cast<int64_t>(all);
}

void rewrite_attributes(llvm::Module& module, const Target& target) {
  const TargetAttributes attributes = attributes_of(target);
  for (llvm::Function& function : module) {
    if (function.isDeclaration()) continue;
    for (const char* stale : {"target-cpu", "target-features", "tune-cpu", "min-legal-vector-width",
                              "prefer-vector-width", "stack-protector-buffer-size"}) {
      function.removeFnAttr(stale);
    }
    function.addFnAttr("target-cpu", attributes.cpu);
    if (!attributes.features.empty()) function.addFnAttr("target-features", attributes.features);
    if (!attributes.tune.empty()) function.addFnAttr("tune-cpu", attributes.tune);
    if (target.is_host() && target.level >= HostLevel::Avx512) {
      function.addFnAttr("min-legal-vector-width", "512");
      function.addFnAttr("prefer-vector-width", "512");
    }
    function.removeFnAttr(llvm::Attribute::UWTable);
    function.addFnAttr(llvm::Attribute::NoUnwind);
  }
}

}  // namespace

TargetAttributes attributes_of(const Target& target) {
  // The oldest PTX ISA that has the target, so that drivers of that time load the text.
  if (!target.is_host()) {
    const char* isa = target.sm >= 120   ? "+ptx87"
                      : target.sm >= 100 ? "+ptx86"
                      : target.sm >= 90  ? "+ptx80"
                      : target.sm >= 89  ? "+ptx78"
                                         : "+ptx71";
    return {target.print(), isa, ""};
  }
  switch (target.level) {
    case HostLevel::Baseline:
      return {"x86-64", "", "generic"};
    case HostLevel::Avx2:
      return {"x86-64-v3", "", "haswell"};
    case HostLevel::Avx512:
      return {"x86-64-v4", "", "skylake-avx512"};
    case HostLevel::Avx512Bf16:
      return {"x86-64-v4", "+avx512bf16", "sapphirerapids"};
    case HostLevel::AmxBf16:
      return {"x86-64-v4", "+avx512bf16,+amx-tile,+amx-bf16", "sapphirerapids"};
  }
  return {};
}

std::unique_ptr<llvm::Module> link_template(const KernelSpec& spec, llvm::LLVMContext& context) {
  const std::string stem = spec.template_name.substr(spec.template_name.rfind('/') + 1);
  std::unique_ptr<llvm::Module> module = load_bitcode(spec.template_name + "/" + stem, context);
  module->setModuleIdentifier(spec.template_name);
  // Without optimisation the calls that are never made stay.
  const bool on_host = spec.template_name.starts_with("host/");
  const bool adjusts = has_weights(spec.problem) || spec.problem.dropout != MJ_NO_DROPOUT;
  if (on_host && (adjusts || spec.opt_level == 0)) {
    const bool failed = llvm::Linker(*module).linkInModule(load_bitcode("host/adjust", context));
    MASKJIT_CHECK(!failed, "linking host/adjust into " + spec.template_name);
  }
  return module;
}

void specialise(const ir::Program& program, const analysis::TileFunctions& tiles,
                const KernelSpec& spec, const Target& target, llvm::Module& module) {
  const ProblemSpec& problem = spec.problem;
  const ir::Function& element = program.function;
  const ir::Node& score = element[element.result("score")];
  const std::map<std::string, int64_t> constants = {
      {"mj_head_dim", problem.head_dim},
      {"mj_head_dim_v", problem.head_dim_v},
      {"mj_element", problem.element},
      {"mj_additive", problem.additive},
      {"mj_dense_results", problem.dense_results},
      {"mj_warps", spec.warps},
      {"mj_tile_q", spec.tile_q},
      {"mj_tile_k", spec.tile_k},
      {"mj_pairs", spec.pairs},
      {"mj_word_multiple", spec.word_multiple},
      {"mj_mask_full", is_constant_true(element, element.result("mask"))},
      {"mj_score_identity", score.op == ir::Op::Variable && score.var() == ir::Var::Score},
      {"mj_weighted", has_weights(problem)},
      {"mj_dropout", problem.dropout},
      {"mj_by_head", depends_on_head(tiles)},
      {"mj_range_count", tiles.range_count},
      {"mj_keep_words", !target.is_host() && has_keep_words(program, problem)},
      {"mj_stage_count", static_cast<int64_t>(program.stages.size())},
      {"mj_stage_rules",
       by_stage(program, [](const ir::Stage& stage) { return rule_of(stage.rule); })},
      {"mj_stage_scorers", by_stage(program, scorer_kind)},
  };
  for (const auto& [name, value] : constants) define_constant(module, name, value);
  lower_hooks(program, tiles, problem,
              target.is_host() ? ArgumentLayout::Host : ArgumentLayout::Device, module);
  if (!target.is_host()) define_device_instructions(module);
  // Only now is it known which support functions the hooks call.
  llvm::Linker linker(module);
  const auto calls = [&](const char* prefix) {
    return std::any_of(module.begin(), module.end(), [&](const llvm::Function& function) {
      return function.isDeclaration() && function.getName().starts_with(prefix);
    });
  };
  std::vector<const char*> parts;
  if (calls("mj_tensor_")) parts.push_back("tensor_range");
  if (calls("mj_exp") || calls("mj_log") || calls("mj_tanh") || calls("mj_widen"))
    parts.push_back("math");
  // Hosts have it among their microkernels.
  if (!target.is_host() && calls("mj_bit_tile")) parts.push_back("microkernels/bit_tile");
  for (const char* part : parts) {
    const bool failed = linker.linkInModule(
        load_bitcode((target.is_host() ? "host/" : "nvptx/") + std::string(part),
                     module.getContext()),
        llvm::Linker::Flags::LinkOnlyNeeded);
    MASKJIT_CHECK(!failed, std::string("linking ") + part);
  }
  rewrite_attributes(module, target);
  const std::pair<const char*, int> threads[] = {{"mj_attention", spec.warps * 32},
                                                 {"mj_merge", mj_merge_threads},
                                                 {"mj_select", mj_select_threads},
                                                 {"mj_tiles", mj_tiles_threads}};
  for (const auto& [name, count] : threads) {
    if (llvm::Function* kernel = module.getFunction(name); kernel != nullptr && !target.is_host())
      kernel->addFnAttr("nvvm.maxntid", std::to_string(count));
  }
  for (llvm::GlobalValue& global : module.global_values()) {
    if (global.isDeclaration()) continue;
    const llvm::StringRef name = global.getName();
    const auto* function = llvm::dyn_cast<llvm::Function>(&global);
    const bool is_kernel =
        function != nullptr && function->getCallingConv() == llvm::CallingConv::PTX_Kernel;
    if (name == "mj_plan" || name == "mj_run" || is_kernel) {
      global.setVisibility(llvm::GlobalValue::DefaultVisibility);
      continue;
    }
    global.setLinkage(llvm::GlobalValue::InternalLinkage);
    global.setVisibility(llvm::GlobalValue::DefaultVisibility);
  }
}

}  // namespace maskjit::codegen
