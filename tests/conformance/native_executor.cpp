#include <cstring>

#include "kernels_templates/include/kernel_abi.h"
#include "tests/conformance/executor.h"

// The constants and hooks that the natively compiled templates leave open. They are set for one
// problem at a time.
extern "C" {
int32_t mj_head_dim, mj_head_dim_v, mj_element, mj_additive, mj_dense_results, mj_tile_q, mj_tile_k,
    mj_pairs, mj_word_multiple, mj_mask_full, mj_score_identity, mj_by_head, mj_range_count,
    mj_weighted, mj_dropout, mj_stage_count;
int64_t mj_stage_rules, mj_stage_scorers;

void native_forward_plan(const MjAttentionArgs*, int64_t, MjPlan*);
void native_forward_run(const MjAttentionArgs*, const MjPlan*, int64_t, int64_t, void*);
void native_decode_plan(const MjAttentionArgs*, int64_t, MjPlan*);
void native_decode_run(const MjAttentionArgs*, const MjPlan*, int64_t, int64_t, void*);
void native_reference_plan(const MjAttentionArgs*, int64_t, MjPlan*);
void native_reference_run(const MjAttentionArgs*, const MjPlan*, int64_t, int64_t, void*);
void native_select_plan(const MjAttentionArgs*, int64_t, MjPlan*);
void native_select_run(const MjAttentionArgs*, const MjPlan*, int64_t, int64_t, void*);
}

namespace maskjit::conformance {
namespace {

using ir::Var;

// The mask, score and tile functions of the current problem, evaluated by the interpreter.
struct Hooks {
  explicit Hooks(const Problem& problem)
      : keep(problem.program().function, problem.program().function.result("mask")),
        score(problem.program().function, problem.program().function.result("score")),
        may(problem.tiles().tile, problem.tiles().tile.result("may")),
        must(problem.tiles().tile, problem.tiles().tile.result("must")) {
    const ir::Function& element = problem.program().function;
    if (const ir::Value w = element.result("weight"); w.valid()) weight.emplace(element, w);
    const ir::Function& f = problem.tiles().ranges;
    for (int i = 0; i < problem.tiles().range_count; ++i) {
      ends.emplace_back(f, f.result("lo" + std::to_string(i)));
      ends.emplace_back(f, f.result("hi" + std::to_string(i)));
    }
    for (const ir::Stage& stage : problem.program().stages) {
      Stage& evaluators = stages.emplace_back();
      if (stage.mask.valid()) evaluators.keep.emplace(element, stage.mask);
      if (stage.weight.valid()) evaluators.weight.emplace(element, stage.weight);
      for (const ir::Stage::Argument& argument : stage.arguments)
        evaluators.arguments.emplace_back(element, argument.value);
    }
    const ProblemDescription& d = problem.description();
    at.params = problem.reference_inputs().params;
    at.tensors = problem.reference_inputs().tensors;
    at[Var::QLen] = d.q_len;
    at[Var::KvLen] = d.kv_len;
    at[Var::QOffset] = *problem.reference_inputs().q_offset;
    at[Var::BatchSize] = d.batch;
    at[Var::NumHeads] = d.num_heads;
    at[Var::NumKvHeads] = d.num_kv_heads;
    at[Var::HeadDim] = d.head_dim;
  }
  void place(int32_t batch, int32_t head, int32_t kv_head) {
    at[Var::Batch] = batch;
    at[Var::Head] = head;
    at[Var::KvHead] = kv_head;
  }
  struct Stage {
    std::optional<interp::Evaluator> keep, weight;
    std::vector<interp::Evaluator> arguments;
  };
  interp::Evaluator keep, score, may, must;
  std::vector<Stage> stages;
  std::optional<interp::Evaluator> weight;
  std::vector<interp::Evaluator> ends;
  interp::Environment at;
};

Hooks* current = nullptr;

}  // namespace
}  // namespace maskjit::conformance

using maskjit::conformance::current;
using maskjit::ir::Var;

