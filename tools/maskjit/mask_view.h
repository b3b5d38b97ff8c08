#pragma once
// A bound mask at given lengths, looked at element by element and tile by tile, by interpretation:
// no compile.
#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "masker_dsl/analysis/tile_analysis.h"
#include "masker_dsl/interp/interpreter.h"
#include "tools/maskjit/spec.h"

namespace maskjit::cli {

struct Lengths {
  int64_t q_len = 0;  // 0: as many as keys
  int64_t kv_len = 0;
  int64_t batch = 1;
  int64_t heads = 1;
  int64_t kv_heads = 0;  // 0: as many as heads
  int64_t head_dim = 64;
  std::optional<int64_t> q_offset;
};
void add_length_options(CLI::App& command, Lengths& lengths);
// Fills in defaults (`kv_len` if neither length is given) and says what cannot be.
Status complete(Lengths& lengths, int64_t kv_len);

// What a spec reads at launch: run-time scalars and tensors, checked against the lengths.
struct LaunchValues {
  std::vector<ir::Scalar> scalars;
  std::map<std::string, io::Tensor> tensors;
};
Result<LaunchValues> launch_values(const SpecOptions& options, const Spec& spec,
                                   const Lengths& lengths);

// Inclusive ranges of query rows (from 0) and keys.
struct TileRect {
  int64_t q0 = 0, q1 = 0, k0 = 0, k1 = 0;
};

class MaskView {
 public:
  // The spec and the values must outlive the view.
  MaskView(const Spec& spec, const LaunchValues& values, const Lengths& lengths);

  void select(int64_t batch, int64_t head);
  bool active(int64_t q_index, int64_t k);
  analysis::TileClass classify(const TileRect& rect);
  // Sorted, disjoint, not adjacent, within 0 .. kv_len - 1, inclusive.
  std::vector<std::pair<int64_t, int64_t>> key_ranges(int64_t q0, int64_t q1);

  bool depends_on_batch() const { return depends_on_batch_; }
  bool depends_on_head() const { return depends_on_head_; }
  const Lengths& lengths() const { return lengths_; }

 private:
  Lengths lengths_;
  interp::Evaluator mask_, may_, must_;
  std::vector<std::pair<interp::Evaluator, interp::Evaluator>> ranges_;
  interp::Environment environment_;
  int64_t offset_;
  bool depends_on_batch_, depends_on_head_;
};

}  // namespace maskjit::cli
