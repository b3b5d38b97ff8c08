#include "masker_dsl/check/selectors.h"

#include <fmt/format.h>

#include <array>
#include <limits>

#include "masker_dsl/ir/internal_error.h"

namespace maskjit::check {

using ir::Scalar;
using ir::Stage;
using Param = SelectorParam;
using ParamKind = SelectorParam::Kind;

namespace {

constexpr double kAny = std::numeric_limits<double>::infinity();

const std::array kTopK = {Param{ParamKind::Count, "n", {}, 0, kAny}};
const std::array kTopP = {Param{ParamKind::Fraction, "p", {}, 0, 1}};
const std::array kRandom = {Param{ParamKind::Fraction, "rate", {}, 0, 1, true}};
const std::array kAdaptive = {
    Param{ParamKind::CountOrFraction, "base", {}, 0, kAny, true},
    Param{ParamKind::Fraction, "epsilon", {}, 0, 1, true, true},
    Param{ParamKind::Fraction, "delta", {}, 0, 1, true, true},
};
const std::array kMagicPig = {
    Param{ParamKind::Structure, "tables", {}, 1, 1024},
    Param{ParamKind::Structure, "bits", {}, 1, 64},
    Param{ParamKind::Flag, "centre", Scalar::of_bool(true)},
};
const std::array kPageBound = {
    Param{ParamKind::Structure, "page", {}, 1, 1 << 20},
    Param{ParamKind::Structure, "bits", Scalar::of_int(16), 1, 16},
    Param{ParamKind::Structure, "min_pages", Scalar::of_int(3), 0, 1 << 20},
};
const std::array kChannels = {
    Param{ParamKind::IntTensor, "table", {}},
    Param{ParamKind::Structure, "bits", Scalar::of_int(16), 1, 16},
};
// In the order of MjActivation.
const std::array<std::string_view, 4> kActivations = {"relu", "silu", "gelu", "tanh"};
const std::array kHashBits = {
    Param{ParamKind::Tensor, "query_mlp", {}},
    Param{ParamKind::Tensor, "key_mlp", {}},
    Param{ParamKind::Structure, "bits", {}, 1, 1024},
    Param{ParamKind::Structure, "layers", Scalar::of_int(3), 1, 16},
    Param{ParamKind::Structure, "hidden", Scalar::of_int(128), 1, 8192},
    Param{ParamKind::Choice, "activation", Scalar::of_int(1), 0, 3, false, false, kActivations},
};
const std::array kPqCodes = {
    Param{ParamKind::Structure, "sub_dims", {}, 1, 1024},
    Param{ParamKind::Structure, "bits", {}, 1, 12},
};

const std::array kSelectors = {
    SelectorInfo{"top_k", Stage::Rule::TopK, kTopK, true},
    SelectorInfo{"top_p", Stage::Rule::TopP, kTopP, true},
    SelectorInfo{"random", Stage::Rule::Random, kRandom},
    SelectorInfo{"adaptive", Stage::Rule::Adaptive, kAdaptive},
    SelectorInfo{"magic_pig", Stage::Rule::MagicPig, kMagicPig},
};

const std::array kScorers = {
    ScorerInfo{"logits", {}},          ScorerInfo{"page_bound", kPageBound},
    ScorerInfo{"channels", kChannels}, ScorerInfo{"hash_bits", kHashBits},
    ScorerInfo{"pq_codes", kPqCodes},
};

}  // namespace

std::span<const SelectorInfo> selectors() { return kSelectors; }
std::span<const ScorerInfo> scorers() { return kScorers; }

const SelectorInfo* find_selector(std::string_view name) {
  for (const SelectorInfo& selector : kSelectors) {
    if (selector.name == name) return &selector;
  }
  return nullptr;
}

const SelectorInfo& info(Stage::Rule rule) {
  for (const SelectorInfo& selector : kSelectors) {
    if (selector.rule == rule) return selector;
  }
  MASKJIT_CHECK(false, "a static stage has no selector");
}

const ScorerInfo* find_scorer(std::string_view name) {
  for (const ScorerInfo& scorer : kScorers) {
    if (scorer.name == name) return &scorer;
  }
  return nullptr;
}

namespace {

double greatest(const Param& param, ir::Type type) {
  return param.kind == ParamKind::CountOrFraction && type == ir::Type::Float ? 1 : param.hi;
}

}  // namespace

std::string range_error(const Param& param, const Scalar& value) {
  if (value.type == ir::Type::Bool) return {};
  const double hi = greatest(param, value.type);
  const double v = value.as_double();
  const bool above = param.open_lo ? v > param.lo : v >= param.lo;
  const bool below = param.open_hi ? v < hi : v <= hi;
  if (above && below) return {};
  if (hi == kAny) {
    return fmt::format("must be {} {}, found {}", param.open_lo ? "greater than" : "at least",
                       param.lo, v);
  }
  return fmt::format("must be in {}{}, {}{}, found {}", param.open_lo ? "(" : "[", param.lo, hi,
                     param.open_hi ? ")" : "]", v);
}

LaunchRange launch_range(const Param& param, ir::Type type) {
  const double hi = greatest(param, type);
  constexpr double kStep = 0x1p-24;  // below 1 in f32
  return param.open_lo && param.open_hi ? LaunchRange{param.lo + kStep, hi - kStep}
                                        : LaunchRange{param.lo, hi};
}

std::string dropout_range_error(double probability) {
  if (probability >= 0 && probability < 1) return {};
  return fmt::format("must be in [0, 1), found {}", probability);
}

}  // namespace maskjit::check
