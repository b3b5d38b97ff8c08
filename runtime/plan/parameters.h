#pragma once
// The run-time parameters and tensors of a spec, by name -> the kernel's scalars and tensors, by
// position.
#include <map>
#include <optional>
#include <string>

#include "runtime/plan/launch.h"

namespace maskjit::plan {

// Values within +-2^31 for integers; defaults where none is given.
std::optional<Error> take_scalars(const Signature& signature, const Values& values, Launch& launch);

// After the sizes in launch.args are set: tensor dimensions are checked against them; an extent of
// 1 broadcasts. Explicit masks come as masks, or as views that they are made of for this launch.
// What only an index is made of is not needed where one is given.
std::optional<Error> take_tensors(const Signature& signature, const AttentionInputs& inputs,
                                  Launch& launch);

// After scalars and sizes. The call's probability and variant before the spec's.
std::optional<Error> take_dropout(const Signature& signature, const AttentionInputs& inputs,
                                  Launch& launch);

}  // namespace maskjit::plan
