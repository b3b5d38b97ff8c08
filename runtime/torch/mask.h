#pragma once
#include <ATen/core/ivalue.h>

#include "runtime/mask/mask.h"

namespace maskjit::torch {

// What torch.classes.maskjit.Mask holds.
struct MaskHolder final : ::torch::CustomClassHolder {
  explicit MaskHolder(Mask held) : mask(std::move(held)) {}
  const Mask mask;
};

}  // namespace maskjit::torch