extern "C" {

bool mj_keep(const MjAttentionArgs*, int32_t batch, int32_t head, int32_t kv_head, int32_t q,
             int32_t k) {
  current->place(batch, head, kv_head);
  current->at[Var::Query] = q;
  current->at[Var::Key] = k;
  return current->keep(current->at).integer != 0;
}

float mj_score(const MjAttentionArgs*, int32_t batch, int32_t head, int32_t kv_head, int32_t q,
               int32_t k, float s) {
  current->place(batch, head, kv_head);
  current->at[Var::Query] = q;
  current->at[Var::Key] = k;
  current->at.score = s;
  return static_cast<float>(current->score(current->at).real);
}

float mj_weight(const MjAttentionArgs*, int32_t batch, int32_t head, int32_t kv_head, int32_t q,
                int32_t k) {
  current->place(batch, head, kv_head);
  current->at[Var::Query] = q;
  current->at[Var::Key] = k;
  return static_cast<float>((*current->weight)(current->at).real);
}

int32_t mj_tile_class(const MjAttentionArgs*, int32_t batch, int32_t head, int32_t kv_head,
                      int32_t q_lo, int32_t q_hi, int32_t k_lo, int32_t k_hi) {
  current->place(batch, head, kv_head);
  current->at[Var::QueryLo] = q_lo;
  current->at[Var::QueryHi] = q_hi;
  current->at[Var::KeyLo] = k_lo;
  current->at[Var::KeyHi] = k_hi;
  if (current->may(current->at).integer == 0) return 0;
  return current->must(current->at).integer != 0 ? 2 : 1;
}

void mj_key_ranges(const MjAttentionArgs*, int32_t batch, int32_t head, int32_t kv_head,
                   int32_t q_lo, int32_t q_hi, int64_t* ends) {
  current->place(batch, head, kv_head);
  current->at[Var::QueryLo] = q_lo;
  current->at[Var::QueryHi] = q_hi;
  for (size_t i = 0; i < current->ends.size(); ++i) ends[i] = current->ends[i](current->at).integer;
}

bool mj_stage_keep(const MjAttentionArgs*, int32_t stage, int32_t batch, int32_t head,
                   int32_t kv_head, int32_t q, int32_t k) {
  current->place(batch, head, kv_head);
  current->at[Var::Query] = q;
  current->at[Var::Key] = k;
  return (*current->stages.at(static_cast<size_t>(stage)).keep)(current->at).integer != 0;
}

float mj_stage_weight(const MjAttentionArgs*, int32_t stage, int32_t batch, int32_t head,
                      int32_t kv_head, int32_t q, int32_t k) {
  current->place(batch, head, kv_head);
  current->at[Var::Query] = q;
  current->at[Var::Key] = k;
  auto& weight = current->stages.at(static_cast<size_t>(stage)).weight;
  return weight ? static_cast<float>((*weight)(current->at).real) : 1.0f;
}

void mj_stage_numbers(const MjAttentionArgs*, int32_t stage, int32_t batch, int32_t head,
                      int32_t kv_head, int32_t q, MjStageNumbers* numbers) {
  current->place(batch, head, kv_head);
  current->at[Var::Query] = q;
  auto& arguments = current->stages.at(static_cast<size_t>(stage)).arguments;
  numbers->count = -1;
  for (size_t i = 0; i < arguments.size(); ++i) {
    const maskjit::ir::Scalar value = arguments[i](current->at);
    if (value.type == maskjit::ir::Type::Int) numbers->count = value.integer;
    if (value.type == maskjit::ir::Type::Float)
      numbers->fractions[i] = static_cast<float>(value.real);
  }
}

}  // extern "C"

namespace maskjit::conformance {
namespace {

class NativeExecutor final : public Executor {
 public:
  explicit NativeExecutor(std::string name) : template_name_(std::move(name)) {}
  std::string name() const override { return "native_" + template_name_; }

  bool considers(const ProblemDescription& d) const override {
    if (d.sequence != (template_name_ == "select")) return false;
    return template_name_ != "decode" ||
           (d.q_len * (d.num_heads / d.num_kv_heads) <= 16 && !d.dense_results);
  }

  Results run(const Problem& problem, int threads) const override {
    const codegen::ProblemSpec& spec = problem.spec();
    const ir::Function& function = problem.program().function;
    mj_head_dim = spec.head_dim;
    mj_head_dim_v = spec.head_dim_v;
    mj_element = spec.element;
    mj_additive = spec.additive;
    mj_dense_results = spec.dense_results;
    mj_tile_q = template_name_ == "forward" ? 32 : 16;
    mj_tile_k = template_name_ == "forward" ? 32 : 64;
    // These kernels take pairs where a CPU with bf16 instructions would.
    const bool multiplies = template_name_ == "forward" || template_name_ == "select";
    mj_pairs = multiplies && spec.element == MJ_BF16 && spec.head_dim % 2 == 0;
    mj_word_multiple = 1;
    mj_mask_full = 0;
    mj_score_identity = function[function.result("score")].op == ir::Op::Variable;
    mj_by_head = 1;
    mj_weighted = codegen::has_weights(spec);
    mj_dropout = spec.dropout;
    mj_range_count = problem.tiles().range_count;
    const std::vector<ir::Stage>& stages = problem.program().stages;
    mj_stage_count = static_cast<int32_t>(stages.size());
    mj_stage_rules = 0;
    for (size_t i = 0; i < stages.size(); ++i)
      mj_stage_rules |= static_cast<int64_t>(stages[i].rule) << (8 * i);
    mj_stage_scorers = 0;
    Hooks hooks(problem);
    current = &hooks;
    Results results;
    if (template_name_ == "forward") {
      results = problem.launch(native_forward_plan, native_forward_run, threads);
    } else if (template_name_ == "decode") {
      results = problem.launch(native_decode_plan, native_decode_run, threads);
    } else if (template_name_ == "select") {
      results = problem.launch(native_select_plan, native_select_run, threads);
    } else {
      results = problem.launch(native_reference_plan, native_reference_run, threads);
    }
    current = nullptr;
    return results;
  }

 private:
  std::string template_name_;
};

}  // namespace

std::unique_ptr<Executor> native_executor(const std::string& template_name) {
  return std::make_unique<NativeExecutor>(template_name);
}

}  // namespace maskjit::conformance
