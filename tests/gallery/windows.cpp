// Masks of the distance between query and key, and of fixed parts of the sequence.
#include <set>

#include "tests/gallery/check.h"

namespace maskjit::gallery {
namespace {

// Square, decoding, a chunk of a prefill, more queries than keys, a given offset, a large one.
std::vector<Launch> launches() {
  return {{37, 37, 2, 4, 2}, {1, 50}, {13, 40, 1, 2, 1}, {20, 9}, {16, 32, 1, 1, 1, 5}, {256, 256}};
}

std::vector<Case> cases(const std::map<std::string, std::string>& values,
                        const std::function<Predicate(const Launch&)>& predicate) {
  std::vector<Case> result;
  for (const Launch& launch : launches()) result.push_back({launch, values, {}, predicate(launch)});
  return result;
}

// The keys that a walk from the query reaches: of each step the distance from the query.
bool reaches(const Element& e, int64_t first, int64_t last, int64_t step) {
  for (int64_t distance = first; distance <= last; distance += step) {
    if (e.q + distance == e.k) return true;
  }
  return false;
}

Check longformer() {
  Check check{"longformer", {}};
  for (const Launch& launch : std::vector<Launch>{{37, 37, 2, 2, 1}, {11, 40}, {256, 256}}) {
    std::vector<std::set<int64_t>> global;  // positions, by batch
    TensorData flag{{launch.batches, launch.kv_len}};
    for (int64_t b = 0; b < launch.batches; ++b) {
      global.push_back({0, 3, launch.kv_len / 2 + b, launch.kv_len - 7});
      for (int64_t i = 0; i < launch.kv_len; ++i) flag.integers.push_back(global.back().count(i));
    }
    const auto active = [global](const Element& e) {
      const std::set<int64_t>& g = global[static_cast<size_t>(e.batch)];
      return reaches(e, -3, 3, 1) || g.count(e.q) != 0 || g.count(e.k) != 0;
    };
    check.cases.push_back({launch, {{"window", "7"}}, {{"flag", flag}}, active});
  }
  check.at_16.visited = check.at_64.visited = 1;  // any key may be global
  return check;
}

// A decoder that generates: what a query sees is what earlier steps left in the cache.
Predicate streaming(int64_t sinks, int64_t window, int64_t kv_len) {
  std::map<int64_t, std::set<int64_t>> visible;
  std::set<int64_t> cache;
  for (int64_t step = 0; step < kv_len; ++step) {
    cache.insert(step);
    if (step - window >= sinks) cache.erase(step - window);
    visible[step] = cache;
  }
  return [visible](const Element& e) {
    const auto at = visible.find(e.q);
    return at != visible.end() && at->second.count(e.k) != 0;
  };
}

// Positions 0 .. 2 n - 1: which copy and which block each belongs to.
Case block_diffusion(int64_t n, int64_t block) {
  struct Token {
    bool noisy;
    int64_t block;
  };
  std::vector<Token> tokens;
  for (const bool noisy : {true, false}) {
    for (int64_t i = 0, inside = 0, at = 0; i < n; ++i) {
      tokens.push_back({noisy, at});
      if (++inside == block) inside = 0, ++at;
    }
  }
  const auto active = [tokens](const Element& e) {
    const Token query = tokens[static_cast<size_t>(e.q)], key = tokens[static_cast<size_t>(e.k)];
    if (query.noisy && key.noisy) return query.block == key.block;
    if (query.noisy) return key.block < query.block;  // what it is conditioned on
    if (key.noisy) return false;                      // the clean copy never sees noise
    return key.block <= query.block;
  };
  return {{2 * n, 2 * n}, {{"block", std::to_string(block)}}, {}, active};
}

}  // namespace

std::vector<Check> window_checks() {
  std::vector<Check> checks;
  checks.push_back({"causal", cases({}, [](const Launch& launch) {
                      // The last query sees every key, the one before all but one, ...
                      return [launch](const Element& e) {
                        const int64_t seen = launch.offset() + e.q_index + 1;
                        return e.k < seen;
                      };
                    })});
  checks.push_back({"sliding_window", cases({{"window", "9"}}, [](const Launch&) {
                      return [](const Element& e) { return reaches(e, -8, 0, 1); };
                    })});
  checks.push_back({"dilated_window", cases({{"count", "3"}, {"step", "4"}}, [](const Launch&) {
                      return [](const Element& e) { return reaches(e, -12, 12, 4); };
                    })});
  checks.push_back({"strided_sparse", cases({{"stride", "5"}}, [](const Launch& launch) {
                      return [launch](const Element& e) {
                        return reaches(e, -4, 0, 1) || reaches(e, -5 * launch.kv_len, 0, 5);
                      };
                    })});
  checks.push_back({"chunked", cases({{"size", "32"}}, [](const Launch& launch) {
                      return [launch](const Element& e) {
                        // Both in one chunk, the key not after the query.
                        for (int64_t begin = 0; begin < launch.kv_len; begin += 32) {
                          if (begin <= e.k && e.k <= e.q && e.q < begin + 32) return true;
                        }
                        return false;
                      };
                    })});
  checks.push_back(
      {"streaming_llm", cases({{"sinks", "4"}, {"window", "9"}}, [](const Launch& launch) {
         return streaming(4, 9, std::max(launch.kv_len, launch.offset() + launch.q_len));
       })});
  checks.push_back(longformer());
  checks.push_back({"prefix_lm", cases({{"prefix", "11"}}, [](const Launch&) {
                      return [](const Element& e) {
                        const bool in_prefix = e.k >= 0 && e.k <= 10;
                        return in_prefix || e.k - e.q <= 0;
                      };
                    })});
  Check batched{"prefix_lm_batch", {}};
  for (const Launch& launch : std::vector<Launch>{{37, 37, 3, 2, 2}, {5, 64, 3}, {256, 256, 3}}) {
    const std::vector<int64_t> prefix = {launch.kv_len / 3, 0, 8};
    const std::vector<int64_t> length = {launch.kv_len / 2, launch.kv_len, 5};
    const auto active = [prefix, length](const Element& e) {
      const int64_t seen = std::max(e.q + 1, prefix[static_cast<size_t>(e.batch)]);
      return e.k < std::min(seen, length[static_cast<size_t>(e.batch)]);
    };
    batched.cases.push_back(
        {launch, {}, {{"prefix", {{3}, prefix}}, {"length", {{3}, length}}}, active});
  }
  checks.push_back(batched);
  checks.push_back({"block_diffusion",
                    {block_diffusion(24, 4), block_diffusion(31, 5), block_diffusion(3, 8),
                     block_diffusion(128, 16)}});
  return checks;
}

}  // namespace maskjit::gallery
