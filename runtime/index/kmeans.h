#pragma once
// k-means: first centroids by k-means++ (Arthur and Vassilvitskii 2007), then iterations of Lloyd's
// algorithm until no point changes its centroid. Every choice follows from the points and
// `uniform`.
#include <cstdint>
#include <functional>

#include "runtime/index/aligned.h"
#include "runtime/index/kernels.h"

namespace maskjit::index {

inline constexpr int kLloydIterations = 16;

// Points are rows of `dims` floats. `codebook` is [dims][centroids padded to 16] and `norms` half
// the squared norms, infinite for centroids that there are not: where points are equal, there are
// no more centroids than different points.
class KMeans {
 public:
  KMeans(MjNearestFunction nearest, int64_t points, int32_t dims, int32_t centroids);

  float* points() { return points_.data(); }
  // uniform(i), in [0, 1), draws first centroid i.
  void train(const std::function<double(int32_t)>& uniform);
  int iterations() const { return iterations_; }

  const AlignedVector<float>& codebook() const { return codebook_; }
  const AlignedVector<float>& norms() const { return norms_; }

 private:
  void choose_first(const std::function<double(int32_t)>& uniform);
  void put(int32_t centroid, const float* values);
  void assign();
  void move_to_means();

  MjNearestFunction nearest_function_;
  int64_t count_;
  int32_t dims_, centroids_, padded_;
  int iterations_ = 0;
  AlignedVector<float> points_, codebook_, norms_, scratch_;
  std::vector<float> transposed_;  // [dims][count]
  std::vector<double> distances_, sums_;
  std::vector<int64_t> members_;
  std::vector<int32_t> nearest_, nearest_before_;
  std::vector<float> values_;
};

}  // namespace maskjit::index
