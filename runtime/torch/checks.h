#pragma once
// What every operand of a call must be; used where a kernel runs and where only shapes are known.
#include <string>

#include <ATen/core/Tensor.h>
#include <c10/util/Exception.h>

#include "runtime/api/result.h"

namespace maskjit::torch {

// Throws what `error` is to a caller from torch.
[[noreturn]] void raise(const Error& error);

// "float32[1, 8, 128, 64] on cpu"
std::string describe(const at::Tensor& tensor);

// Defined, strided, on the device of the query, or of what `other` names.
void check_operand(const char* name, const at::Tensor& tensor, const at::Tensor& query,
                   const char* other = "query");
// There are kernels for its device.
void check_device(const char* name, const at::Tensor& tensor);
// In host memory, where `why`: "an index reads keys there".
void check_on_cpu(const char* name, const at::Tensor& tensor, const char* why);

// With gradients enabled, the tensor must not require one.
void check_no_grad(const char* name, const at::Tensor& tensor);

}  // namespace maskjit::torch
