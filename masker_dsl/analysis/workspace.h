#pragma once
// Everything that one attempt to analyse a function needs, wired up.
#include <string>

#include "masker_dsl/analysis/abstract_tile.h"
#include "masker_dsl/analysis/key_ranges.h"

namespace maskjit::analysis {

// How often terms are taken apart, and how many conjunctions are looked at together.
struct Effort {
  int splits;
  size_t disjuncts;
};
inline constexpr Effort kEfforts[] = {{128, 16}, {16, 6}, {0, 1}};

// A function without nodes that has the parameters and tensors of another.
inline ir::Function empty_like(const ir::Function& function, std::string name) {
  ir::Function result(std::move(name));
  for (const ir::Param& param : function.params()) result.add_param(param);
  for (const ir::Tensor& tensor : function.tensors()) result.add_tensor(tensor);
  return result;
}

struct Workspace {
  Workspace(const ir::Function& function, Effort effort, const char* name)
      : source(function),
        formulas(source, effort.splits),
        target(empty_like(function, name)),
        builder(target) {}
  Source source;
  Formulas formulas;
  ir::Function target;
  FoldingBuilder builder;
};

}  // namespace maskjit::analysis
