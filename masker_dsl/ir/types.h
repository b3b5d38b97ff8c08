#pragma once
// The types and leaf vocabulary of MaskIR: value types, element variables, parameters, tensors.
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace maskjit::ir {

// Int is a 64-bit two's-complement integer that wraps; Float is real arithmetic: f64 in the
// interpreter, f32 in kernels.
enum class Type : uint8_t { Bool, Int, Float };

// When a value becomes known. A value's binding time is the latest of its operands'.
//   Const    at compile time (baked into the kernel)
//   Runtime  at launch (run-time scalars, lengths)
//   Tensor   a buffer given at launch
//   Index    an element's position or score
enum class BindingTime : uint8_t { Const, Runtime, Tensor, Index };

// Variables that a function may read. Element functions use the first group, tile functions
// (analysis) use the Lo/Hi variables instead: inclusive bounds of the tile.
enum class Var : uint8_t {
  Batch,
  Head,
  KvHead,
  Query,  // absolute position of the query: q_index + q_offset
  Key,    // absolute position of the key, 0 .. kv_len - 1
  Score,  // the logit so far (Float)
  // launch sizes
  QLen,
  KvLen,
  QOffset,  // kv_len - q_len unless the caller gives another
  BatchSize,
  NumHeads,
  NumKvHeads,
  HeadDim,
  // tile bounds, inclusive
  QueryLo,
  QueryHi,
  KeyLo,
  KeyHi,
};
inline constexpr int kNumVars = static_cast<int>(Var::KeyHi) + 1;

// Element types of tensor parameters. Bool is one byte, 0 or 1. Bit is an explicit mask: element i
// of a row is bit i % 64 of its 64-bit word i / 64, and each active element may have a weight.
enum class Element : uint8_t { Bool, Bit, I8, U8, I16, I32, I64, F16, BF16, F32, F64 };

Type value_type(Element element);   // the type of a loaded element
int element_size(Element element);  // in bytes; not for Bit

// One dimension of a tensor parameter: a launch size or a constant. At launch a dimension of extent
// 1 broadcasts.
struct Dim {
  enum class Kind : uint8_t { Batch, NumHeads, NumKvHeads, QLen, KvLen, HeadDim, Constant } kind;
  int64_t constant = 0;
  bool operator==(const Dim&) const = default;
};

// A constant value; also what a parameter is bound to.
struct Scalar {
  Type type = Type::Int;
  int64_t integer = 0;  // Int and Bool
  double real = 0;      // Float
  static Scalar of_bool(bool v) { return {Type::Bool, v ? 1 : 0, 0}; }
  static Scalar of_int(int64_t v) { return {Type::Int, v, 0}; }
  static Scalar of_float(double v) { return {Type::Float, 0, v}; }
  double as_double() const { return type == Type::Float ? real : static_cast<double>(integer); }
  bool operator==(const Scalar&) const = default;
};

// A size that may be a share of the keys: floor(share * kv_len) in f64.
struct Share {
  double share = 0;
};

struct Param {
  std::string name;
  Type type = Type::Int;
  BindingTime time = BindingTime::Const;  // Const or Runtime
  std::optional<Scalar> default_value = {};
  std::optional<Share> default_share = {};  // instead of default_value, for Const Int
  bool operator==(const Param& o) const {
    return name == o.name && type == o.type && time == o.time;
  }
};

struct Tensor {
  std::string name;
  Element element = Element::I32;
  std::vector<Dim> dims;  // 1 to 4
  bool operator==(const Tensor&) const = default;
};

// Run-time integers are limited to this magnitude, lengths and positions to the next: checked at
// launch, relied on by value ranges.
inline constexpr int64_t kMaxRuntimeInt = int64_t{1} << 31;
inline constexpr int64_t kMaxPosition = int64_t{1} << 30;
inline constexpr int kMaxTensorRank = 4;

std::string_view name_of(Type type);
std::string_view name_of(BindingTime time);
std::string_view name_of(Var var);
std::string_view name_of(Element element);
std::string name_of(const Dim& dim);
Type type_of(Var var);
BindingTime binding_time_of(Var var);

std::optional<Type> parse_type(std::string_view text);
std::optional<Var> parse_var(std::string_view text);
std::optional<Element> parse_element(std::string_view text);
std::optional<Dim> parse_dim(std::string_view text);

}  // namespace maskjit::ir
