#pragma once
// Attention problems with random data, run through the public API and compared with the f64
// reference.
#include <memory>
#include <optional>
#include <random>

#include <gtest/gtest.h>

#include "masker_dsl/interp/attention.h"
#include "runtime/api/engine.h"
#include "runtime/api/state.h"

namespace maskjit::testing {

enum class Layout { HeadsFirst, RowsFirst, Padded };  // [B, H, L, D], [B, L, H, D], both with gaps

// A view of own memory. What lies between its elements is poisoned (NaN for floats), and it starts
// or ends at a page that may not be touched, for sanitizers do not see into compiled kernels.
class Tensor {
 public:
  Tensor() = default;
  Tensor(ElementType type, std::vector<int64_t> shape, Layout layout = Layout::HeadsFirst);

  const TensorView& view() const { return view_; }
  int64_t size() const { return view_.elements(); }
  // By row-major index, whatever the layout. Integers and Booleans as doubles, too.
  double at(int64_t index) const;
  void set(int64_t index, double value);
  std::vector<double> values() const;
  // True if everything between the elements is as it was.
  bool gaps_untouched() const;

 private:
  int64_t offset(int64_t index) const;
  uint8_t poison() const;
  TensorView view_;
  std::shared_ptr<void> pages_;
  std::span<uint8_t> bytes_;
};

struct Problem {
  std::string spec = "masker main() = causal()";
  Values baked = {};
  int64_t batch = 1, num_heads = 2, num_kv_heads = 1, q_len = 33, kv_len = 70, head_dim = 32,
          head_dim_v = 32;
  ElementType type = ElementType::F32;
  Layout layout = Layout::HeadsFirst;
  std::optional<ElementType> additive = {};
  std::vector<int64_t> additive_shape = {};  // empty: [B, Hq, Lq, Lk]
  bool additive_is_finite = false;           // the lowest finite number excludes instead of -inf
  Values runtime = {};
  std::map<std::string, Tensor> tensors = {};
  std::map<std::string, Mask> masks = {};
  std::optional<Dropout> dropout = {};  // with its probability
  std::optional<float> scale = {};
  std::optional<int64_t> q_offset = {};
  bool row_max_over_all = false;
  bool weights = true;
  Sampling sampling = {};
};

// Engines of the tests keep nothing on disk.
EngineOptions memory_only();

// Runs `problem` and compares every result with the reference.
void expect_reference(const Engine& engine, const Problem& problem);

}  // namespace maskjit::testing
