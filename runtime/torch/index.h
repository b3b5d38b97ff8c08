#pragma once
// Indexes of keys as torch sees them. The class torch.classes.maskjit.KeyIndex makes, saves and
// loads them; to operators an index is its handle, an int64 tensor [2] of a number that names it
// and of how often it was updated, which any tracer carries through a program. The handle keeps the
// index; copies of it name the same one until the handle is gone, or the index is updated otherwise
// than through the copy: what was traced to read an earlier state must not read a later one.
#include <ATen/core/Tensor.h>
#include <torch/library.h>

#include "runtime/index/key_index.h"

namespace maskjit::torch {

// The index that a handle or a copy of one names. Throws where there is none.
KeyIndex index_of(const at::Tensor& handle);

// maskjit::update_index: makes the index that of `keys`, of which the first `unchanged` are those
// of the update before.
void update_index(const at::Tensor& handle, const at::Tensor& keys,
                  std::optional<int64_t> unchanged);

// Registers the class.
void define_index(::torch::Library& library);

}  // namespace maskjit::torch
