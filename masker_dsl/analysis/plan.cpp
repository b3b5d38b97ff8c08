#include "masker_dsl/analysis/plan.h"

#include <fmt/format.h>

#include "masker_dsl/analysis/infix.h"

namespace maskjit::analysis {
namespace {

using ir::Stage;

std::string call(const ir::Program& program, std::string_view name,
                 const std::vector<Stage::Argument>& arguments) {
  std::string text;
  for (const Stage::Argument& argument : arguments) {
    text += fmt::format("{}{} = {}", text.empty() ? "" : ", ", argument.name,
                        argument.tensor ? program.function.tensors()[*argument.tensor].name
                                        : to_infix(program.function, argument.value));
  }
  return fmt::format("{}({})", name, text);
}

bool has_index(const Stage& stage) {
  return stage.rule == Stage::Rule::MagicPig || (!stage.scorer.empty() && stage.scorer != "logits");
}

bool ranks_exactly(const Stage& stage) {
  return stage.rule != Stage::Rule::Static && stage.scorer == "logits";
}

std::string steps(const ir::Program& program, const Stage& stage) {
  const std::string rule = call(program, ir::name_of(stage.rule), stage.arguments);
  switch (stage.rule) {
    case Stage::Rule::Static:
      return fmt::format("static: {} -> active keys{}", to_infix(program.function, stage.mask),
                         stage.weight.valid() ? ", a weight a key" : "");
    case Stage::Rule::TopK:
    case Stage::Rule::TopP:
      return fmt::format("{} by {}: {} -> threshold -> active keys", rule, stage.scorer,
                         stage.scorer == "logits" ? "scores"
                         : stage.scorer == "page_bound" && stage.rule == Stage::Rule::TopK
                             ? "index -> scores of pages"
                             : "index -> scores of candidates");
    case Stage::Rule::Random:
      return rule + ": draws -> active keys, a weight a key";
    case Stage::Rule::Adaptive:
      return rule +
             ": base sample and its scores -> budget -> draws -> active keys, a weight a key";
    case Stage::Rule::MagicPig:
      return rule +
             ": index -> keys that share a code, and their scores -> active keys, a weight a "
             "key";
  }
  return "";
}

}  // namespace

std::string explain_plan(const ir::Program& program, bool keeps_scores) {
  if (program.stages.empty()) return "";
  std::string text, index;
  bool exact = false;
  for (const Stage& stage : program.stages) {
    exact |= ranks_exactly(stage);
    if (!has_index(stage)) continue;
    const bool lsh = stage.rule == Stage::Rule::MagicPig;
    index += "           " +
             call(program, lsh ? ir::name_of(stage.rule) : std::string_view(stage.scorer),
                  lsh ? stage.arguments : stage.scorer_arguments) +
             "\n";
  }
  if (!index.empty()) text += "index    of the keys, kept between calls or made for one\n" + index;
  if (!exact) {
    text += "scores   exact, of the keys that need one\n";
  } else if (keeps_scores) {
    text += "scores   exact, of every candidate: 4 bytes a key, of the rows of a block at a time\n";
  } else {
    text += "scores   exact, of every candidate, computed anew for each digit of a threshold\n";
  }
  text += fmt::format("limit    {} -> candidates, 1 bit a key\n",
                      to_infix(program.function, program.function.result("mask")));
  for (size_t i = 0; i < program.stages.size(); ++i)
    text += fmt::format("stage {}  {}\n", i, steps(program, program.stages[i]));
  return text + "attend   over the active keys, keys and values read where they are\n";
}

}  // namespace maskjit::analysis
