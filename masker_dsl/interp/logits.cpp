#include "masker_dsl/interp/logits.h"

#include <cmath>

#include "masker_dsl/ir/internal_error.h"

namespace maskjit::interp {
namespace {

void check(const AttentionInputs& inputs) {
  const AttentionShape& s = inputs.shape;
  MASKJIT_CHECK(s.batch >= 0 && s.num_heads >= 0 && s.num_kv_heads >= 0 && s.q_len >= 0 &&
                    s.kv_len >= 0 && s.head_dim >= 0 && s.value_dim >= 0,
                "a negative extent");
  MASKJIT_CHECK(s.num_kv_heads > 0 ? s.num_heads % s.num_kv_heads == 0 : s.num_heads == 0,
                "query heads are not a multiple of key heads");
  auto size = [](std::span<const double> data, int64_t elements) {
    return static_cast<int64_t>(data.size()) == elements;
  };
  MASKJIT_CHECK(size(inputs.query, s.batch * s.num_heads * s.q_len * s.head_dim), "query size");
  MASKJIT_CHECK(size(inputs.key, s.batch * s.num_kv_heads * s.kv_len * s.head_dim), "key size");
  MASKJIT_CHECK(size(inputs.value, s.batch * s.num_kv_heads * s.kv_len * s.value_dim),
                "value size");
  if (!inputs.additive) return;
  const std::array<int64_t, 4>& e = inputs.additive->extents;
  MASKJIT_CHECK((e[0] == s.batch || e[0] == 1) && (e[1] == s.num_heads || e[1] == 1) &&
                    (e[2] == s.q_len || e[2] == 1) && e[3] >= s.kv_len &&
                    size(inputs.additive->values, e[0] * e[1] * e[2] * e[3]),
                "additive mask size");
}

}  // namespace

Rows::Rows(const ir::Function& function, const AttentionInputs& inputs)
    : inputs_(inputs), score_(function, function.result("score")) {
  check(inputs);
  const ir::Node& score = function[function.result("score")];
  plain_score_ = score.op == ir::Op::Variable && score.var() == ir::Var::Score;
  const AttentionShape& shape = inputs.shape;
  scale_ = inputs.scale.value_or(1.0 / std::sqrt(static_cast<double>(shape.head_dim)));
  group_ = shape.num_kv_heads > 0 ? shape.num_heads / shape.num_kv_heads : 0;
  environment_.params = inputs.params;
  environment_.tensors = inputs.tensors;
  environment_[ir::Var::QLen] = shape.q_len;
  environment_[ir::Var::KvLen] = shape.kv_len;
  environment_[ir::Var::QOffset] = inputs.q_offset.value_or(shape.kv_len - shape.q_len);
  environment_[ir::Var::BatchSize] = shape.batch;
  environment_[ir::Var::NumHeads] = shape.num_heads;
  environment_[ir::Var::NumKvHeads] = shape.num_kv_heads;
  environment_[ir::Var::HeadDim] = shape.head_dim;
}

void Rows::enter(int64_t batch, int64_t head, int64_t query) {
  const AttentionShape& shape = inputs_.shape;
  const int64_t kv_head = head / group_;
  const int64_t keys = (batch * shape.num_kv_heads + kv_head) * shape.kv_len;
  row_ = (batch * shape.num_heads + head) * shape.q_len + query;
  query_ = inputs_.query.data() + row_ * shape.head_dim;
  key_ = inputs_.key.data() + keys * shape.head_dim;
  value_ = inputs_.value.data() + keys * shape.value_dim;
  environment_[ir::Var::Batch] = batch;
  environment_[ir::Var::Head] = head;
  environment_[ir::Var::KvHead] = kv_head;
  environment_[ir::Var::Query] = query + environment_[ir::Var::QOffset];
  if (!inputs_.additive) return;
  boolean_ = inputs_.additive->boolean;
  const std::array<int64_t, 4>& e = inputs_.additive->extents;
  const int64_t row =
      ((e[0] == 1 ? 0 : batch) * e[1] + (e[1] == 1 ? 0 : head)) * e[2] + (e[2] == 1 ? 0 : query);
  additive_ = inputs_.additive->values.data() + row * e[3];
}

double Rows::logit(int64_t j) {
  const int64_t head_dim = inputs_.shape.head_dim;
  const double* key = key_ + j * head_dim;
  double dot = 0;
  for (int64_t d = 0; d < head_dim; ++d) dot += query_[d] * key[d];
  environment_[ir::Var::Key] = j;
  environment_.score = scale_ * dot;
  const double s = plain_score_ ? environment_.score : score_.run(environment_).real;
  return additive_ == nullptr || boolean_ ? s : s + additive_[j];
}

}  // namespace maskjit::interp
