#pragma once
#include <torch/library.h>

#include "runtime/mask/mask.h"

namespace maskjit::torch {

// What torch.classes.maskjit.Mask holds.
struct MaskHolder final : ::torch::CustomClassHolder {
  explicit MaskHolder(Mask held) : mask(std::move(held)) {}
  const Mask mask;
};

// Registers the class.
void define_mask(::torch::Library& library);

}  // namespace maskjit::torch
