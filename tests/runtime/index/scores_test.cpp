// Scores against their formulas, computed here in f64 from keys, queries and options alone (PQ and
// LSH: and from codebooks, centres and projections, which other tests look at).
#include <gtest/gtest.h>

#include <cmath>

#include "tests/runtime/index/support.h"

namespace maskjit {
namespace {

using namespace maskjit::testing;

// A score, and how far a correct one may be from it.
struct Expected {
  double value;
  double tolerance;
};

// Asymmetric min-max quantisation; the code is found in f32, in which a half may round otherwise.
std::vector<double> fake_quantised(const std::vector<double>& x, int bits) {
  if (bits == 16) return x;
  const float lo = static_cast<float>(*std::ranges::min_element(x));
  const float hi = static_cast<float>(*std::ranges::max_element(x));
  const float most = static_cast<float>((1 << bits) - 1);
  const float range = hi - lo == 0 ? 1 : hi - lo;
  std::vector<double> result;
  for (const double v : x) {
    const float code =
        std::clamp(std::nearbyint((static_cast<float>(v) - lo) * (most / range)), 0.0f, most);
    result.push_back(static_cast<double>(lo) + static_cast<double>(code) * range / most);
  }
  return result;
}

// What sums of `terms` may be wrong by in f32.
double rounding(const std::vector<double>& terms) {
  double total = 0;
  for (const double t : terms) total += std::abs(t);
  return 1e-5 * total + 1e-6;
}
Expected sum_of(const std::vector<double>& terms) {
  double total = 0;
  for (const double t : terms) total += t;
  return {total, rounding(terms)};
}

class Model {
 public:
  Model(const KeyCache& cache, int64_t batch, int64_t head, const std::vector<float>& query)
      : cache_(cache),
        batch_(batch),
        head_(head),
        kv_head_(head / (cache.shape().num_heads / cache.shape().num_kv_heads)),
        query_(query) {}

  Expected score(const KeyIndex::PageBound& part, int64_t key) const {
    return page(part, key / part.page);
  }
  Expected page(const KeyIndex::PageBound& part, int64_t number) const {
    const int64_t last = std::min((number + 1) * part.page, cache_.capacity());
    std::vector<double> least = key_row(number * part.page), greatest = least;
    for (int64_t k = number * part.page; k < last; ++k) {
      const std::vector<double> key = key_row(k);
      for (size_t d = 0; d < least.size(); ++d) {
        least[d] = std::min(least[d], key[d]);
        greatest[d] = std::max(greatest[d], key[d]);
      }
    }
    least = fake_quantised(least, part.bits);
    greatest = fake_quantised(greatest, part.bits);
    std::vector<double> terms;
    for (size_t d = 0; d < least.size(); ++d)
      terms.push_back(std::max(query_[d] * least[d], query_[d] * greatest[d]));
    return sum_of(terms);
  }

  Expected score(const KeyIndex::Channels& part, int64_t key) const {
    const int64_t rows = part.table.shape[0];
    const int64_t row = rows == cache_.shape().num_heads ? head_ : rows == 1 ? 0 : kv_head_;
    std::vector<double> q, k;
    for (int64_t c = 0; c < part.table.shape[1]; ++c) {
      const int32_t channel =
          static_cast<const int32_t*>(part.table.data)[row * part.table.shape[1] + c];
      q.push_back(static_cast<double>(query_[static_cast<size_t>(channel)]));
      k.push_back(cache_.at(batch_, kv_head_, key, channel));
    }
    q = fake_quantised(q, part.bits);
    k = fake_quantised(k, part.bits);
    std::vector<double> terms, sizes;
    double total = 0;
    for (size_t i = 0; i < q.size(); ++i) {
      terms.push_back(q[i] * k[i]);
      total += std::abs(q[i]);
    }
    Expected expected = sum_of(terms);
    // The least channel is added apart from the codes.
    for (const double v : k) expected.tolerance += part.bits < 16 ? 1e-6 * total * std::abs(v) : 0;
    return expected;
  }

