#include "runtime/index/kmeans.h"

#include <cmath>
#include <limits>

namespace maskjit::index {

KMeans::KMeans(MjNearestFunction nearest, int64_t points, int32_t dims, int32_t centroids)
    : nearest_function_(nearest),
      count_(points),
      dims_(dims),
      centroids_(centroids),
      padded_(mj_pad_lanes(centroids)),
      points_(static_cast<size_t>(points * dims)),
      codebook_(static_cast<size_t>(int64_t{dims} * padded_)),
      norms_(static_cast<size_t>(padded_)),
      scratch_(static_cast<size_t>(int64_t{16} * padded_)),
      transposed_(points_.size()),
      distances_(static_cast<size_t>(points)),
      sums_(static_cast<size_t>(int64_t{centroids} * dims)),
      members_(static_cast<size_t>(centroids)),
      nearest_(static_cast<size_t>(points)),
      nearest_before_(static_cast<size_t>(points)),
      values_(static_cast<size_t>(dims)) {}

void KMeans::train(const std::function<double(int32_t)>& uniform) {
  std::fill(codebook_.begin(), codebook_.end(), 0.0f);
  std::fill(norms_.begin(), norms_.end(), std::numeric_limits<float>::infinity());
  iterations_ = 0;
  if (count_ <= centroids_) {
    for (int32_t c = 0; c < count_; ++c) put(c, points_.data() + int64_t{c} * dims_);
    return;
  }
  choose_first(uniform);
  for (; iterations_ < kLloydIterations; ++iterations_) {
    nearest_.swap(nearest_before_);
    assign();
    if (iterations_ > 0 && nearest_ == nearest_before_) break;
    move_to_means();
  }
}

// Each next centroid is a point, drawn with a probability in proportion to its squared distance
// from the nearest centroid so far.
void KMeans::choose_first(const std::function<double(int32_t)>& uniform) {
  for (int64_t i = 0; i < count_; ++i) {
    for (int32_t d = 0; d < dims_; ++d)
      transposed_[static_cast<size_t>(d * count_ + i)] =
          points_[static_cast<size_t>(i * dims_ + d)];
  }
  std::fill(distances_.begin(), distances_.end(), std::numeric_limits<double>::infinity());
  std::vector<double>& distances = distances_;
  auto chosen =
      std::min(static_cast<int64_t>(uniform(0) * static_cast<double>(count_)), count_ - 1);
  for (int32_t c = 0;; ++c) {
    const float* centroid = points_.data() + chosen * dims_;
    put(c, centroid);
    if (c + 1 == centroids_) return;
    double total = 0;
    constexpr int64_t kStep = 64;
    for (int64_t first = 0; first < count_; first += kStep) {
      const int64_t last = std::min(first + kStep, count_);
      double squares[kStep] = {};
      for (int32_t d = 0; d < dims_; ++d) {
        const float* row = transposed_.data() + d * count_ + first;
        const float at = centroid[d];
        for (int64_t i = 0; i < last - first; ++i) {
          const double difference = static_cast<double>(row[i]) - static_cast<double>(at);
          squares[i] += difference * difference;
        }
      }
      for (int64_t i = first; i < last; ++i) {
        double& distance = distances[static_cast<size_t>(i)];
        const double square = squares[i - first];
        distance = std::isfinite(square) ? std::min(distance, square) : 0;
        total += distance;
      }
    }
    if (!(total > 0)) return;  // every point is a centroid
    const double target = uniform(c + 1) * total;
    double sum = 0;
    chosen = -1;
    int64_t last_possible = 0;
    for (int64_t i = 0; i < count_ && chosen < 0; ++i) {
      const double distance = distances[static_cast<size_t>(i)];
      if (distance == 0) continue;
      last_possible = i;
      sum += distance;
      if (sum > target) chosen = i;
    }
    if (chosen < 0) chosen = last_possible;
  }
}

void KMeans::put(int32_t centroid, const float* values) {
  double square = 0;
  for (int32_t d = 0; d < dims_; ++d) {
    codebook_[static_cast<size_t>(int64_t{d} * padded_ + centroid)] = values[d];
    square += static_cast<double>(values[d]) * static_cast<double>(values[d]);
  }
  norms_[static_cast<size_t>(centroid)] = static_cast<float>(square / 2);
}

void KMeans::assign() {
  nearest_function_(points_.data(), dims_, count_, dims_, codebook_.data(), norms_.data(),
                    centroids_, nearest_.data(), scratch_.data());
}

// Centroids without points stay where they are.
void KMeans::move_to_means() {
  std::fill(sums_.begin(), sums_.end(), 0.0);
  std::fill(members_.begin(), members_.end(), 0);
  for (int64_t i = 0; i < count_; ++i) {
    const auto c = static_cast<size_t>(nearest_[static_cast<size_t>(i)]);
    ++members_[c];
    double* sum = sums_.data() + c * static_cast<size_t>(dims_);
    const float* point = points_.data() + i * dims_;
    for (int32_t d = 0; d < dims_; ++d) sum[d] += static_cast<double>(point[d]);
  }
  for (int32_t c = 0; c < centroids_; ++c) {
    const int64_t members = members_[static_cast<size_t>(c)];
    if (members == 0) continue;
    const double* sum = sums_.data() + int64_t{c} * dims_;
    for (int32_t d = 0; d < dims_; ++d)
      values_[static_cast<size_t>(d)] = static_cast<float>(sum[d] / static_cast<double>(members));
    put(c, values_.data());
  }
}

}  // namespace maskjit::index
