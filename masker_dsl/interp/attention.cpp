#include "masker_dsl/interp/attention.h"

#include <cmath>

#include "masker_dsl/interp/logits.h"
#include "masker_dsl/ir/internal_error.h"

namespace maskjit::interp {
namespace {

constexpr double kMinusInfinity = -std::numeric_limits<double>::infinity();

class Reference {
 public:
  Reference(const ir::Function& function, const AttentionInputs& inputs,
            const AttentionOptions& options)
      : inputs_(inputs),
        shape_(inputs.shape),
        options_(options),
        rows_(function, inputs),
        mask_(function, function.result("mask")) {
    if (const ir::Value weight = function.result("weight"); weight.valid()) {
      weight_.emplace(function, weight);
    }
    const ir::Node& mask = function[function.result("mask")];
    full_mask_ = mask.op == ir::Op::Const && mask.constant.integer != 0;
    MASKJIT_CHECK(
        inputs_.kept.empty() || static_cast<int64_t>(inputs_.kept.size()) ==
                                    shape_.batch * shape_.num_heads * shape_.q_len * shape_.kv_len,
        "kept size");
    logits_.resize(static_cast<size_t>(shape_.kv_len));
    active_.resize(static_cast<size_t>(shape_.kv_len));
  }

  AttentionResults run() {
    const int64_t rows = shape_.batch * shape_.num_heads * shape_.q_len;
    results_.output.assign(static_cast<size_t>(rows * shape_.value_dim), 0);
    results_.numerator.assign(results_.output.size(), 0);
    results_.denominator.assign(static_cast<size_t>(rows), 0);
    results_.row_max.assign(static_cast<size_t>(rows), kMinusInfinity);
    results_.lse.assign(static_cast<size_t>(rows), kMinusInfinity);
    if (options_.dense_weights) {
      results_.weights.assign(static_cast<size_t>(rows * shape_.kv_len), 0);
    }
    for (int64_t b = 0; b < shape_.batch; ++b) {
      for (int64_t h = 0; h < shape_.num_heads; ++h) {
        for (int64_t i = 0; i < shape_.q_len; ++i) row(b, h, i);
      }
    }
    return std::move(results_);
  }

 private:
  void row(int64_t b, int64_t h, int64_t i) {
    rows_.enter(b, h, i);
    const int64_t row = rows_.index();
    const double* kept = inputs_.kept.empty() ? nullptr : inputs_.kept.data() + row * shape_.kv_len;
    Environment& environment = rows_.environment();

    double row_max = kMinusInfinity;
    for (int64_t j = 0; j < shape_.kv_len; ++j) {
      const size_t at = static_cast<size_t>(j);
      active_[at] = 0;
      if (!rows_.allows(j)) continue;
      environment[ir::Var::Key] = j;
      double w = kept != nullptr ? kept[j] : 1.0;
      const bool active = w != 0 && (full_mask_ || mask_.run(environment).integer != 0);
      if (active && weight_) w *= weight_->run(environment).real;
      if (!active && !options_.row_max_over_all) continue;
      const double s = rows_.logit(j);
      if (s > row_max || std::isnan(s)) row_max = s;
      logits_[at] = s;
      active_[at] = active ? w : 0;
    }
    const size_t r = static_cast<size_t>(row);
    results_.row_max[r] = row_max;
    if (row_max == kMinusInfinity) return;

    double* numerator = results_.numerator.data() + row * shape_.value_dim;
    double denominator = 0;
    for (int64_t j = 0; j < shape_.kv_len; ++j) {
      const size_t at = static_cast<size_t>(j);
      if (active_[at] == 0) continue;
      double e = std::exp(logits_[at] - row_max) / active_[at];
      const bool renormalise = inputs_.dropout && inputs_.dropout->renormalise();
      if (!renormalise) denominator += e;
      if (inputs_.dropout) {
        e *= inputs_.dropout->keeps(b, h, i, j) ? inputs_.dropout->scale() : 0;
      }
      if (renormalise) denominator += e;
      for (int64_t d = 0; d < shape_.value_dim; ++d) {
        numerator[d] += e * rows_.value(j)[d];
      }
      if (options_.dense_weights)
        results_.weights[static_cast<size_t>(row * shape_.kv_len + j)] = e;
    }
    results_.denominator[r] = denominator;
    if (denominator == 0) return;
    results_.lse[r] = row_max + std::log(denominator);
    for (int64_t d = 0; d < shape_.value_dim; ++d) {
      results_.output[static_cast<size_t>(row * shape_.value_dim + d)] = numerator[d] / denominator;
    }
    if (!options_.dense_weights) return;
    for (int64_t j = 0; j < shape_.kv_len; ++j) {
      results_.weights[static_cast<size_t>(row * shape_.kv_len + j)] /= denominator;
    }
  }

  const AttentionInputs& inputs_;
  const AttentionShape shape_;
  const AttentionOptions options_;
  Rows rows_;
  Evaluator mask_;
  std::optional<Evaluator> weight_;
  bool full_mask_ = false;
  std::vector<double> logits_;
  std::vector<double> active_;  // w of active entries, 0 elsewhere
  AttentionResults results_;
};

}  // namespace

AttentionResults reference_attention(const ir::Function& function, const AttentionInputs& inputs,
                                     const AttentionOptions& options) {
  MASKJIT_CHECK(function.result("mask").valid() && function.result("score").valid(),
                "reference attention needs the results mask and score");
  return Reference(function, inputs, options).run();
}

}  // namespace maskjit::interp
