#pragma once
// Reference attention in f64: query, key and value -> output and its by-products, for a function
// with the results "mask" (Bool) and "score" (Float). It follows the definition entry by entry, in
// two passes over each row and with no reordering of sums; every kernel is compared with it.
//
//   x = scale * <q_i, k_j>,  s = score(x) + A[b, h, i, j],  m = max of s over the active entries
//   e = exp(s - m) / w,  denominator = sum of e,  numerator = sum of e * v_j,  output = numerator /
//   denominator
//
// w is the function's result "weight" (1 without one) times what the caller gives. Dropout
// multiplies e by 0 or 1 / (1 - p) in the numerator, and in the denominator too if it renormalises.
//
// A row without active keys (or with s = -inf on all of them) gives output 0, denominator 0 and lse
// = -inf.
#include <array>
#include <cstdint>
#include <limits>
#include <optional>
#include <span>
#include <vector>

#include "masker_dsl/interp/dropout.h"
#include "masker_dsl/interp/interpreter.h"
#include "masker_dsl/ir/function.h"

namespace maskjit::interp {

struct AttentionShape {
  int64_t batch = 1;
  int64_t num_heads = 1;
  int64_t num_kv_heads =
      1;  // divides num_heads; query head h reads key head h / (num_heads / num_kv_heads)
  int64_t q_len = 1;
  int64_t kv_len = 1;
  int64_t head_dim = 1;
  int64_t value_dim = 1;
};

// [B|1, Hq|1, Lq|1, >= Lk], contiguous, read on its first Lk columns. Boolean: an entry takes part
// if the value is not 0. Otherwise it is added to the logit, and -inf excludes the entry.
struct AdditiveMask {
  std::span<const double> values;
  std::array<int64_t, 4> extents{1, 1, 1, 0};
  bool boolean = false;
  // The lowest finite number of the mask's type, which masks are often filled with: selectors (not
  // attention) take entries at or below it for excluded.
  double lowest = -std::numeric_limits<double>::infinity();
};

struct AttentionInputs {
  AttentionShape shape;
  std::span<const double> query;    // [B, Hq, Lq, D], contiguous like the other two
  std::span<const double> key;      // [B, Hkv, Lk, D]
  std::span<const double> value;    // [B, Hkv, Lk, Dv]
  std::optional<double> scale;      // 1 / sqrt(D) if absent
  std::optional<int64_t> q_offset;  // kv_len - q_len if absent
  std::optional<AdditiveMask> additive;
  // [B, Hq, Lq, Lk] or empty: the probability w with which an entry was kept; 0 makes it inactive.
  std::span<const double> kept;
  std::optional<Dropout> dropout;
  std::vector<ir::Scalar> params;    // by Function::params index
  std::vector<TensorValue> tensors;  // by Function::tensors index
};

struct AttentionOptions {
  bool dense_weights = false;
  // Take m over all entries that the additive mask allows instead of over the active ones.
  bool row_max_over_all = false;
};

struct AttentionResults {
  std::vector<double> output;       // [B, Hq, Lq, Dv]
  std::vector<double> numerator;    // [B, Hq, Lq, Dv]
  std::vector<double> denominator;  // [B, Hq, Lq]
  std::vector<double> row_max;      // [B, Hq, Lq], -inf for a row without entries
  std::vector<double> lse;          // [B, Hq, Lq]
  // [B, Hq, Lq, Lk], e / denominator after dropout: output is their product with the values. Empty
  // unless asked for.
  std::vector<double> weights;
};

// Const parameters that are not bound in the function need a value in `params`, too. Spans of the
// wrong size are internal errors: callers check shapes first.
AttentionResults reference_attention(const ir::Function& function, const AttentionInputs& inputs,
                                     const AttentionOptions& options = {});

}  // namespace maskjit::interp
