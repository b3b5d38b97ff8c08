// Masks as tensors and back.
#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>

#include "runtime/mask/packed.h"
#include "runtime/torch/checks.h"
#include "runtime/torch/mask.h"

namespace maskjit::torch {
namespace {

using at::Tensor;

// The memory of a header.
struct Header {
  Mask mask;
  std::vector<int64_t> values;
};

void release_header(void* header) { delete static_cast<Header*>(header); }
void release_mask(void* mask) { delete static_cast<Mask*>(mask); }

Tensor header_of(const Mask& mask, Mask::Representation representation) {
  auto header = std::make_unique<Header>(Header{mask, {static_cast<int64_t>(representation)}});
  header->values.insert(header->values.end(), mask.shape().begin(), mask.shape().end());
  int64_t* values = header->values.data();
  const auto size = static_cast<int64_t>(header->values.size());
  return at::for_blob(values, {size})
      .context(header.release(), release_header)
      .options(at::TensorOptions().dtype(at::kLong))
      .make_tensor();
}

// A view of what the mask has, which keeps the mask.
template <typename T>
Tensor view_of_span(const Mask& mask, std::span<const T> values, at::ScalarType type) {
  const auto options = at::TensorOptions().dtype(type);
  if (values.empty()) return at::empty({0}, options);
  return at::for_blob(const_cast<T*>(values.data()), {static_cast<int64_t>(values.size())})
      .context(new Mask(mask), release_mask)
      .options(options)
      .make_tensor();
}

// Of the type that it must have, contiguous, on the CPU.
Tensor checked(const char* name, const Tensor& tensor, at::ScalarType type) {
  TORCH_CHECK_VALUE(tensor.defined() && tensor.layout() == at::kStrided && tensor.dim() == 1 &&
                        tensor.scalar_type() == type,
                    "the ", name, " of a mask is ",
                    tensor.defined() ? describe(tensor) : std::string("missing"), "; ", type,
                    " of one dimension is needed, as maskjit.Mask makes it");
  check_on_cpu(name, tensor, "a mask is kept in host memory");
  return tensor.contiguous();
}

template <typename T>
std::span<const T> span_of(const Tensor& tensor) {
  return {static_cast<const T*>(tensor.const_data_ptr()), static_cast<size_t>(tensor.numel())};
}

}  // namespace

std::vector<Tensor> tensors_of(const Mask& mask) {
  const PackedMask packed = pack(mask);
  std::vector<Tensor> tensors = {header_of(mask, packed.representation)};
  if (packed.representation == Mask::Representation::Index) {
    tensors.push_back(view_of_span(mask, packed.row_pointers, at::kLong));
    tensors.push_back(view_of_span(mask, packed.columns, at::kInt));
  } else {
    tensors.push_back(view_of_span(mask, packed.words, at::kLong));
    tensors.push_back(view_of_span(mask, packed.weight_start, at::kLong));
  }
  tensors.push_back(view_of_span(mask, packed.weights, at::kFloat));
  return tensors;
}

Mask mask_of(const Tensor& header, const Tensor& places, const Tensor& details,
             const Tensor& weights) {
  const Tensor head = checked("header", header, at::kLong);
  if (const auto* kept = head.storage().data_ptr().cast_context<Header>(&release_header)) {
    return kept->mask;
  }
  constexpr auto kLast = static_cast<int64_t>(Mask::Representation::Index);
  const auto values = span_of<int64_t>(head);
  TORCH_CHECK_VALUE(values.size() >= 2 && values[0] >= 0 && values[0] <= kLast,
                    "the header of a mask has ", values.size(), " numbers; a representation (0 to ",
                    kLast, ") and a shape are needed");
  PackedMask packed;
  packed.representation = static_cast<Mask::Representation>(values[0]);
  packed.shape.assign(values.begin() + 1, values.end());
  const bool index = packed.representation == Mask::Representation::Index;
  const Tensor first = checked("places", places, at::kLong);
  const Tensor second = checked("details", details, index ? at::kInt : at::kLong);
  const Tensor third = checked("weights", weights, at::kFloat);
  if (index) {
    packed.row_pointers = span_of<int64_t>(first);
    packed.columns = span_of<int32_t>(second);
  } else {
    packed.words = {static_cast<const uint64_t*>(first.const_data_ptr()),
                    static_cast<size_t>(first.numel())};
    packed.weight_start = span_of<int64_t>(second);
  }
  packed.weights = span_of<float>(third);
  Result<Mask> mask = unpack(packed);
  if (!mask) raise(mask.error());
  return std::move(*mask);
}

}  // namespace maskjit::torch
