#pragma once
// The selectors of a sequence at launch: the keys of their random numbers, and the per-key data of
// their scorers.
#include <optional>
#include <vector>

#include "runtime/plan/launch.h"

namespace maskjit::plan {

// After the sizes in launch.args are set. The index that is given must be one of these keys, with a
// part for every scorer.
std::optional<Error> take_stages(const Signature& signature, const AttentionInputs& inputs,
                                 Launch& launch);

// Makes the index that the scorers need, where take_stages did not find it given.
std::optional<Error> make_index(const Signature& signature, const AttentionInputs& inputs,
                                const KeyIndex::Execution& execution, Launch& launch);

// An index of inputs.key for every scorer of the spec; without a scorer that needs one an error.
Result<KeyIndex> index_of(const Signature& signature, const AttentionInputs& inputs,
                          const KeyIndex::Execution& execution);

}  // namespace maskjit::plan
