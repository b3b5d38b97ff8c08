// Scores, each with the mask of its file.
#include <cmath>
#include <random>

#include "tests/gallery/check.h"

namespace maskjit::gallery {
namespace {

std::vector<Launch> launches() {
  return {{12, 12, 2, 4, 2}, {3, 20, 1, 8, 8}, {9, 5, 1, 2, 1}, {256, 256}};
}

bool not_after(const Element& e) { return e.k <= e.q; }

// Numbers that f32 holds exactly.
std::vector<double> random_table(int64_t count) {
  std::mt19937 generator(11);
  std::vector<double> values;
  for (int64_t i = 0; i < count; ++i)
    values.push_back(std::uniform_int_distribution<int>(-999, 999)(generator) / 64.0);
  return values;
}

double at(const std::vector<double>& table, int64_t index) {
  return table[static_cast<size_t>(index)];
}

// Slopes are a geometric sequence that starts at 2^(-8 / heads) with that ratio.
Check alibi() {
  Check check{"alibi", {}};
  for (const Launch& launch : launches()) {
    const double ratio = std::exp2(-8.0 / static_cast<double>(launch.heads));
    const auto score = [ratio](const Element& e, double s) {
      double slope = ratio;
      for (int64_t h = 0; h < e.head; ++h) slope *= ratio;
      return s - slope * static_cast<double>(e.q - e.k);
    };
    check.cases.push_back({launch, {}, {}, not_after, score});
  }
  return check;
}

// tanh by exponentials.
Check softcap() {
  Check check{"softcap", {}};
  for (const Launch& launch : launches()) {
    for (const double cap : {50.0, 1.5}) {
      const auto score = [cap](const Element&, double s) {
        const double e = std::exp(-2 * std::abs(s) / cap);
        return std::copysign(cap * (1 - e) / (1 + e), s);
      };
      check.cases.push_back({launch, {{"cap", cap == 50 ? "50.0" : "1.5"}}, {}, not_after, score});
    }
  }
  return check;
}

Check relative_bias() {
  Check check{"relative_bias", {}};
  for (Launch launch : std::vector<Launch>{{40, 80, 2, 4, 2}, {256, 256}}) {
    const std::vector<double> table = random_table(launch.heads * 65);
    const auto score = [table](const Element& e, double s) {
      int64_t distance = e.k - e.q;
      while (distance > 32) --distance;
      while (distance < -32) ++distance;
      return s + at(table, e.head * 65 + distance + 32);
    };
    check.cases.push_back({launch, {}, {{"table", {{launch.heads, 65}, {}, table}}}, {}, score});
  }
  return check;
}

// The bucket b = 16 + i of a distance n >= 16 is the last with n >= 16 * 8^(i / 16), that is
// n^16 >= 16^16 * 8^i, compared in integers; distances from 128 on are in the last.
int64_t t5_bucket(int64_t distance) {
  __extension__ using Wide = unsigned __int128;
  if (distance < 0) return 0;
  if (distance < 16) return distance;
  if (distance >= 128) return 31;
  Wide power = 1;
  for (int i = 0; i < 16; ++i) power *= static_cast<Wide>(distance);
  Wide limit = Wide{1} << 64;
  int64_t bucket = 16;
  while (bucket < 31 && power >= limit * 8) limit *= 8, ++bucket;
  return bucket;
}

Check t5_bias() {
  Check check{"t5_bias", {}};
  for (const Launch& launch : std::vector<Launch>{{30, 180, 1, 2, 1}, {12, 12}, {256, 256}}) {
    const std::vector<double> table = random_table(launch.heads * 32);
    const auto score = [table](const Element& e, double s) {
      return s + at(table, e.head * 32 + t5_bucket(e.q - e.k));
    };
    check.cases.push_back(
        {launch, {}, {{"table", {{launch.heads, 32}, {}, table}}}, not_after, score});
  }
  return check;
}

// A ring of `ring` nodes, a path of the others but the last, which is alone.
int64_t graph_distance(int64_t a, int64_t b, int64_t ring, int64_t nodes) {
  if (a == b) return 0;
  if (a == nodes - 1 || b == nodes - 1 || (a < ring) != (b < ring)) return -1;
  const int64_t along = std::abs(a - b);
  return a < ring ? std::min(along, ring - along) : along;
}

Check graph_bias() {
  Check check{"graph_bias", {}};
  for (const Launch& launch :
       std::vector<Launch>{{90, 90, 1, 3, 1}, {16, 16, 2, 2, 2}, {256, 256}}) {
    const int64_t nodes = launch.kv_len;
    const std::vector<double> bias = random_table(launch.heads * 64);
    TensorData distance{{launch.batches, nodes, nodes}};
    for (int64_t b = 0; b < launch.batches; ++b) {
      for (int64_t i = 0; i < nodes; ++i) {
        for (int64_t j = 0; j < nodes; ++j)
          distance.integers.push_back(graph_distance(i, j, nodes / 8 + 3 * b, nodes));
      }
    }
    const auto score = [bias, nodes](const Element& e, double s) {
      const int64_t edges = graph_distance(e.q, e.k, nodes / 8 + 3 * e.batch, nodes);
      if (edges < 0) return s;
      return s + at(bias, e.head * 64 + (edges > 63 ? 63 : edges));
    };
    check.cases.push_back({launch,
                           {},
                           {{"distance", distance}, {"bias", {{launch.heads, 64}, {}, bias}}},
                           {},
                           score});
  }
  return check;
}

}  // namespace

std::vector<Check> score_checks() {
  return {alibi(), softcap(), relative_bias(), t5_bias(), graph_bias()};
}

}  // namespace maskjit::gallery
