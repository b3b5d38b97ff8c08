// The operators torch.ops.maskjit.*: schemas, kernels, shapes without kernels (meta), and what
// happens when a gradient is wanted. Kernels are boxed: they read their arguments where the
// dispatcher keeps them, which copies no text.
#include <ATen/core/stack.h>
#include <ATen/ops/empty.h>
#include <torch/library.h>

#include "runtime/torch/attention.h"
#include "runtime/torch/checks.h"
#include "runtime/torch/index.h"
#include "runtime/torch/mask.h"
#include "runtime/torch/spec_cache.h"

namespace maskjit::torch {
namespace {

using at::Tensor;
using ::torch::jit::Stack;

constexpr const char* kAttention =
    "attention(Tensor query, Tensor key, Tensor value, str program, str entry='', "
    "str constants='', str path='', Tensor? attn_mask=None, float? scale=None, "
    "SymInt? q_offset=None, bool transposed=False, str tensor_names='', Tensor[]? tensors=None, "
    "str scalar_names='', Scalar[]? scalars=None, str mask_names='', "
    "Tensor[]? masks=None, int? seed=None, int offset=0, "
    "float? dropout=None, bool? renormalise=None, int sampling_seed=0, int sampling_offset=0, "
    "Tensor? index=None) -> Tensor";
constexpr const char* kAttentionResults =
    "attention_results(Tensor query, Tensor key, Tensor value, str program, str entry='', "
    "str constants='', str path='', Tensor? attn_mask=None, float? scale=None, "
    "SymInt? q_offset=None, bool transposed=False, str tensor_names='', Tensor[]? tensors=None, "
    "str scalar_names='', Scalar[]? scalars=None, str mask_names='', "
    "Tensor[]? masks=None, int? seed=None, int offset=0, "
    "float? dropout=None, bool? renormalise=None, int sampling_seed=0, int sampling_offset=0, "
    "Tensor? index=None, *, str[] results, bool row_max_over_all=False) -> Tensor[]";

// The arguments of both.
class Arguments {
 public:
  Arguments(const c10::OperatorHandle& op, const Stack& stack)
      : all_(::torch::jit::last(stack, op.schema().arguments().size())) {}

  const Tensor& query() const { return all_[kQuery].toTensor(); }
  const Tensor& key() const { return all_[kKey].toTensor(); }
  const Tensor& value() const { return all_[kValue].toTensor(); }
  SpecText spec() const {
    return {all_[kProgram].toStringView(), all_[kEntry].toStringView(),
            all_[kConstants].toStringView(), all_[kPath].toStringView()};
  }
  bool transposed() const { return all_[kTransposed].toBool(); }
  std::vector<ResultKind> results() const;
  Options options() const;

 private:
  // The order of the schemas.
  enum Index : size_t {
    kQuery,
    kKey,
    kValue,
    kProgram,
    kEntry,
    kConstants,
    kPath,
    kAttnMask,
    kScale,
    kQOffset,
    kTransposed,
    kTensorNames,
    kTensors,
    kScalarNames,
    kScalars,
    kMaskNames,
    kMasks,
    kSeed,
    kOffset,
    kDropout,
    kRenormalise,
    kSamplingSeed,
    kSamplingOffset,
    kIndex,
    kResults,
    kRowMaxOverAll
  };

  bool of_results() const { return all_.size() > kResults; }
  at::ArrayRef<c10::IValue> list(size_t i) const {
    return all_[i].isNone() ? at::ArrayRef<c10::IValue>() : all_[i].toListRef();
  }
  void take_tensors(Options& options) const;
  void take_scalars(Options& options) const;
  void take_masks(Options& options) const;
  void take_dropout(Options& options) const;

