#pragma once
// The results of a call beside the same computed in f64 by interpretation.
#include <optional>

#include "tools/maskjit/attention_data.h"

namespace maskjit::cli {

struct Deviation {
  std::string result;  // "output", "lse", ...
  double relative =
      0;  // |computed - reference| / |reference|, Euclidean norms over all finite elements
  bool infinities_agree = true;  // -inf (rows without keys) and NaN stand in the same places
  double allowed = 0;            // for this element type
  bool acceptable() const { return infinities_agree && relative <= allowed; }
};

Result<std::vector<Deviation>> compare_with_reference(const Spec& spec, const AttentionData& data,
                                                      const LaunchValues& values,
                                                      const AttentionInputs& inputs,
                                                      const AttentionOutputs& outputs);

}  // namespace maskjit::cli
