#pragma once
// Keys, options and what kernels read of an index, for the tests of this folder.
#include <random>
#include <vector>

#include "codegen/target/target.h"
#include "kernels_templates/include/index_layout.h"
#include "runtime/index/aligned.h"
#include "runtime/index/kernels.h"
#include "runtime/index/key_index.h"

namespace maskjit::testing {

using Rng = std::mt19937_64;

int64_t pick(Rng& rng, int64_t lo, int64_t hi);  // inclusive
double uniform(Rng& rng, double lo, double hi);
double normal(Rng& rng);
template <typename T>
const T& one_of(Rng& rng, const std::vector<T>& values) {
  return values[static_cast<size_t>(pick(rng, 0, static_cast<int64_t>(values.size()) - 1))];
}

// Keys [batch, num_kv_heads, capacity, head_dim] in some order of dimensions, with gaps.
class KeyCache {
 public:
  KeyCache(Rng& rng, const KeyIndex::Shape& shape, int64_t capacity);

  TensorView view(int64_t first, int64_t count) const;
  TensorView view(int64_t count) const { return view(0, count); }
  double at(int64_t batch, int64_t kv_head, int64_t key, int64_t channel) const;
  std::vector<double> row(int64_t batch, int64_t kv_head, int64_t key) const;
  // Rounded to the element type.
  void set(int64_t batch, int64_t kv_head, int64_t key, int64_t channel, double value);
  // Other numbers from `first` on, some rows larger than all before.
  void fill(Rng& rng, int64_t first, double outliers = 0.02);

  const KeyIndex::Shape& shape() const { return shape_; }
  int64_t capacity() const { return capacity_; }

 private:
  int64_t offset(int64_t batch, int64_t kv_head, int64_t key, int64_t channel) const;

  KeyIndex::Shape shape_;
  int64_t capacity_;
  std::vector<int64_t> strides_;
  std::vector<float> memory_;  // of any element type
};

// A part, with the memory of its tensors.
struct OwnedPart {
  KeyIndex::Part part;
  std::vector<int32_t> table;
  std::vector<float> query_mlp, key_mlp;
};
enum class PartKind { PageBound, Channels, HashBits, PqCodes, Lsh };
inline const std::vector<PartKind> kPartKinds = {
    PartKind::PageBound, PartKind::Channels, PartKind::HashBits, PartKind::PqCodes, PartKind::Lsh};
// Small random options.
std::unique_ptr<OwnedPart> random_part(Rng& rng, PartKind kind, const KeyIndex::Shape& shape);
KeyIndex::Shape random_shape(Rng& rng);

// That part alone, over all keys of the cache, made by `level`.
KeyIndex make_index(const KeyCache& cache, const KeyIndex::Part& part, uint64_t seed = 1,
                    codegen::HostLevel level = codegen::Target::host().level);

// Of the levels that this CPU has.
std::vector<codegen::HostLevel> levels();

// A query prepared for a part of an index.
class Prepared {
 public:
  Prepared(const KeyIndex& index, size_t part, codegen::HostLevel level, int64_t batch,
           int64_t head, const std::vector<float>& query);

  std::vector<float> scores(int64_t begin, int64_t count) const;
  std::vector<float> page_scores(int64_t begin, int64_t count) const;
  float lsh_weight(int64_t key, float product) const;
  const MjScorer& scorer() const { return scorer_; }
  // Of this batch and the head that the rows are of.
  const char* row(int i) const;

 private:
  std::vector<float> call(MjScorerScoresFunction function, int64_t begin, int64_t count) const;

  index::IndexKernels kernels_;
  MjScorer scorer_;
  int32_t batch_, head_, kv_head_;
  index::AlignedVector<char> prepared_;
};

std::vector<float> random_query(Rng& rng, int64_t head_dim);
double dot(const std::vector<float>& a, const std::vector<double>& b);

}  // namespace maskjit::testing