  at::ArrayRef<c10::IValue> all_;
};

std::vector<ResultKind> Arguments::results() const {
  if (!of_results()) return {ResultKind::Output};
  constexpr const char* kPossible = "output, lse, row_max, numerator, denominator and weights";
  std::vector<ResultKind> kinds;
  for (const c10::IValue& item : list(kResults)) {
    const auto kind = parse_result(item.toStringView());
    TORCH_CHECK_VALUE(kind, "there is no result '", item.toStringView(), "'; ", kPossible,
                      " are possible");
    kinds.push_back(*kind);
  }
  TORCH_CHECK_VALUE(!kinds.empty(), "no result is asked for; ", kPossible, " are possible");
  return kinds;
}

Options Arguments::options() const {
  Options options;
  if (all_[kAttnMask].isTensor()) options.attn_mask = all_[kAttnMask].toTensor();
  options.scale = all_[kScale].toOptional<double>();
  if (!all_[kQOffset].isNone()) options.q_offset = all_[kQOffset].toInt();
  options.transposed = transposed();
  take_tensors(options);
  take_scalars(options);
  take_masks(options);
  take_dropout(options);
  options.sampling = {static_cast<uint64_t>(all_[kSamplingSeed].toInt()),
                      static_cast<uint64_t>(all_[kSamplingOffset].toInt())};
  if (all_[kIndex].isTensor()) options.index = index_of(all_[kIndex].toTensor());
  if (of_results()) options.row_max_over_all = all_[kRowMaxOverAll].toBool();
  return options;
}

void Arguments::take_tensors(Options& options) const {
  const std::vector<std::string> names = split_names(all_[kTensorNames].toStringView());
  const auto tensors = list(kTensors);
  TORCH_CHECK_VALUE(names.size() == tensors.size(), "tensor_names has ", names.size(),
                    " names for ", tensors.size(), " tensors");
  for (size_t i = 0; i < names.size(); ++i) {
    options.tensors.emplace(names[i], tensors[i].toTensor());
  }
}

void Arguments::take_scalars(Options& options) const {
  const std::vector<std::string> names = split_names(all_[kScalarNames].toStringView());
  const auto scalars = list(kScalars);
  TORCH_CHECK_VALUE(names.size() == scalars.size(), "scalar_names has ", names.size(),
                    " names for ", scalars.size(), " scalars");
  for (size_t i = 0; i < names.size(); ++i) {
    const at::Scalar scalar = scalars[i].toScalar();
    TORCH_CHECK_VALUE(!scalar.isComplex(), "run-time parameter '", names[i], "' is complex");
    options.runtime.emplace(names[i], scalar.isBoolean()         ? Value(scalar.toBool())
                                      : scalar.isIntegral(false) ? Value(scalar.toLong())
                                                                 : Value(scalar.toDouble()));
  }
}

void Arguments::take_masks(Options& options) const {
  const std::vector<std::string> names = split_names(all_[kMaskNames].toStringView());
  const auto masks = list(kMasks);
  TORCH_CHECK_VALUE(kMaskTensors * names.size() == masks.size(), "mask_names has ", names.size(),
                    " names for ", masks.size(), " tensors; each mask has ", kMaskTensors);
  for (size_t i = 0; i < names.size(); ++i) {
    const auto tensor = [&](size_t part) -> const Tensor& {
      return masks[kMaskTensors * i + part].toTensor();
    };
    options.masks.emplace(names[i], mask_of(tensor(0), tensor(1), tensor(2), tensor(3)));
  }
}

void Arguments::take_dropout(Options& options) const {
  const auto seed = all_[kSeed].toOptional<int64_t>();
  const auto probability = all_[kDropout].toOptional<double>();
  if (!seed) {
    TORCH_CHECK_VALUE(!probability, "dropout is ", *probability, ", but seed is not given");
    return;
  }
  options.dropout =
      Dropout{static_cast<uint64_t>(*seed), static_cast<uint64_t>(all_[kOffset].toInt()),
              probability, all_[kRenormalise].toOptional<bool>()};
}

void attention_kernel(const c10::OperatorHandle& op, Stack* stack) {
  const Arguments arguments(op, *stack);
  Tensor output = attention(find_spec(arguments.spec()), arguments.query(), arguments.key(),
                            arguments.value(), arguments.options());
  ::torch::jit::drop(*stack, op.schema().arguments().size());
  ::torch::jit::push(*stack, std::move(output));
}

void results_kernel(const c10::OperatorHandle& op, Stack* stack) {
  const Arguments arguments(op, *stack);
  std::vector<Tensor> results =
      attention_results(find_spec(arguments.spec()), arguments.query(), arguments.key(),
                        arguments.value(), arguments.results(), arguments.options());
  ::torch::jit::drop(*stack, op.schema().arguments().size());
  ::torch::jit::push(*stack, std::move(results));
}

// Ranks, types and sizes that must agree, where sizes may be symbols.
void check_shapes(const Tensor& query, const Tensor& key, const Tensor& value) {
  for (const auto& [name, tensor] :
       {std::pair{"query", &query}, {"key", &key}, {"value", &value}}) {
    check_operand(name, *tensor, query);
    TORCH_CHECK_VALUE(tensor->dim() == 4, name, " ", describe(*tensor), " has ", tensor->dim(),
                      " dimensions; 4 are needed: [batch, heads, length, head dimension]");
    TORCH_CHECK_VALUE(tensor->scalar_type() == query.scalar_type(), "query ", describe(query),
                      " and ", name, " ", describe(*tensor), " differ in type");
  }
  const auto same = [](const char* a_name, const Tensor& a, const char* b_name, const Tensor& b,
                       int64_t dim, const char* what) {
    TORCH_CHECK_VALUE(a.sym_size(dim) == b.sym_size(dim), a_name, " ", describe(a), " and ", b_name,
                      " ", describe(b), " differ in ", what);
  };
  same("query", query, "key", key, 0, "batch");
  same("query", query, "value", value, 0, "batch");
  same("query", query, "key", key, 3, "head_dim");
  same("key", key, "value", value, 1, "num_kv_heads");
  same("key", key, "value", value, 2, "kv_len");
  TORCH_CHECK_VALUE(key.sym_size(1) != 0 && query.sym_size(1) % key.sym_size(1) == 0,
                    query.sym_size(1), " query heads are no multiple of ", key.sym_size(1),
                    " key heads: query ", describe(query), ", key ", describe(key));
}

Tensor shape_of(ResultKind kind, const Arguments& arguments) {
  const Tensor& query = arguments.query();
  const auto make = [&](c10::SymIntArrayRef sizes) {
    const auto type = kind == ResultKind::Output ? query.scalar_type() : at::kFloat;
    return at::empty_symint(sizes, query.options().dtype(type));
  };
  const c10::SymInt batch = query.sym_size(0), heads = query.sym_size(1), rows = query.sym_size(2);
  const c10::SymInt head_dim_v = arguments.value().sym_size(3);
  switch (kind) {
    case ResultKind::Output:
      return arguments.transposed() ? make({batch, rows, heads, head_dim_v})
                                    : make({batch, heads, rows, head_dim_v});
    case ResultKind::Numerator:
      return make({batch, heads, rows, head_dim_v});
    case ResultKind::Lse:
    case ResultKind::RowMax:
    case ResultKind::Denominator:
      return make({batch, heads, rows});
    case ResultKind::Weights:
      return make({batch, heads, rows, arguments.key().sym_size(2)});
  }
  TORCH_CHECK(false, "unknown kind of result");
}

std::vector<Tensor> shapes(const Arguments& arguments) {
  check_shapes(arguments.query(), arguments.key(), arguments.value());
  std::vector<Tensor> results;
  for (ResultKind kind : arguments.results()) results.push_back(shape_of(kind, arguments));
  return results;
}

void attention_meta(const c10::OperatorHandle& op, Stack* stack) {
  std::vector<Tensor> results = shapes(Arguments(op, *stack));
  ::torch::jit::drop(*stack, op.schema().arguments().size());
  ::torch::jit::push(*stack, std::move(results[0]));
}

void results_meta(const c10::OperatorHandle& op, Stack* stack) {
  std::vector<Tensor> results = shapes(Arguments(op, *stack));
  ::torch::jit::drop(*stack, op.schema().arguments().size());
  ::torch::jit::push(*stack, std::move(results));
}

// Every operator here: no tensor argument may want a gradient; then on to the kernel.
void check_gradients(const c10::OperatorHandle& op, c10::DispatchKeySet keys, Stack* stack) {
  const auto& declared = op.schema().arguments();
  const auto values = ::torch::jit::last(*stack, declared.size());
  for (size_t i = 0; i < values.size(); ++i) {
    const char* name = declared[i].name().c_str();
    if (values[i].isTensor()) check_no_grad(name, values[i].toTensor());
    if (!values[i].isTensorList()) continue;
    for (const c10::IValue& item : values[i].toListRef()) check_no_grad(name, item.toTensor());
  }
  op.redispatchBoxed(keys & c10::after_autograd_keyset, stack);
}

std::tuple<Tensor, Tensor> merge_kernel(at::TensorList outputs, at::TensorList lses) {
  auto [output, lse] = merge_partials(outputs.vec(), lses.vec());
  return {std::move(output), std::move(lse)};
}

std::tuple<Tensor, Tensor> merge_meta(at::TensorList outputs, at::TensorList lses) {
  TORCH_CHECK_VALUE(!outputs.empty() && outputs.size() == lses.size(), outputs.size(),
                    " partial outputs and ", lses.size(), " partial lse are given");
  return {at::empty_symint(outputs[0].sym_sizes(), outputs[0].options()),
          at::empty_symint(lses[0].sym_sizes(), lses[0].options())};
}

void update_index_meta(const Tensor&, const Tensor& keys, std::optional<c10::SymInt>) {
  TORCH_CHECK_VALUE(keys.dim() == 4, "keys ", describe(keys), " has ", keys.dim(),
                    " dimensions; 4 are needed: [batch, key heads, length, head dimension]");
}

// Four texts for each parameter that is open once `constants` are bound: name, type, binding time,
// default.
std::vector<std::string> parameters(std::string_view program, std::string_view entry,
                                    std::string_view constants, std::string_view path) {
  std::vector<std::string> texts;
  for (const ParameterInfo& info : find_spec({program, entry, constants, path}).parameters()) {
    texts.insert(texts.end(), {info.name, info.type, info.binding_time, info.default_value});
  }
  return texts;
}

std::string warnings(std::string_view program, std::string_view entry, std::string_view constants,
                     std::string_view path) {
  return find_spec({program, entry, constants, path}).warnings();
}

template <auto* kernel>
::torch::CppFunction boxed() {
  return ::torch::CppFunction::makeFromBoxedFunction<kernel>();
}

}  // namespace
}  // namespace maskjit::torch

