#pragma once
// The weight of an active entry, from the mask: explicit masks (Bit tensors) carry the probability
// with which an entry was kept, everything else keeps what it selects with probability 1.
//
//   a & b     w(a) w(b)                 an entry is kept by both
//   a | b     min(w(a) + w(b), 1)       as masks merge
//   !a        1 where a is inactive
//   a ^ b     w(a) where b is inactive, w(b) where a is; likewise a != b
//   a == b    w(a) w(b) where both are active, 1 where neither is
//   c ? a : b w(a) or w(b)
#include <optional>

#include "masker_dsl/ir/function.h"

namespace maskjit::check {

// A Float that is the weight where `mask` holds; what it is elsewhere has no meaning. Nothing if
// the mask reads no Bit tensor, so that every weight is 1. It is to be taken from the mask as it
// was written: a | a is a as a condition, but its weight is twice that of a.
std::optional<ir::Value> weight_of(ir::Function& function, ir::Value mask);

}  // namespace maskjit::check
