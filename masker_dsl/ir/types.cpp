#include "masker_dsl/ir/types.h"

#include <array>
#include <charconv>

#include "masker_dsl/ir/internal_error.h"

namespace maskjit::ir {
namespace {

constexpr std::array<std::string_view, 3> kTypeNames = {"bool", "int", "float"};
constexpr std::array<std::string_view, 4> kTimeNames = {"const", "runtime", "tensor", "index"};
constexpr std::array<std::string_view, kNumVars> kVarNames = {
    "batch",    "head",   "kv_head",  "q",          "k",         "s",
    "q_len",    "kv_len", "q_offset", "batch_size", "num_heads", "num_kv_heads",
    "head_dim", "q_lo",   "q_hi",     "k_lo",       "k_hi"};
constexpr std::array<std::string_view, 11> kElementNames = {
    "bool", "bit", "i8", "u8", "i16", "i32", "i64", "f16", "bf16", "f32", "f64"};
constexpr std::array<std::string_view, 6> kDimNames = {"batch", "num_heads", "num_kv_heads",
                                                       "q_len", "kv_len",    "head_dim"};

template <typename E, size_t N>
std::optional<E> find_name(const std::array<std::string_view, N>& names, std::string_view text) {
  for (size_t i = 0; i < N; ++i) {
    if (names[i] == text) return static_cast<E>(i);
  }
  return std::nullopt;
}

}  // namespace

Type value_type(Element element) {
  switch (element) {
    case Element::Bool:
    case Element::Bit:
      return Type::Bool;
    case Element::I8:
    case Element::U8:
    case Element::I16:
    case Element::I32:
    case Element::I64:
      return Type::Int;
    case Element::F16:
    case Element::BF16:
    case Element::F32:
    case Element::F64:
      return Type::Float;
  }
  internal_error(__FILE__, __LINE__, "unknown element type");
}

int element_size(Element element) {
  switch (element) {
    case Element::Bool:
    case Element::I8:
    case Element::U8:
      return 1;
    case Element::I16:
    case Element::F16:
    case Element::BF16:
      return 2;
    case Element::I32:
    case Element::F32:
      return 4;
    case Element::I64:
    case Element::F64:
      return 8;
    case Element::Bit:
      break;
  }
  internal_error(__FILE__, __LINE__, "an element without a size in bytes");
}

std::string_view name_of(Type type) { return kTypeNames[static_cast<size_t>(type)]; }
std::string_view name_of(BindingTime time) { return kTimeNames[static_cast<size_t>(time)]; }
std::string_view name_of(Var var) { return kVarNames[static_cast<size_t>(var)]; }
std::string_view name_of(Element element) { return kElementNames[static_cast<size_t>(element)]; }

std::string name_of(const Dim& dim) {
  if (dim.kind == Dim::Kind::Constant) return std::to_string(dim.constant);
  return std::string(kDimNames[static_cast<size_t>(dim.kind)]);
}

Type type_of(Var var) { return var == Var::Score ? Type::Float : Type::Int; }

BindingTime binding_time_of(Var var) {
  switch (var) {
    case Var::QLen:
    case Var::KvLen:
    case Var::QOffset:
    case Var::BatchSize:
    case Var::NumHeads:
    case Var::NumKvHeads:
    case Var::HeadDim:
      return BindingTime::Runtime;
    case Var::Batch:
    case Var::Head:
    case Var::KvHead:
    case Var::Query:
    case Var::Key:
    case Var::Score:
    case Var::QueryLo:
    case Var::QueryHi:
    case Var::KeyLo:
    case Var::KeyHi:
      return BindingTime::Index;
  }
  internal_error(__FILE__, __LINE__, "unknown variable");
}

std::optional<Type> parse_type(std::string_view text) { return find_name<Type>(kTypeNames, text); }
std::optional<Var> parse_var(std::string_view text) { return find_name<Var>(kVarNames, text); }
std::optional<Element> parse_element(std::string_view text) {
  return find_name<Element>(kElementNames, text);
}

std::optional<Dim> parse_dim(std::string_view text) {
  if (auto kind = find_name<Dim::Kind>(kDimNames, text)) return Dim{*kind, 0};
  Dim dim{Dim::Kind::Constant, 0};
  const char* end = text.data() + text.size();
  auto [stop, error] = std::from_chars(text.data(), end, dim.constant);
  if (text.empty() || error != std::errc() || stop != end || dim.constant < 1) return std::nullopt;
  return dim;
}

}  // namespace maskjit::ir
