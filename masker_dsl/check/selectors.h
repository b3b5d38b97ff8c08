#pragma once
// The selectors and scorers of sequences: their parameters, what these may be, and their ranges.
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "masker_dsl/ir/program.h"

namespace maskjit::check {

struct SelectorParam {
  // Count: int, N% being a share of the keys. Fraction: float, N% being N / 100. CountOrFraction:
  // int, or float (also N%). Structure: an int known at compile time. Flag: bool known at compile
  // time. Choice: one of the names in `choices`, whose place in that list is the value. Tensor: a
  // float tensor. IntTensor: an int tensor.
  enum class Kind : uint8_t {
    Count,
    Fraction,
    CountOrFraction,
    Structure,
    Flag,
    Choice,
    Tensor,
    IntTensor
  } kind;
  std::string_view name;
  std::optional<ir::Scalar> default_value;
  // Inclusive unless open; for a fraction given as CountOrFraction the range is (0, 1].
  double lo = 0;
  double hi = 0;
  bool open_lo = false;
  bool open_hi = false;
  std::span<const std::string_view> choices = {};
};

struct SelectorInfo {
  std::string_view name;
  ir::Stage::Rule rule;
  std::span<const SelectorParam> params;
  bool takes_scorer = false;
};
struct ScorerInfo {
  std::string_view name;
  std::span<const SelectorParam> params;
};

std::span<const SelectorInfo> selectors();
std::span<const ScorerInfo> scorers();
const SelectorInfo* find_selector(std::string_view name);
const SelectorInfo& info(ir::Stage::Rule rule);  // not Static
const ScorerInfo* find_scorer(std::string_view name);

// Why a constant cannot be this argument ("must be in (0, 1], found 1.5"), or empty.
std::string range_error(const SelectorParam& param, const ir::Scalar& value);
// The range that a value of this type is kept in if it is known only at launch. Of (0, 1) the
// numbers next to its ends; a rate may be 0 then.
struct LaunchRange {
  double lo, hi;
};
LaunchRange launch_range(const SelectorParam& param, ir::Type type);
// The same as range_error for a dropout probability: [0, 1).
std::string dropout_range_error(double probability);

}  // namespace maskjit::check