  Expected score(const KeyIndex::HashBits& part, int64_t key) const {
    const std::vector<double> q(query_.begin(), query_.end());
    const std::vector<double> a = outputs(part, part.query_mlp, q);
    const std::vector<double> b = outputs(part, part.key_mlp, key_row(key));
    Expected expected = {0, 0};
    for (size_t i = 0; i < a.size(); ++i) {
      expected.value += (a[i] > 0) == (b[i] > 0) ? 1 : -1;
      // A sign this close to none may be either.
      if (std::min(std::abs(a[i]), std::abs(b[i])) < 1e-4) expected.tolerance += 2;
    }
    return expected;
  }

  Expected score(const KeyIndex::PqCodes& part, int64_t key, const Prepared& prepared) const {
    const int32_t centroids = prepared.scorer().numbers[2];
    const int64_t padded = mj_pad_lanes(centroids);
    const auto* books = reinterpret_cast<const float*>(prepared.row(1));
    const std::vector<double> x = key_row(key);
    Expected total = {0, 1e-6};
    for (size_t first = 0; first < x.size(); first += static_cast<size_t>(part.sub_dims)) {
      const size_t last = std::min(first + static_cast<size_t>(part.sub_dims), x.size());
      std::vector<double> distance(static_cast<size_t>(centroids)), product(distance.size());
      double size = 1e-6;
      for (size_t c = 0; c < distance.size(); ++c) {
        for (size_t d = first; d < last; ++d) {
          const double at = static_cast<double>(books[d * static_cast<size_t>(padded) + c]);
          distance[c] += (x[d] - at) * (x[d] - at);
          product[c] += query_[d] * at;
          size += std::abs(query_[d] * at) + x[d] * x[d] + at * at;
        }
      }
      const auto best = std::ranges::min_element(distance);
      const double chosen = product[static_cast<size_t>(best - distance.begin())];
      total.value += chosen;
      total.tolerance += 1e-6 * size;
      // Centroids this close to the nearest may be taken instead.
      double furthest = 0;
      for (size_t c = 0; c < distance.size(); ++c) {
        if (distance[c] <= *best + 1e-6 * size)
          furthest = std::max(furthest, std::abs(product[c] - chosen));
      }
      total.tolerance += furthest;
    }
    return total;
  }

  Expected score(const KeyIndex::Lsh& part, int64_t key, const Prepared& prepared) const {
    const auto* state = reinterpret_cast<const float*>(prepared.row(1));
    const auto* projections = static_cast<const float*>(prepared.scorer().rows[2].data);
    const int64_t padded = mj_pad_lanes(part.tables * part.bits);
    std::vector<double> q, k = key_row(key);
    double square = 0;
    for (size_t d = 0; d < k.size(); ++d) {
      const double centre = static_cast<double>(state[1 + d]);
      q.push_back(static_cast<double>(query_[d]) - centre);
      k[d] -= centre;
      square += k[d] * k[d];
    }
    const double bound = static_cast<double>(state[0]) * static_cast<double>(state[0]);
    q.push_back(0);
    k.push_back(std::sqrt(std::max(bound - square, 0.0)));
    bool sure_match = false, perhaps = false;
    for (int t = 0; t < part.tables; ++t) {
      bool equal = true, sure = true;
      for (int b = 0; b < part.bits; ++b) {
        double on_q = 0, on_k = 0;
        for (size_t d = 0; d < k.size(); ++d) {
          const double w = static_cast<double>(projections[d * static_cast<size_t>(padded) +
                                                           static_cast<size_t>(t * part.bits + b)]);
          on_q += w * q[d];
          on_k += w * k[d];
        }
        const bool close = std::min(std::abs(on_q), std::abs(on_k)) < 1e-4 * (1 + std::sqrt(bound));
        sure = sure && !close;
        equal = equal && (close || (on_q > 0) == (on_k > 0));
      }
      perhaps = perhaps || equal;
      sure_match = sure_match || (equal && sure);
    }
    return {sure_match ? 1.0 : 0.0, perhaps && !sure_match ? 1.0 : 0.0};
  }

