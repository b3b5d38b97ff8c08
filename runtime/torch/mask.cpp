// torch.classes.maskjit.Mask: maskjit::Mask for Python, whose class maskjit.Mask wraps it.
#include "runtime/torch/mask.h"

#include <ATen/ops/empty.h>
#include <torch/custom_class.h>

#include "runtime/torch/checks.h"
#include "runtime/torch/view.h"

namespace maskjit::torch {
namespace {

using at::Tensor;
using Holder = c10::intrusive_ptr<MaskHolder>;
using Shape = std::vector<int64_t>;

Holder hold(Result<Mask> mask) {
  if (!mask) raise(mask.error());
  return c10::make_intrusive<MaskHolder>(std::move(*mask));
}

// A tensor that a mask is made of, in host memory: of another device a copy.
class Operand {
 public:
  Operand(const char* name, const Tensor& tensor) {
    TORCH_CHECK_VALUE(tensor.defined() && tensor.layout() == at::kStrided, name,
                      " is not a strided tensor");
    check_no_grad(name, tensor);
    on_host_ = tensor.cpu();
    view_ = view_of(name, on_host_);
  }
  Operand(const char* name, const std::optional<Tensor>& tensor) {
    if (tensor) *this = Operand(name, *tensor);
  }
  const TensorView& view() const { return view_; }

 private:
  Tensor on_host_;
  TensorView view_;
};

Tensor new_tensor(Shape shape, at::ScalarType type) {
  return at::empty(shape, at::TensorOptions().dtype(type));
}

template <typename T>
Tensor tensor_of(const std::vector<T>& values, at::ScalarType type) {
  Tensor tensor = new_tensor({static_cast<int64_t>(values.size())}, type);
  std::copy(values.begin(), values.end(), tensor.mutable_data_ptr<T>());
  return tensor;
}

Holder from_dense(const Tensor& values) {
  return hold(Mask::from_dense(Operand("values", values).view()));
}

Holder from_indices(Shape shape, const Tensor& indices, const Tensor& row_pointers,
                    const std::optional<Tensor>& weights) {
  return hold(Mask::from_indices(std::move(shape), Operand("indices", indices).view(),
                                 Operand("row_pointers", row_pointers).view(),
                                 Operand("weights", weights).view()));
}

Holder from_row_indices(Shape shape, const Tensor& columns, const std::optional<Tensor>& weights,
                        bool padding) {
  return hold(Mask::from_row_indices(std::move(shape), Operand("columns", columns).view(),
                                     Operand("weights", weights).view(), padding));
}

Tensor to_dense(const Holder& self, at::ScalarType type) {
  Tensor values = new_tensor(self->mask.shape(), type);
  const Status done = self->mask.to_dense(view_of("values", values));
  if (!done) raise(done.error());
  return values;
}

std::tuple<Tensor, Tensor, Tensor> to_index(const Holder& self) {
  const MaskIndex index = self->mask.to_index();
  return {tensor_of(index.indices, at::kLong), tensor_of(index.row_pointers, at::kLong),
          tensor_of(index.weights, at::kFloat)};
}

Tensor apply(const Holder& self, const Tensor& values, bool inverse) {
  const Operand from("values", values);
  Tensor result = at::empty(values.sizes(), values.options().device(at::kCPU));
  const TensorView to = view_of("result", result);
  const Status done =
      inverse ? self->mask.apply_inverse(from.view(), to) : self->mask.apply(from.view(), to);
  if (!done) raise(done.error());
  return result.to(values.device());
}

}  // namespace

void define_mask(::torch::Library& library) {
  library.class_<MaskHolder>("Mask")
      .def_static("empty", [](std::vector<int64_t> s) { return hold(Mask::empty(s)); })
      .def_static("full", [](std::vector<int64_t> s) { return hold(Mask::full(s)); })
      .def_static("from_dense", from_dense)
      .def_static("from_indices", from_indices)
      .def_static("from_row_indices", from_row_indices)
      .def("shape", [](const Holder& self) { return self->mask.shape(); })
      .def("representation",
           [](const Holder& self) { return std::string(name_of(self->mask.representation())); })
      .def("is_weighted", [](const Holder& self) { return self->mask.is_weighted(); })
      .def("active", [](const Holder& self) { return self->mask.active(); })
      .def("density", [](const Holder& self) { return self->mask.density(); })
      .def_static("from_tensors",
                  [](const std::vector<Tensor>& t) {
                    TORCH_CHECK_VALUE(t.size() == kMaskTensors, "a mask is ", kMaskTensors,
                                      " tensors, but ", t.size(), " are given");
                    return c10::make_intrusive<MaskHolder>(mask_of(t[0], t[1], t[2], t[3]));
                  })
      .def("tensors", [](const Holder& self) { return tensors_of(self->mask); })
      .def("describe", [](const Holder& self) { return self->mask.describe(); })
      .def("dense", [](const Holder& self) { return hold(self->mask.dense()); })
      .def("index", [](const Holder& self) { return hold(self->mask.index()); })
      .def("to_dense", to_dense)
      .def("to_index", to_index)
      .def("merge", [](const Holder& self,
                       const Holder& other) { return hold(self->mask.merge(other->mask)); })
      .def("apply", apply)
      .def("equals",
           [](const Holder& self, const Holder& other) { return self->mask == other->mask; });
}

}  // namespace maskjit::torch
