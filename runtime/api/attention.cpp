// Attention: a bound program and a problem -> a kernel, and its launch.
#include "runtime/api/device_call.h"
#include "runtime/api/state.h"
#include "runtime/plan/stages.h"

namespace maskjit {

using detail::AttentionState;
using detail::Prepared;

codegen::Selection detail::select(const AttentionState& attention,
                                  const codegen::ProblemSpec& problem,
                                  const codegen::Target& target) {
  const detail::EngineState& engine = *attention.engine;
  codegen::Selection selection = codegen::select_template(attention.bound.program, problem, target,
                                                          engine.options.only_template);
  if (selection.spec) selection.spec->opt_level = engine.options.opt_level;
  return selection;
}

KeyIndex::Execution AttentionState::execution() const {
  return {engine->options.threads, engine->device == nullptr ? engine->target.print() : "",
          engine->options.thread_pool};
}

Result<AttentionState::Choice> AttentionState::prepare(const codegen::ProblemSpec& problem) const {
  {
    const std::shared_lock lock(mutex_);
    for (const auto& known : prepared_) {
      if (plan::same_kernel(known->problem, problem)) return Choice{known, cache::Origin::Memory};
    }
  }
  codegen::Target target = engine->target;
  codegen::Selection selection = detail::select(*this, problem, target);
  if (!selection.spec) {
    std::string reasons;
    for (const codegen::Refusal& refusal : selection.refused) {
      reasons += fmt::format("\n  {}: {}", refusal.template_name, refusal.reason);
    }
    return Error{ErrorKind::Unsupported, "no kernel template supports this problem:" + reasons};
  }
  codegen::SpecKey key = codegen::spec_key(bound.program, *selection.spec, target);
  if (!engine->kernels.options().packs.empty() && !engine->kernels.is_packed(key)) {
    if (auto other = find_packed(problem)) {
      std::tie(target, selection, key) = std::move(*other);
    } else if (engine->options.require_packed) {
      return no_packed_kernel(*engine, *selection.spec, key);
    }
  }
  auto prepared = std::make_shared<Prepared>();
  prepared->problem = problem;
  prepared->spec = std::move(*selection.spec);
  prepared->refused = std::move(selection.refused);
  prepared->key = key;
  const auto found = engine->kernels.get_or_compile(
      key, [&] { return compile_kernel(*engine, bound, prepared->spec, target); });
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

// A packed kernel for an older target, best first.
std::optional<AttentionState::Packed> AttentionState::find_packed(
    const codegen::ProblemSpec& problem) const {
  for (const codegen::Target& target : device::runnable_targets(engine->target)) {
    codegen::Selection selection = detail::select(*this, problem, target);
    if (!selection.spec) continue;
    const codegen::SpecKey key = codegen::spec_key(bound.program, *selection.spec, target);
    if (engine->kernels.is_packed(key)) return Packed{target, std::move(selection), key};
  }
  return std::nullopt;
}

Status Attention::run(const AttentionInputs& inputs, const AttentionOutputs& outputs) const {
  if (state_->engine->device != nullptr) return detail::run_on_device(*state_, inputs, outputs);
  if (inputs.memory == MemorySpace::Device) {
    return Error{ErrorKind::InvalidInput,
                 "the call's tensors are in device memory, but the engine has no device"};
  }
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
  if (inputs.memory == MemorySpace::Device)
    return Error{ErrorKind::Unsupported, "an index is made of keys in host memory"};
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
    const detail::EngineState& engine = *state_->engine;
    info.work_items = engine.device == nullptr
                          ? engine.executor.count_items(prepared.kernel->code->plan, launch.args)
                          : detail::count_blocks(engine, prepared.spec, launch);
  }
  return info;
}

std::vector<ParameterInfo> Attention::parameters() const {
  return detail::describe_parameters(state_->bound.program.function, true);
}

}  // namespace maskjit