 private:
  std::vector<double> key_row(int64_t key) const { return cache_.row(batch_, kv_head_, key); }

  std::vector<double> outputs(const KeyIndex::HashBits& part, const TensorView& mlp,
                              std::vector<double> x) const {
    const float* p = static_cast<const float*>(mlp.data) + head_ * mlp.shape[1];
    for (int layer = 0; layer < part.layers; ++layer) {
      const bool last = layer + 1 == part.layers;
      const auto out = static_cast<size_t>(last ? part.bits : part.hidden);
      std::vector<double> y(out);
      for (size_t o = 0; o < out; ++o) {
        for (size_t i = 0; i < x.size(); ++i) y[o] += x[i] * static_cast<double>(p[i * out + o]);
        y[o] += static_cast<double>(p[x.size() * out + o]);
        if (!last) y[o] = activated(part.activation, y[o]);
      }
      p += (x.size() + 1) * out;
      x = y;
    }
    return x;
  }
  static double activated(KeyIndex::Activation activation, double x) {
    switch (activation) {
      case KeyIndex::Activation::Relu:
        return std::max(x, 0.0);
      case KeyIndex::Activation::Silu:
        return x / (1 + std::exp(-x));
      case KeyIndex::Activation::Gelu:
        return 0.5 * x * (1 + std::erf(x / std::sqrt(2)));
      case KeyIndex::Activation::Tanh:
        return std::tanh(x);
    }
    return 0;
  }

