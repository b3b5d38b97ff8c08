#include "runtime/torch/checks.h"

#include <c10/core/GradMode.h>

namespace maskjit::torch {

void raise(const Error& error) {
  switch (error.kind) {
    case ErrorKind::InvalidInput:
      C10_THROW_ERROR(ValueError, error.message);
    case ErrorKind::Unsupported:
      C10_THROW_ERROR(NotImplementedError, error.message);
    case ErrorKind::Io:
    case ErrorKind::Internal:
      break;
  }
  C10_THROW_ERROR(Error, error.message);
}

std::string describe(const at::Tensor& tensor) {
  return c10::str(tensor.scalar_type(), tensor.sym_sizes(), " on ", tensor.device());
}

void check_operand(const char* name, const at::Tensor& tensor, const at::Tensor& query,
                   const char* other) {
  TORCH_CHECK_VALUE(tensor.defined(), name, " is missing");
  TORCH_CHECK_VALUE(tensor.layout() == at::kStrided, name, " is a ", tensor.layout(),
                    " tensor; strided ones are needed");
  TORCH_CHECK_VALUE(tensor.device() == query.device(), other, " is on ", query.device(), ", but ",
                    name, " is on ", tensor.device());
}

void check_device(const char* name, const at::Tensor& tensor) {
  TORCH_CHECK_NOT_IMPLEMENTED(tensor.is_cpu() || tensor.is_cuda(), name, " is on ", tensor.device(),
                              "; maskjit has kernels for cpu and cuda");
}

void check_on_cpu(const char* name, const at::Tensor& tensor, const char* why) {
  TORCH_CHECK_NOT_IMPLEMENTED(tensor.is_cpu(), name, " is on ", tensor.device(),
                              "; cpu is needed: ", why);
}

void check_no_grad(const char* name, const at::Tensor& tensor) {
  TORCH_CHECK_NOT_IMPLEMENTED(
      !(at::GradMode::is_enabled() && tensor.defined() && tensor.requires_grad()), name,
      " requires a gradient, but maskjit has no backward pass yet: call it inside of "
      "torch.inference_mode() or torch.no_grad(), or detach ",
      name);
}

}  // namespace maskjit::torch
