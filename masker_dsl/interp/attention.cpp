#include "masker_dsl/interp/attention.h"

#include <cmath>

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
        mask_(function, function.result("mask")),
        score_(function, function.result("score")) {
    const ir::Node& score = function[function.result("score")];
    plain_score_ = score.op == ir::Op::Variable && score.var() == ir::Var::Score;
    if (const ir::Value weight = function.result("weight"); weight.valid()) {
      weight_.emplace(function, weight);
    }
    const ir::Node& mask = function[function.result("mask")];
    full_mask_ = mask.op == ir::Op::Const && mask.constant.integer != 0;
    check();
    scale_ = inputs.scale.value_or(1.0 / std::sqrt(static_cast<double>(shape_.head_dim)));
    group_ = shape_.num_kv_heads > 0 ? shape_.num_heads / shape_.num_kv_heads : 0;
    environment_.params = inputs.params;
    environment_.tensors = inputs.tensors;
    environment_[ir::Var::QLen] = shape_.q_len;
    environment_[ir::Var::KvLen] = shape_.kv_len;
    environment_[ir::Var::QOffset] = inputs.q_offset.value_or(shape_.kv_len - shape_.q_len);
    environment_[ir::Var::BatchSize] = shape_.batch;
    environment_[ir::Var::NumHeads] = shape_.num_heads;
    environment_[ir::Var::NumKvHeads] = shape_.num_kv_heads;
    environment_[ir::Var::HeadDim] = shape_.head_dim;
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
  void check() const {
    const AttentionShape& s = shape_;
    MASKJIT_CHECK(s.batch >= 0 && s.num_heads >= 0 && s.num_kv_heads >= 0 && s.q_len >= 0 &&
                      s.kv_len >= 0 && s.head_dim >= 0 && s.value_dim >= 0,
                  "a negative extent");
    MASKJIT_CHECK(s.num_kv_heads > 0 ? s.num_heads % s.num_kv_heads == 0 : s.num_heads == 0,
                  "query heads are not a multiple of key heads");
    auto size = [](std::span<const double> data, int64_t elements) {
      return static_cast<int64_t>(data.size()) == elements;
    };
    MASKJIT_CHECK(size(inputs_.query, s.batch * s.num_heads * s.q_len * s.head_dim), "query size");
    MASKJIT_CHECK(size(inputs_.key, s.batch * s.num_kv_heads * s.kv_len * s.head_dim), "key size");
    MASKJIT_CHECK(size(inputs_.value, s.batch * s.num_kv_heads * s.kv_len * s.value_dim),
                  "value size");
    MASKJIT_CHECK(
        inputs_.kept.empty() || size(inputs_.kept, s.batch * s.num_heads * s.q_len * s.kv_len),
        "kept size");
    if (!inputs_.additive) return;
    const std::array<int64_t, 4>& e = inputs_.additive->extents;
    MASKJIT_CHECK((e[0] == s.batch || e[0] == 1) && (e[1] == s.num_heads || e[1] == 1) &&
                      (e[2] == s.q_len || e[2] == 1) && e[3] >= s.kv_len &&
                      size(inputs_.additive->values, e[0] * e[1] * e[2] * e[3]),
                  "additive mask size");
  }

  // The row of the additive mask, or null.
  const double* additive_row(int64_t b, int64_t h, int64_t i) const {
    if (!inputs_.additive) return nullptr;
    const std::array<int64_t, 4>& e = inputs_.additive->extents;
    const int64_t row =
        ((e[0] == 1 ? 0 : b) * e[1] + (e[1] == 1 ? 0 : h)) * e[2] + (e[2] == 1 ? 0 : i);
    return inputs_.additive->values.data() + row * e[3];
  }

  double logit(const double* q, const double* k) {
    double dot = 0;
    for (int64_t d = 0; d < shape_.head_dim; ++d) dot += q[d] * k[d];
    environment_.score = scale_ * dot;
    return plain_score_ ? environment_.score : score_.run(environment_).real;
  }

  void row(int64_t b, int64_t h, int64_t i) {
    const int64_t kv_head = h / group_;
    const int64_t row = (b * shape_.num_heads + h) * shape_.q_len + i;
    const int64_t keys = (b * shape_.num_kv_heads + kv_head) * shape_.kv_len;
    const double* q = inputs_.query.data() + row * shape_.head_dim;
    const double* k = inputs_.key.data() + keys * shape_.head_dim;
    const double* v = inputs_.value.data() + keys * shape_.value_dim;
    const double* additive = additive_row(b, h, i);
    const bool boolean = additive != nullptr && inputs_.additive->boolean;
    const double* kept = inputs_.kept.empty() ? nullptr : inputs_.kept.data() + row * shape_.kv_len;
    environment_[ir::Var::Batch] = b;
    environment_[ir::Var::Head] = h;
    environment_[ir::Var::KvHead] = kv_head;
    environment_[ir::Var::Query] = i + environment_[ir::Var::QOffset];

    double row_max = kMinusInfinity;
    for (int64_t j = 0; j < shape_.kv_len; ++j) {
      const size_t at = static_cast<size_t>(j);
      active_[at] = 0;
      if (additive != nullptr && (boolean ? additive[j] == 0 : additive[j] == kMinusInfinity)) {
        continue;
      }
      environment_[ir::Var::Key] = j;
      double w = kept != nullptr ? kept[j] : 1.0;
      const bool active = w != 0 && (full_mask_ || mask_.run(environment_).integer != 0);
      if (active && weight_) w *= weight_->run(environment_).real;
      if (!active && !options_.row_max_over_all) continue;
      double s = logit(q, k + j * shape_.head_dim);
      if (additive != nullptr && !boolean) s += additive[j];
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
        numerator[d] += e * v[j * shape_.value_dim + d];
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
  Evaluator mask_;
  Evaluator score_;
  std::optional<Evaluator> weight_;
  bool plain_score_ = false;
  bool full_mask_ = false;
  double scale_ = 1;
  int64_t group_ = 1;
  Environment environment_;
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
