#pragma once
// What the options of an index may be.
#include <optional>

#include "codegen/target/target.h"
#include "runtime/index/key_index.h"

namespace maskjit::index {

std::optional<Error> check_shape(const KeyIndex::Shape& shape);

// Without needs_tensors, tensors may be left out.
std::optional<Error> check_part(const KeyIndex::Part& part, const KeyIndex::Shape& shape,
                                bool needs_tensors);

Result<codegen::Target> target_of(const KeyIndex::Execution& execution);

}  // namespace maskjit::index
