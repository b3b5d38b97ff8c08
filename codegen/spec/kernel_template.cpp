#include "codegen/spec/kernel_template.h"

#include <fmt/format.h>

#include <algorithm>

#include "codegen/spec/device_templates.h"
#include "kernels_templates/include/hooks.h"

namespace maskjit::codegen {
namespace {

constexpr int kMaxBlockedHeadDim = 256;

bool wants_pairs(const ProblemSpec& problem, const Target& target) {
  return problem.element == MJ_BF16 && problem.head_dim % 2 == 0 &&
         target.level >= HostLevel::Avx512Bf16;
}

Support supports_blocked(const ProblemSpec& problem) {
  if (problem.head_dim > kMaxBlockedHeadDim || problem.head_dim_v > kMaxBlockedHeadDim) {
    return Support::no(fmt::format("head dimensions {} and {}: blocked kernels go up to {}",
                                   problem.head_dim, problem.head_dim_v, kMaxBlockedHeadDim));
  }
  return {};
}

Support decode_supports(const ir::Program&, const ProblemSpec& problem, const Target&) {
  if (!problem.short_queries) {
    return Support::no(
        "more than 16 query rows share a key head: the forward kernel reuses keys better");
  }
  if (problem.dense_results) {
    return Support::no(
        "dense weights and the maximum over all keys need a second pass over the keys");
  }
  return supports_blocked(problem);
}

KernelSpec decode_specialise(const ProblemSpec& problem, const Target&) {
  KernelSpec spec;
  spec.problem = problem;
  spec.tile_q = 16;
  spec.tile_k = 64;
  return spec;
}

Support forward_supports(const ir::Program&, const ProblemSpec& problem, const Target&) {
  return supports_blocked(problem);
}

KernelSpec forward_specialise(const ProblemSpec& problem, const Target& target) {
  KernelSpec spec;
  spec.problem = problem;
  spec.pairs = wants_pairs(problem, target);
  spec.word_multiple = spec.pairs && target.level >= HostLevel::AmxBf16 ? 16 : 1;
  spec.tile_q = 32;
  spec.tile_k = 64;
  return spec;
}

Support select_supports(const ir::Program& program, const ProblemSpec& problem, const Target&) {
  if (program.stages.size() > mj_max_stages) {
    return Support::no(fmt::format("the sequence has {} stages; {} are possible",
                                   program.stages.size(), int{mj_max_stages}));
  }
  return supports_blocked(problem);
}

Support reference_supports(const ir::Program&, const ProblemSpec&, const Target&) { return {}; }

KernelSpec reference_specialise(const ProblemSpec& problem, const Target&) {
  KernelSpec spec;
  spec.problem = problem;
  spec.tile_q = 16;
  spec.tile_k = 64;
  return spec;
}

}  // namespace

const std::vector<KernelTemplate>& kernel_templates() {
  static const std::vector<KernelTemplate> templates = {
      {"host/attention_decode", "a few query rows against many keys, split over the keys",
       decode_supports, decode_specialise},
      {"host/attention_forward", "blocked attention with online softmax", forward_supports,
       forward_specialise},
      {"host/attention_reference", "one row at a time; supports everything", reference_supports,
       reference_specialise},
      {"host/attention_select", "attention over the keys that a sequence of maskers selects",
       select_supports, forward_specialise, /*selects=*/true},
  };
  return templates;
}

namespace {

bool is_weighted(const ir::Program& program, const ProblemSpec& problem) {
  return has_weights(problem) ||
         std::any_of(program.stages.begin(), program.stages.end(), [](const ir::Stage& stage) {
           return stage.rule == ir::Stage::Rule::Random ||
                  stage.rule == ir::Stage::Rule::Adaptive ||
                  stage.rule == ir::Stage::Rule::MagicPig;
         });
}

// As set_count() of nvptx/select: the active keys, and with weights those of each selector.
int key_sets(const ir::Program& program, const ProblemSpec& problem) {
  if (!is_weighted(program, problem)) return 1;
  return 1 + static_cast<int>(std::count_if(
                 program.stages.begin(), program.stages.end(),
                 [](const ir::Stage& stage) { return stage.rule != ir::Stage::Rule::Static; }));
}

}  // namespace

Selection select_template(const ir::Program& program, const ProblemSpec& problem,
                          const Target& target, std::string_view only) {
  Selection selection;
  for (const KernelTemplate& t : target.is_host() ? kernel_templates() : device_templates()) {
    if (!only.empty() && t.name != only) {
      selection.refused.push_back({t.name, "another template was asked for"});
      continue;
    }
    if (t.selects == program.stages.empty()) {
      selection.refused.push_back(
          {t.name, t.selects ? "the mask is static"
                             : "the mask is a sequence with selectors, which look at the scores"});
      continue;
    }
    const Support support = t.supports(program, problem, target);
    if (support.yes) {
      selection.spec = t.specialise(problem, target);
      selection.spec->template_name = t.name;
      // A hint does not reach the code: two problems that differ in it share a kernel.
      selection.spec->problem.short_queries = false;
      if (t.selects && !target.is_host()) {
        selection.spec->key_sets = key_sets(program, problem);
        selection.spec->ranks_by_mass =
            std::any_of(program.stages.begin(), program.stages.end(),
                        [](const ir::Stage& s) { return s.rule == ir::Stage::Rule::TopP; });
      }
      return selection;
    }
    selection.refused.push_back({t.name, support.reason});
  }
  return selection;
}

}  // namespace maskjit::codegen
