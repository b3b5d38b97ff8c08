// Attention: a bound program and a problem -> a kernel, and its launch.
#include "runtime/api/state.h"
#include "runtime/plan/stages.h"

namespace maskjit {

using detail::AttentionState;
using detail::Prepared;

codegen::Selection detail::select(const AttentionState& attention,
                                  const codegen::ProblemSpec& problem) {
  const detail::EngineState& engine = *attention.engine;
  codegen::Selection selection = codegen::select_template(
      attention.bound.program, problem, engine.target, engine.options.only_template);
  if (selection.spec) selection.spec->opt_level = engine.options.opt_level;
  return selection;
}

KeyIndex::Execution AttentionState::execution() const {
  return {engine->options.threads, engine->target.print(), engine->options.thread_pool};
}

Result<AttentionState::Choice> AttentionState::prepare(const codegen::ProblemSpec& problem) const {
  {
    const std::shared_lock lock(mutex_);
    for (const auto& known : prepared_) {
      if (plan::same_kernel(known->problem, problem)) return Choice{known, cache::Origin::Memory};
    }
  }
  codegen::Selection selection = detail::select(*this, problem);
  if (!selection.spec) {
    std::string reasons;
    for (const codegen::Refusal& refusal : selection.refused) {
      reasons += fmt::format("\n  {}: {}", refusal.template_name, refusal.reason);
    }
    return Error{ErrorKind::Unsupported, "no kernel template supports this problem:" + reasons};
  }
  auto prepared = std::make_shared<Prepared>();
  prepared->problem = problem;
  prepared->spec = std::move(*selection.spec);
  prepared->refused = std::move(selection.refused);
  prepared->key = codegen::spec_key(bound.program, prepared->spec, engine->target);
  const auto found = engine->kernels.get_or_compile(prepared->key, [&] {
    return codegen::compile(bound.program, bound.tiles, prepared->spec, engine->target);
  });
  if (const auto* error = std::get_if<codegen::CompileError>(&found)) {
    return Error{ErrorKind::Internal, error->message};
  }
  const auto& lookup = std::get<cache::Lookup>(found);
  prepared->kernel = lookup.kernel;
  const std::unique_lock lock(mutex_);
  for (const auto& known : prepared_) {
    if (plan::same_kernel(known->problem, problem)) return Choice{known, lookup.origin};
  }
  prepared_.push_back(prepared);
  return Choice{std::move(prepared), lookup.origin};
}

Status Attention::run(const AttentionInputs& inputs, const AttentionOutputs& outputs) const {
  plan::Launch launch;
  if (auto error = plan::make_launch(state_->signature, inputs, outputs, launch))
    return std::move(*error);
  if (launch.nothing_to_do()) return Done{};
  if (launch.args.kv_len == 0) {
    plan::write_results_without_keys(launch);
    return Done{};
  }
  auto choice = state_->prepare(launch.problem);
  if (!choice) return choice.error();
  plan::summarise_tensors(state_->signature, launch);
  if (auto error = plan::make_index(state_->signature, inputs, state_->execution(), launch))
    return std::move(*error);
  const codegen::LoadedKernel& kernel = *choice->prepared->kernel->code;
  state_->engine->executor.run(kernel.plan, kernel.run, launch.args);
  return Done{};
}

Result<KeyIndex> Attention::make_index(const AttentionInputs& inputs) const {
  return plan::index_of(state_->signature, inputs, state_->execution());
}

Result<LaunchInfo> Attention::prepare(const AttentionInputs& inputs,
                                      const AttentionOutputs& outputs) const {
  plan::Launch launch;
  if (auto error = plan::make_launch(state_->signature, inputs, outputs, launch))
    return std::move(*error);
  auto choice = state_->prepare(launch.problem);
  if (!choice) return choice.error();
  const Prepared& prepared = *choice->prepared;
  LaunchInfo info;
  info.template_name = prepared.spec.template_name;
  info.target = prepared.kernel->target;
  info.spec = prepared.spec.print();
  info.key = prepared.key.hex();
  for (const codegen::Refusal& refusal : prepared.refused) {
    info.refused.emplace_back(refusal.template_name, refusal.reason);
  }
  info.origin = cache::name_of(choice->origin);
  info.stage_milliseconds = prepared.kernel->times;
  if (!launch.nothing_to_do() && launch.args.kv_len > 0) {
    info.work_items =
        state_->engine->executor.count_items(prepared.kernel->code->plan, launch.args);
  }
  return info;
}

std::vector<ParameterInfo> Attention::parameters() const {
  return detail::describe_parameters(state_->bound.program.function, true);
}

}  // namespace maskjit
