#include "masker_dsl/ir/program.h"

#include <fmt/format.h>

namespace maskjit::ir {

std::string_view name_of(Stage::Rule rule) {
  switch (rule) {
    case Stage::Rule::Static:
      return "static";
    case Stage::Rule::TopK:
      return "top_k";
    case Stage::Rule::TopP:
      return "top_p";
    case Stage::Rule::Random:
      return "random";
    case Stage::Rule::Adaptive:
      return "adaptive";
    case Stage::Rule::MagicPig:
      return "magic_pig";
  }
  return "";
}

Function with_stage_results(const Program& program) {
  Function function = program.function;
  if (program.dropout) function.add_result("dropout", program.dropout->probability);
  for (size_t i = 0; i < program.stages.size(); ++i) {
    const Stage& stage = program.stages[i];
    const auto add = [&](std::string_view of, const Stage::Argument& argument) {
      const Value value =
          argument.tensor ? function.constant_int(*argument.tensor) : argument.value;
      function.add_result(fmt::format("stage{}.{}.{}", i, of, argument.name), value);
    };
    if (stage.mask.valid()) function.add_result(fmt::format("stage{}.static", i), stage.mask);
    if (stage.weight.valid()) function.add_result(fmt::format("stage{}.weight", i), stage.weight);
    for (const Stage::Argument& argument : stage.arguments) add(name_of(stage.rule), argument);
    for (const Stage::Argument& argument : stage.scorer_arguments) add(stage.scorer, argument);
    // A selector without arguments still says what it is.
    if (stage.rule != Stage::Rule::Static)
      function.add_result(fmt::format("stage{}.{}.by_{}", i, name_of(stage.rule), stage.scorer),
                          function.constant_bool(true));
  }
  return function;
}

}  // namespace maskjit::ir
