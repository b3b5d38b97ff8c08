#pragma once
// Bound program -> what a launch of it needs beside query, key and value: the run-time parameters
// and tensors, in the order of the kernel's arguments.
#include <algorithm>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "masker_dsl/analysis/tile_analysis.h"
#include "masker_dsl/ir/program.h"
#include "runtime/api/tensor_view.h"
#include "runtime/index/key_index.h"

namespace maskjit::plan {

struct ScalarParameter {
  std::string name;
  ir::Type type = ir::Type::Int;
  std::optional<ir::Scalar> default_value;
  bool used = false;  // by the bound program; only then it must have a value
};

struct TensorParameter {
  std::string name;
  ElementType element = ElementType::I32;
  std::vector<ir::Dim> dims;
  bool used = false;
  bool summarised = false;  // tile functions read the minimum or maximum of its blocks
  bool bits = false;        // an explicit mask; `element` has no meaning
  bool weighted = false;    // the kernel reads the weights of the mask
  bool indexed = false;     // a scorer's index is made of it
};

// A stage of a sequence: what its selector needs at launch.
struct StageParameter {
  std::optional<KeyIndex::Part> part;  // of its scorer, without tensors; none: the exact logits
  std::string scorer_name;             // "page_bound"
  std::vector<std::pair<std::string, std::string>>
      tensors;  // of the part: what it calls them, and the spec's tensor
  int32_t min_pages = 0;
};

// The spec's dropout clause.
struct DropoutClause {
  ir::Function function;  // its result "p" is the probability, of run-time parameters and sizes
  bool renormalise = false;
};

struct Signature {
  std::vector<ScalarParameter> scalars;  // by position among the run-time parameters
  std::vector<TensorParameter> tensors;  // by Function::tensors index
  std::optional<DropoutClause> dropout;
  std::vector<StageParameter> stages;

  bool needs_index() const {
    return std::any_of(stages.begin(), stages.end(),
                       [](const StageParameter& stage) { return stage.part.has_value(); });
  }
};

Signature signature_of(const ir::Program& program, const analysis::TileFunctions& tiles);

ElementType element_type_of(ir::Element element);

}  // namespace maskjit::plan
