#pragma once
// Masks as torch sees them. The class torch.classes.maskjit.Mask is for making and converting them;
// operators take a mask as four tensors, which any tracer carries through a program:
//
//   header        int64 [1 + rank]  representation (0 empty, 1 full, 2 dense, 3 index), shape
//   places        int64             dense: the words of bits; index: the row pointers
//   details       int64 or int32    dense: where a word's weights start; index: the columns
//   weights       float32
//
// as PackedMask (runtime/mask/packed.h) has them; those that a mask does not need have no elements.
// Tensors that come from a mask are views of it, and its header keeps the mask: it is found again
// without looking at the others. Copies of the tensors stand for an equal mask, made anew.
#include <ATen/core/Tensor.h>
#include <torch/library.h>

#include "runtime/mask/mask.h"

namespace maskjit::torch {

// What torch.classes.maskjit.Mask holds.
struct MaskHolder final : ::torch::CustomClassHolder {
  explicit MaskHolder(Mask held) : mask(std::move(held)) {}
  const Mask mask;
};

inline constexpr size_t kMaskTensors = 4;

std::vector<at::Tensor> tensors_of(const Mask& mask);

// Throws what is wrong with tensors that are no mask's.
Mask mask_of(const at::Tensor& header, const at::Tensor& places, const at::Tensor& details,
             const at::Tensor& weights);

// Registers the class.
void define_mask(::torch::Library& library);

}  // namespace maskjit::torch
