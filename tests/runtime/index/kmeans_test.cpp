#include "runtime/index/kmeans.h"

#include <gtest/gtest.h>

#include <cmath>
#include <set>

#include "runtime/index/random.h"
#include "tests/runtime/index/support.h"

namespace maskjit {
namespace {

using index::KMeans;
using namespace maskjit::testing;

MjNearestFunction nearest() { return index::kernels_of(codegen::Target::host().level).nearest; }

double inertia(const std::vector<float>& points, int dims, const std::vector<float>& centroids) {
  double total = 0;
  for (size_t i = 0; i < points.size(); i += static_cast<size_t>(dims)) {
    double best = INFINITY;
    for (size_t c = 0; c < centroids.size(); c += static_cast<size_t>(dims)) {
      double square = 0;
      for (int d = 0; d < dims; ++d) {
        const double x = static_cast<double>(points[i + d]) - static_cast<double>(centroids[c + d]);
        square += x * x;
      }
      best = std::min(best, square);
    }
    total += best;
  }
  return total;
}

std::vector<float> centroids_of(const KMeans& kmeans, int dims, int count) {
  std::vector<float> result;
  const int padded = mj_pad_lanes(count);
  for (int c = 0; c < count; ++c) {
    if (std::isinf(kmeans.norms()[static_cast<size_t>(c)])) continue;
    for (int d = 0; d < dims; ++d)
      result.push_back(kmeans.codebook()[static_cast<size_t>(d * padded + c)]);
  }
  return result;
}

std::vector<float> trained(const std::vector<float>& points, int dims, int count, uint64_t seed,
                           int* iterations = nullptr) {
  const auto n = static_cast<int64_t>(points.size()) / dims;
  KMeans kmeans(nearest(), n, dims, count);
  std::ranges::copy(points, kmeans.points());
  const index::Random random(seed, index::Random::Stream::FirstCentroids);
  kmeans.train([&](int32_t i) { return random.uniform(static_cast<uint32_t>(i)); });
  if (iterations != nullptr) *iterations = kmeans.iterations();
  return centroids_of(kmeans, dims, count);
}

// Clusters far from each other: each gets a centroid. k-means++ finds them all about every
// other time, random first centroids once in a million times.
TEST(KMeans, FindsClusters) {
  Rng rng(1);
  const int dims = 4, clusters = 16;
  std::vector<float> middles, points;
  for (int i = 0; i < clusters * dims; ++i)
    middles.push_back(static_cast<float>(uniform(rng, -100, 100)));
  for (int i = 0; i < 1000; ++i) {
    const auto c = static_cast<size_t>(pick(rng, 0, clusters - 1));
    for (size_t d = 0; d < dims; ++d)
      points.push_back(middles[c * dims + d] + static_cast<float>(normal(rng)));
  }
  const double best = inertia(points, dims, middles);
  int found = 0;
  for (uint64_t seed = 0; seed < 40; ++seed)
    found += inertia(points, dims, trained(points, dims, clusters, seed)) < 1.2 * best ? 1 : 0;
  EXPECT_GE(found, 18);
}

TEST(KMeans, IsBetterThanRandomCentroids) {
  for (uint64_t seed = 0; seed < 30; ++seed) {
    Rng rng(seed);
    const int dims = static_cast<int>(pick(rng, 1, 20));
    const int count = static_cast<int>(pick(rng, 2, 70));
    std::vector<float> points;
    for (int i = 0; i < 600 * dims; ++i) points.push_back(static_cast<float>(normal(rng)));
    std::vector<float> drawn;
    for (int c = 0; c < count; ++c) {
      const int64_t i = pick(rng, 0, 599);
      drawn.insert(drawn.end(), points.begin() + i * dims, points.begin() + (i + 1) * dims);
    }
    const std::vector<float> centroids = trained(points, dims, count, seed);
    EXPECT_LT(inertia(points, dims, centroids), inertia(points, dims, drawn)) << seed;
    EXPECT_EQ(centroids, trained(points, dims, count, seed)) << "the same again";
  }
}

// Where there are no more points than centroids, points are centroids; equal points need one.
TEST(KMeans, FewPoints) {
  Rng rng(5);
  std::vector<float> points;
  for (int i = 0; i < 5; ++i) points.push_back(static_cast<float>(i));
  EXPECT_EQ(trained(points, 1, 8, 1), points);
  std::vector<float> repeated;
  for (int i = 0; i < 100; ++i) repeated.push_back(static_cast<float>(i % 3));
  int iterations = 0;
  const std::vector<float> centroids = trained(repeated, 1, 16, 1, &iterations);
  EXPECT_EQ(std::set<float>(centroids.begin(), centroids.end()), (std::set<float>{0, 1, 2}));
  EXPECT_EQ(centroids.size(), 3u);
  EXPECT_LE(iterations, 2);
}

TEST(KMeans, NearestIsTheFirstOfEquals) {
  // Centroids 0, 1, 1, 3 of one dimension.
  index::AlignedVector<float> codebook(16), norms(16, INFINITY), scratch(256);
  for (const auto& [c, x] : {std::pair{0, 0.0f}, {1, 1.0f}, {2, 1.0f}, {3, 3.0f}}) {
    codebook[static_cast<size_t>(c)] = x;
    norms[static_cast<size_t>(c)] = x * x / 2;
  }
  const std::vector<float> points = {-5, 0.4f, 0.6f, 1, 1.9f, 2.1f, 100};
  for (const codegen::HostLevel level : levels()) {
    std::vector<int32_t> found(points.size());
    index::kernels_of(level).nearest(points.data(), 1, static_cast<int64_t>(points.size()), 1,
                                     codebook.data(), norms.data(), 4, found.data(),
                                     scratch.data());
    EXPECT_EQ(found, (std::vector<int32_t>{0, 0, 1, 1, 1, 3, 3}));
  }
}

}  // namespace
}  // namespace maskjit
