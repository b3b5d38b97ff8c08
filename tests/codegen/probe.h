#pragma once
// Compiles the probe template for a function and evaluates its hooks at one point.
#include <cstring>
#include <memory>
#include <stdexcept>

#include "codegen/compile.h"
#include "masker_dsl/interp/interpreter.h"

namespace maskjit::codegen {

struct ProbeResult {  // as MjProbe in kernels_templates/host/probe/probe.cpp
  int64_t tile_class;
  int64_t ends[16];
  float score;
  int32_t keep[64];
};

class Probe {
 public:
  Probe(const ir::Program& program, const analysis::TileFunctions& tiles,
        const ProblemSpec& problem, const Target& target, int opt_level) {
    KernelSpec spec;
    spec.template_name = "host/probe";
    spec.problem = problem;
    spec.opt_level = opt_level;
    auto compiled = compile(program, tiles, spec, target);
    if (auto* error = std::get_if<CompileError>(&compiled))
      throw std::runtime_error(error->message);
    auto loaded = load(std::get<CodeArtifact>(compiled));
    if (auto* error = std::get_if<CompileError>(&loaded)) throw std::runtime_error(error->message);
    kernel_ = std::move(std::get<0>(loaded));
  }

  // The element functions are evaluated at (q, k) = (QueryLo, KeyLo ...).
  ProbeResult run(const ir::Function& function, const interp::Environment& at) const {
    MjAttentionArgs args{};
    args.q_len = at[ir::Var::QLen];
    args.kv_len = at[ir::Var::KvLen];
    args.q_offset = at[ir::Var::QOffset];
    args.batch_size = at[ir::Var::BatchSize];
    args.num_heads = at[ir::Var::NumHeads];
    args.num_kv_heads = at[ir::Var::NumKvHeads];
    std::vector<int64_t> scalars;
    for (size_t i = 0; i < function.params().size(); ++i) {
      if (function.params()[i].time != ir::BindingTime::Runtime) continue;
      int64_t bits = at.params[i].integer;
      if (function.params()[i].type == ir::Type::Float) std::memcpy(&bits, &at.params[i].real, 8);
      scalars.push_back(bits);
    }
    std::vector<MjTensor> tensors;
    for (const interp::TensorValue& t : at.tensors) {
      MjTensor view{};
      view.data = t.data;
      for (size_t d = 0; d < t.extents.size(); ++d) {
        view.extent[d] = t.extents[d];
        view.stride[d] = t.strides[d];
      }
      tensors.push_back(view);
    }
    args.scalars = scalars.data();
    args.tensors = tensors.data();
    const float score = static_cast<float>(at.score);
    uint32_t score_bits;
    std::memcpy(&score_bits, &score, 4);
    MjPlan plan{};
    const ir::Var places[] = {ir::Var::Batch,   ir::Var::Head,  ir::Var::KvHead, ir::Var::QueryLo,
                              ir::Var::QueryHi, ir::Var::KeyLo, ir::Var::KeyHi};
    for (size_t i = 0; i < std::size(places); ++i) plan.parameters[i] = at[places[i]];
    plan.parameters[7] = score_bits;
    ProbeResult result{};
    kernel_->run(&args, &plan, 0, 0, &result);
    return result;
  }

 private:
  std::unique_ptr<LoadedKernel> kernel_;
};

}  // namespace maskjit::codegen
