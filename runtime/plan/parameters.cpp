#include "runtime/plan/parameters.h"

#include <bit>

#include <fmt/ranges.h>

#include "masker_dsl/diag/diagnostic.h"
#include "masker_dsl/diag/text.h"
#include "masker_dsl/interp/dropout.h"
#include "masker_dsl/interp/interpreter.h"
#include "masker_dsl/ir/internal_error.h"
#include "runtime/mask/kernel_mask.h"
#include "runtime/plan/views.h"

namespace maskjit::plan {
namespace {

// The error for a name that is none of the declared ones.
template <typename Declared>
std::optional<Error> check_names(const auto& given, const std::vector<Declared>& declared,
                                 std::string_view what) {
  for (const auto& [name, value] : given) {
    const auto named = [&](const Declared& d) { return d.name == name; };
    if (std::any_of(declared.begin(), declared.end(), named)) continue;
    std::vector<std::string> names;
    for (const Declared& d : declared) names.push_back(d.name);
    const std::string closest = diag::closest_name(name, names);
    std::string message = fmt::format("the spec has no {} {}", what, diag::quoted(name));
    if (!closest.empty()) {
      message += fmt::format("; did you mean '{}'?", closest);
    } else if (names.empty()) {
      message += "; it has none";
    } else {
      message += fmt::format("; it has {}", fmt::join(names, ", "));
    }
    return invalid(std::move(message));
  }
  return std::nullopt;
}

std::string describe(const Value& value) {
  if (const auto* flag = std::get_if<bool>(&value)) return *flag ? "true" : "false";
  if (const auto* integer = std::get_if<int64_t>(&value)) return std::to_string(*integer);
  if (const auto* real = std::get_if<double>(&value)) return fmt::format("{}", *real);
  return fmt::format("a share of {}", std::get<Share>(value).share);
}

// The scalar that `value` is for a parameter of `type`, or nothing if it is of another type.
std::optional<ir::Scalar> converted(const Value& value, ir::Type type) {
  switch (type) {
    case ir::Type::Bool:
      if (const auto* flag = std::get_if<bool>(&value)) return ir::Scalar::of_bool(*flag);
      break;
    case ir::Type::Int:
      if (const auto* integer = std::get_if<int64_t>(&value)) return ir::Scalar::of_int(*integer);
      break;
    case ir::Type::Float:
      if (const auto* real = std::get_if<double>(&value)) return ir::Scalar::of_float(*real);
      if (const auto* integer = std::get_if<int64_t>(&value)) {
        return ir::Scalar::of_float(static_cast<double>(*integer));
      }
      break;
  }
  return std::nullopt;
}

int64_t size_of_dim(const ir::Dim& dim, const Launch& launch) {
  const MjAttentionArgs& args = launch.args;
  switch (dim.kind) {
    case ir::Dim::Kind::Batch:
      return args.batch_size;
    case ir::Dim::Kind::NumHeads:
      return args.num_heads;
    case ir::Dim::Kind::NumKvHeads:
      return args.num_kv_heads;
    case ir::Dim::Kind::QLen:
      return args.q_len;
    case ir::Dim::Kind::KvLen:
      return args.kv_len;
    case ir::Dim::Kind::HeadDim:
      return launch.problem.head_dim;
    case ir::Dim::Kind::Constant:
      return dim.constant;
  }
  MASKJIT_CHECK(false, "unknown dimension");
}

std::string declaration(const TensorParameter& tensor) {
  std::string dims;
  for (const ir::Dim& dim : tensor.dims) dims += (dims.empty() ? "" : ", ") + ir::name_of(dim);
  return fmt::format("{}[{}]", tensor.bits ? "bit" : name_of(tensor.element), dims);
}

// The size of the declared dimension, or 1.
std::optional<Error> check_extent(const TensorParameter& declared, size_t d, int64_t extent,
                                  std::string_view described, const Launch& launch) {
  const int64_t size = size_of_dim(declared.dims[d], launch);
  if (extent == size || extent == 1) return std::nullopt;
  return invalid(fmt::format("tensor {} {} is declared {}, and {} is {}, not {} (1 broadcasts)",
                             diag::quoted(declared.name), described, declaration(declared),
                             ir::name_of(declared.dims[d]), size, extent));
}

std::optional<Error> take_tensor(const TensorParameter& declared, const TensorView& view,
                                 Launch& launch, MjTensor& tensor, codegen::TensorLayout& layout) {
  const std::string name = "tensor " + diag::quoted(declared.name);
  const size_t rank = declared.dims.size();
  if (view.type != declared.element || view.shape.size() != rank) {
    return invalid(fmt::format("{} is declared {}, but {} is given", name, declaration(declared),
                               view.defined() ? view.describe() : "a view without shape"));
  }
  if (auto e = check_view(name, view)) return e;
  layout = {};
  for (size_t d = 0; d < rank; ++d) {
    if (auto e = check_extent(declared, d, view.shape[d], view.describe(), launch)) return e;
    const bool broadcasts = view.shape[d] == 1;
    tensor.extent[d] = view.shape[d];
    tensor.stride[d] = broadcasts ? 0 : view.strides[d];
    if (broadcasts) layout.broadcast |= static_cast<uint8_t>(1u << d);
    if (d + 1 == rank) layout.unit_stride = broadcasts || view.strides[d] == 1;
  }
  tensor.data = view.data;
  return std::nullopt;
}

std::optional<Error> take_mask(const TensorParameter& declared, const Mask& mask, Launch& launch,
                               MjTensor& tensor, codegen::TensorLayout& layout) {
  const std::vector<int64_t>& shape = mask.shape();
  const size_t rank = declared.dims.size();
  if (shape.size() != rank) {
    return invalid(fmt::format("tensor {} is declared {}, but {} is given",
                               diag::quoted(declared.name), declaration(declared),
                               mask.describe()));
  }
  for (size_t d = 0; d < rank; ++d) {
    if (auto e = check_extent(declared, d, shape[d], mask.describe(), launch)) return e;
  }
  const auto found = mask.for_kernel();
  if (!found) return found.error();
  const KernelMask& kernel = **found;
  const BitRows& bits = *kernel.bits;
  layout = {};
  int64_t stride = kernel.one_row ? 0 : bits.row_words * kBitsPerWord;
  for (size_t d = rank; d-- > 0;) {
    const bool broadcasts = shape[d] == 1;
    const bool last = d + 1 == rank;
    tensor.extent[d] = shape[d];
    tensor.stride[d] = broadcasts ? 0 : last ? 1 : stride;
    if (broadcasts) layout.broadcast |= static_cast<uint8_t>(1u << d);
    if (!last) stride *= shape[d];
  }
  layout.weighted = declared.weighted && bits.is_weighted();
  tensor.data = bits.words.data();
  tensor.block_min = kernel.tiles.data();
  tensor.blocks = kernel.tile_columns;
  if (layout.weighted) {
    tensor.weight_start = bits.weight_start.data();
    tensor.weights = bits.weights.data();
  }
  launch.masks.push_back(mask);
  return std::nullopt;
}

Error missing(const TensorParameter& declared) {
  return invalid(fmt::format("tensor '{}' ({}) is missing", declared.name, declaration(declared)));
}

// The mask for a parameter, as it is given or made of a view.
Result<std::optional<Mask>> find_mask(const TensorParameter& declared,
                                      const std::map<std::string, TensorView>& views,
                                      const std::map<std::string, Mask>& masks) {
  const auto mask = masks.find(declared.name);
  const auto view = views.find(declared.name);
  if (mask != masks.end() && view != views.end()) {
    return invalid(fmt::format("tensor {} is given as a mask and as a view; give one of them",
                               diag::quoted(declared.name)));
  }
  if (mask != masks.end()) return std::optional(mask->second);
  if (view == views.end()) return std::optional<Mask>();
  const auto made = Mask::from_dense(view->second);
  if (made) return std::optional(*made);
  return Error{made.error().kind,
               fmt::format("tensor {}: {}", diag::quoted(declared.name), made.error().message)};
}

}  // namespace

std::optional<Error> take_scalars(const Signature& signature, const Values& values,
                                  Launch& launch) {
  if (auto e = check_names(values, signature.scalars, "run-time parameter")) return e;
  launch.scalars.reserve(signature.scalars.size());
  for (const ScalarParameter& parameter : signature.scalars) {
    ir::Scalar scalar{parameter.type, 0, 0};
    if (const auto given = values.find(parameter.name); given != values.end()) {
      const auto value = converted(given->second, parameter.type);
      if (!value) {
        return invalid(fmt::format("run-time parameter '{}' is {}, but {} is given", parameter.name,
                                   ir::name_of(parameter.type), describe(given->second)));
      }
      scalar = *value;
    } else if (parameter.default_value) {
      scalar = *parameter.default_value;
    } else if (parameter.used) {
      return invalid(fmt::format("run-time parameter '{}' ({}) has no value and no default",
                                 parameter.name, ir::name_of(parameter.type)));
    }
    if (parameter.type == ir::Type::Int &&
        (scalar.integer < -ir::kMaxRuntimeInt || scalar.integer > ir::kMaxRuntimeInt)) {
      return invalid(fmt::format("run-time parameter '{}' is {}; -{} to {} are possible",
                                 parameter.name, scalar.integer, ir::kMaxRuntimeInt,
                                 ir::kMaxRuntimeInt));
    }
    launch.scalars.push_back(parameter.type == ir::Type::Float ? std::bit_cast<int64_t>(scalar.real)
                                                               : scalar.integer);
  }
  return std::nullopt;
}

std::optional<Error> take_tensors(const Signature& signature, const AttentionInputs& inputs,
                                  Launch& launch) {
  const std::map<std::string, TensorView>& views = inputs.tensors;
  const std::map<std::string, Mask>& masks = inputs.masks;
  if (auto e = check_names(views, signature.tensors, "tensor")) return e;
  if (auto e = check_names(masks, signature.tensors, "tensor")) return e;
  const size_t count = signature.tensors.size();
  launch.tensors.resize(count);
  launch.problem.tensors.resize(count);
  for (size_t i = 0; i < count; ++i) {
    const TensorParameter& declared = signature.tensors[i];
    if (declared.bits) {
      const auto mask = find_mask(declared, views, masks);
      if (!mask) return mask.error();
      if (!*mask && declared.used) return missing(declared);
      if (!*mask) continue;
      if (auto e =
              take_mask(declared, **mask, launch, launch.tensors[i], launch.problem.tensors[i])) {
        return e;
      }
      if (!declared.used) launch.problem.tensors[i] = {};
      continue;
    }
    if (masks.contains(declared.name)) {
      return invalid(fmt::format("tensor {} is declared {}, but a mask is given",
                                 diag::quoted(declared.name), declaration(declared)));
    }
    const auto given = views.find(declared.name);
    if (given == views.end()) {
      if (!declared.used && (!declared.indexed || inputs.index)) continue;
      return missing(declared);
    }
    if (auto e = take_tensor(declared, given->second, launch, launch.tensors[i],
                             launch.problem.tensors[i])) {
      return e;
    }
    // What no kernel reads makes no difference to it.
    if (!declared.used) launch.problem.tensors[i] = {};
  }
  return std::nullopt;
}

namespace {

// The value of the spec's dropout clause in this launch.
double probability_of(const DropoutClause& clause, const Launch& launch) {
  const ir::Function& function = clause.function;
  interp::Environment at;
  for (size_t i = 0; i < function.params().size(); ++i) {
    const ir::Type type = function.params()[i].type;
    const int64_t bits = launch.scalars[i];
    at.params.push_back(type == ir::Type::Float ? ir::Scalar::of_float(std::bit_cast<double>(bits))
                                                : ir::Scalar{type, bits, 0});
  }
  at[ir::Var::QLen] = launch.args.q_len;
  at[ir::Var::KvLen] = launch.args.kv_len;
  at[ir::Var::QOffset] = launch.args.q_offset;
  at[ir::Var::BatchSize] = launch.args.batch_size;
  at[ir::Var::NumHeads] = launch.args.num_heads;
  at[ir::Var::NumKvHeads] = launch.args.num_kv_heads;
  at[ir::Var::HeadDim] = launch.problem.head_dim;
  return interp::Evaluator(function, function.result("p"))(at).real;
}

}  // namespace

std::optional<Error> take_dropout(const Signature& signature, const AttentionInputs& inputs,
                                  Launch& launch) {
  launch.problem.dropout = MJ_NO_DROPOUT;
  if (!inputs.dropout) return std::nullopt;
  const Dropout& wanted = *inputs.dropout;
  double p = 0;
  if (wanted.probability) {
    p = *wanted.probability;
  } else if (signature.dropout) {
    p = probability_of(*signature.dropout, launch);
  }
  if (!(p >= 0 && p < 1)) {
    return invalid(fmt::format("the dropout probability is {}; 0 to below 1 is possible", p));
  }
  const bool renormalise =
      wanted.renormalise.value_or(signature.dropout && signature.dropout->renormalise);
  const interp::Dropout dropout(p, wanted.seed, wanted.offset, renormalise);
  if (dropout.threshold() == 0) return std::nullopt;  // nothing is dropped
  launch.problem.dropout = renormalise ? MJ_DROPOUT_RENORMALISE : MJ_DROPOUT;
  launch.args.dropout_key[0] = dropout.launch_key()[0];
  launch.args.dropout_key[1] = dropout.launch_key()[1];
  launch.args.dropout_threshold = dropout.threshold();
  launch.args.dropout_scale = static_cast<float>(dropout.scale());
  return std::nullopt;
}

}  // namespace maskjit::plan
