#pragma once
// Elements of tensors in memory -> Float or Int values.
#include <cstdint>

#include "masker_dsl/ir/evaluate.h"

namespace maskjit::interp {

// The element at `index` (in elements); `data` needs no alignment.
ir::Word load_element(const void* data, ir::Element element, int64_t index);

// IEEE binary16 and bfloat16 from their bits, exactly.
double half_to_double(uint16_t bits);
double bfloat16_to_double(uint16_t bits);

}  // namespace maskjit::interp