namespace mj = maskjit::torch;

TORCH_LIBRARY(maskjit, m) {
  mj::define_mask(m);
  mj::define_index(m);
  m.def(mj::kAttention);
  m.def(mj::kAttentionResults);
  m.def("merge_partials(Tensor[] outputs, Tensor[] lses) -> (Tensor output, Tensor lse)");
  m.def("update_index(Tensor(a!) index, Tensor keys, SymInt? unchanged=None) -> ()");
  m.def("parameters(str program, str entry='', str constants='', str path='') -> str[]",
        mj::parameters);
  m.def("warnings(str program, str entry='', str constants='', str path='') -> str", mj::warnings);
}

// For every device: one without kernels gets an error that says so.
TORCH_LIBRARY_IMPL(maskjit, CompositeExplicitAutograd, m) {
  m.impl("attention", mj::boxed<mj::attention_kernel>());
  m.impl("attention_results", mj::boxed<mj::results_kernel>());
  m.impl("merge_partials", mj::merge_kernel);
  m.impl("update_index", mj::update_index);
}

TORCH_LIBRARY_IMPL(maskjit, Meta, m) {
  m.impl("attention", mj::boxed<mj::attention_meta>());
  m.impl("attention_results", mj::boxed<mj::results_meta>());
  m.impl("merge_partials", mj::merge_meta);
  m.impl("update_index", mj::update_index_meta);
}

TORCH_LIBRARY_IMPL(maskjit, Autograd, m) {
  for (const char* op : {"attention", "attention_results", "merge_partials", "update_index"}) {
    m.impl(op, mj::boxed<mj::check_gradients>());
  }
}
