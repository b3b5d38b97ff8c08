#pragma once
// The logits of one row after the other: what attention and selection read of a problem.
#include "masker_dsl/interp/attention.h"

namespace maskjit::interp {

// Checks the sizes of the inputs. Not thread-safe.
class Rows {
 public:
  Rows(const ir::Function& function, const AttentionInputs& inputs);

  void enter(int64_t batch, int64_t head, int64_t query);
  int64_t index() const { return row_; }  // of the row in [B, Hq, Lq]
  // Does the additive mask let key j take part?
  bool allows(int64_t j) const {
    return additive_ == nullptr ||
           (boolean_ ? additive_[j] != 0
                     : additive_[j] != -std::numeric_limits<double>::infinity());
  }
  // The same for selectors (AdditiveMask::lowest).
  bool may_choose(int64_t j) const {
    return additive_ == nullptr ||
           (boolean_ ? additive_[j] != 0 : !(additive_[j] <= inputs_.additive->lowest));
  }
  // The score of the scaled product, and the additive mask.
  double logit(int64_t j);
  const double* value(int64_t j) const { return value_ + j * inputs_.shape.value_dim; }
  // Batch, head and query of the row are set; the caller sets the key.
  Environment& environment() { return environment_; }

 private:
  const AttentionInputs& inputs_;
  Evaluator score_;
  bool plain_score_;
  double scale_;
  int64_t group_;
  Environment environment_;
  int64_t row_ = 0;
  const double* query_ = nullptr;
  const double* key_ = nullptr;
  const double* value_ = nullptr;
  const double* additive_ = nullptr;
  bool boolean_ = false;
};

}  // namespace maskjit::interp