  const KeyCache& cache_;
  int64_t batch_, head_, kv_head_;
  const std::vector<float>& query_;
};

class Scores : public ::testing::TestWithParam<PartKind> {};

TEST_P(Scores, AreTheirFormulas) {
  int64_t unsure = 0, all = 0, matches = 0;
  for (uint64_t seed = 0; seed < 60; ++seed) {
    Rng rng(seed);
    KeyIndex::Shape shape = random_shape(rng);
    shape.head_dim = one_of<int64_t>(rng, {1, 8, 20, 32, 64});
    const KeyCache cache(rng, shape, pick(rng, 1, 200));
    const auto part = random_part(rng, GetParam(), shape);
    if (auto* lsh = std::get_if<KeyIndex::Lsh>(&part->part)) lsh->bits = std::min(lsh->bits, 9);
    const KeyIndex index = make_index(cache, part->part);
    SCOPED_TRACE(fmt::format("seed {}, {}", seed, index.describe()));
    const int64_t batch = pick(rng, 0, shape.batch - 1);
    const int64_t head = pick(rng, 0, shape.num_heads - 1);
    const auto query = random_query(rng, shape.head_dim);
    const Model model(cache, batch, head, query);
    const int64_t begin = pick(rng, 0, cache.capacity() - 1);
    const int64_t count = pick(rng, 1, cache.capacity() - begin);
    for (const codegen::HostLevel level : levels()) {
      SCOPED_TRACE(codegen::Target{level}.print());
      const Prepared prepared(index, 0, level, batch, head, query);
      const auto expected = [&](int64_t key) {
        return std::visit(
            [&](const auto& p) {
              using T = std::decay_t<decltype(p)>;
              if constexpr (std::is_same_v<T, KeyIndex::PqCodes> ||
                            std::is_same_v<T, KeyIndex::Lsh>) {
                return model.score(p, key, prepared);
              } else {
                return model.score(p, key);
              }
            },
            part->part);
      };
      const auto scores = prepared.scores(begin, count);
      for (int64_t i = 0; i < count; ++i) {
        const Expected e = expected(begin + i);
        ASSERT_NEAR(static_cast<double>(scores[static_cast<size_t>(i)]), e.value, e.tolerance)
            << "key " << begin + i;
        ++all;
        unsure += e.tolerance >= 0.5 ? 1 : 0;
        matches += scores[static_cast<size_t>(i)] == 1 ? 1 : 0;
      }
      if (const auto* pages = std::get_if<KeyIndex::PageBound>(&part->part)) {
        const int64_t last = (cache.capacity() - 1) / pages->page;
        const int64_t first = pick(rng, 0, last);
        const auto bounds = prepared.page_scores(first, last - first + 1);
        for (size_t p = 0; p < bounds.size(); ++p) {
          const Expected e = model.page(*pages, first + static_cast<int64_t>(p));
          ASSERT_NEAR(static_cast<double>(bounds[p]), e.value, e.tolerance)
              << "page " << first + static_cast<int64_t>(p);
        }
      }
    }
  }
  if (GetParam() == PartKind::HashBits || GetParam() == PartKind::Lsh) {
    EXPECT_LT(unsure, all / 20) << "the comparison says something";
  }
  if (GetParam() == PartKind::Lsh) {
    EXPECT_GT(matches, all / 20);
    EXPECT_LT(matches, all - all / 20);
  }
}

std::string name_of_kind(const ::testing::TestParamInfo<PartKind>& info) {
  constexpr std::array kNames = {"PageBound", "Channels", "HashBits", "PqCodes", "Lsh"};
  return kNames[static_cast<size_t>(info.param)];
}
INSTANTIATE_TEST_SUITE_P(Kinds, Scores, ::testing::ValuesIn(kPartKinds), name_of_kind);

// Every quantisation width, every table size, every code width.
TEST(Scores, EveryLayout) {
  Rng rng(1);
  const KeyIndex::Shape shape = {ElementType::BF16, 1, 4, 2, 32};
  const KeyCache cache(rng, shape, 130);
  const auto query = random_query(rng, 32);
  const Model model(cache, 0, 3, query);
  std::vector<int32_t> table(4 * 7);
  for (int32_t& channel : table) channel = static_cast<int32_t>(pick(rng, 0, 31));
  const TensorView channels = TensorView::contiguous(table.data(), ElementType::I32, {4, 7});
  for (const codegen::HostLevel level : levels()) {
    SCOPED_TRACE(codegen::Target{level}.print());
    const auto check = [&](const KeyIndex::Part& part, const auto& expected) {
      const KeyIndex index = make_index(cache, part);
      const Prepared prepared(index, 0, level, 0, 3, query);
      const auto scores = prepared.scores(0, 130);
      for (int64_t k = 0; k < 130; ++k) {
        const Expected e = expected(k, prepared);
        ASSERT_NEAR(static_cast<double>(scores[static_cast<size_t>(k)]), e.value, e.tolerance)
            << index.describe() << ", key " << k;
      }
    };
    for (int bits = 1; bits <= 16; ++bits) {
      const KeyIndex::PageBound pages = {.page = 3, .bits = bits};
      check(pages, [&](int64_t k, const Prepared&) { return model.score(pages, k); });
      const KeyIndex::Channels few = {.table = channels, .bits = bits};
      check(few, [&](int64_t k, const Prepared&) { return model.score(few, k); });
    }
    for (int bits = 1; bits <= 12; ++bits) {
      const KeyIndex::PqCodes pq = {.sub_dims = 5, .bits = bits};
      check(pq, [&](int64_t k, const Prepared& p) { return model.score(pq, k, p); });
    }
    for (const int bits : {1, 7, 8, 9, 16, 17, 32, 33, 63, 64}) {
      const KeyIndex::Lsh lsh = {.tables = 3, .bits = bits};
      check(lsh, [&](int64_t k, const Prepared& p) { return model.score(lsh, k, p); });
    }
  }
}

// Bounds without quantisation are at least every product.
TEST(Scores, PageBoundsBound) {
  Rng rng(2);
  const KeyIndex::Shape shape = {ElementType::F32, 1, 1, 1, 64};
  const KeyCache cache(rng, shape, 500);
  const KeyIndex index = make_index(cache, KeyIndex::PageBound{.page = 16});
  const auto query = random_query(rng, 64);
  const auto scores = Prepared(index, 0, codegen::Target::host().level, 0, 0, query).scores(0, 500);
  for (int64_t k = 0; k < 500; ++k)
    EXPECT_GE(static_cast<double>(scores[static_cast<size_t>(k)]) + 1e-4,
              dot(query, cache.row(0, 0, k)));
}

}  // namespace
}  // namespace maskjit
