#pragma once
// Everything that one attempt to analyse a function needs, wired up.
#include <string>

#include "masker_dsl/analysis/abstract_tile.h"
#include "masker_dsl/analysis/key_ranges.h"

namespace maskjit::analysis {

// The rules recurse over the mask: one that is deeper than anything a person writes is not
// analysed.
bool is_analysable(const ir::Function& function);

// A function without nodes that has the parameters and tensors of another.
ir::Function empty_like(const ir::Function& function, std::string name);

struct Workspace {
  Workspace(const ir::Function& function, Effort effort, const char* name);
  Source source;
  Formulas formulas;
  ir::Function target;
  FoldingBuilder builder;
};

}  // namespace maskjit::analysis
