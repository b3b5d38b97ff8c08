#pragma once
// What the front end hands on: one checked attention.
//
// `function` has the results "mask" (Bool, a function of the element) and "score" (Float, a
// function of Var::Score and the element; it is Var::Score itself when the spec has no score). Both
// share parameters and tensors. A mask that reads Bit tensors has the result "weight" (Float), too:
// w of an active entry, without meaning elsewhere.
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "masker_dsl/ir/function.h"

namespace maskjit::ir {

struct Dropout {
  Value probability;  // Float, Const or Runtime; a node of Program::function
  bool renormalise = false;
};

// One stage of `a then b then c`. Static stages carry a Bool value, selectors their rule and
// arguments.
struct Stage {
  enum class Rule : uint8_t { Static, TopK, TopP, Random, Adaptive, MagicPig } rule = Rule::Static;
  Value mask;    // Static: what it selects
  Value weight;  // Static: Float, the weight of what it selects; invalid: 1
  struct Argument {
    std::string name;
    Value value;  // Int, Float or Bool; invalid for tensors
    std::optional<uint32_t> tensor;
  };
  std::vector<Argument> arguments;
  std::string scorer;  // "logits", "page_bound", ... for rules that take one
  std::vector<Argument> scorer_arguments;
};

struct Program {
  std::string name;
  Function function;
  std::optional<Dropout> dropout;
  // Empty when the mask is static. Otherwise "mask" is the surrounding candidate condition C of
  // `C & (stage then stage ...)` and the stages run in order.
  std::vector<Stage> stages;
};

// The function with everything that the program keeps beside it as further results, in a fixed
// order: "dropout", "stage0.static", "stage0.weight", "stage1.top_k.n", ... A tensor of an argument
// is named with the Const that is its index: "stage1.page_bound.table".
Function with_stage_results(const Program& program);

std::string_view name_of(Stage::Rule rule);  // "static", "top_k", ...

}  // namespace maskjit::ir
