#pragma once
// Brute force against which the tile functions are tested: every element of every tile.
#include <algorithm>
#include <optional>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "masker_dsl/analysis/tile_analysis.h"
#include "masker_dsl/interp/interpreter.h"
#include "masker_dsl/ir/text.h"

namespace maskjit::oracle {

using analysis::TileClass;
using ir::Var;

struct Launch {
  int64_t q_len = 0, kv_len = 0, q_offset = 0, tile_q = 1, tile_k = 1;
};

inline void apply(const Launch& launch, interp::Environment& environment) {
  environment[Var::QLen] = launch.q_len;
  environment[Var::KvLen] = launch.kv_len;
  environment[Var::QOffset] = launch.q_offset;
}

inline std::string describe(const interp::Environment& environment) {
  std::string text = "//";
  for (int i = 0; i < ir::kNumVars; ++i) {
    const Var var = static_cast<Var>(i);
    if (var != Var::Score) text += fmt::format(" {}={}", ir::name_of(var), environment[var]);
  }
  for (const ir::Scalar& p : environment.params) text += fmt::format(" {}", p.as_double());
  return text + "\n";
}

struct Counts {
  int tiles = 0, empty = 0, full = 0;     // what is true
  int missed_empty = 0, missed_full = 0;  // but called Partial
  int touched = 0;                        // in some range
};

// Compares every tile of the launch; the first contradiction in words.
inline std::optional<std::string> check(const ir::Function& function,
                                        const analysis::TileFunctions& tiles, const Launch& launch,
                                        interp::Environment environment, Counts* counts = nullptr) {
  apply(launch, environment);
  interp::Evaluator mask(function, function.result("mask"));
  interp::Evaluator may(tiles.tile, tiles.tile.result("may"));
  interp::Evaluator must(tiles.tile, tiles.tile.result("must"));
  std::vector<interp::Evaluator> lo, hi;
  for (int i = 0; i < tiles.range_count; ++i) {
    lo.emplace_back(tiles.ranges, tiles.ranges.result("lo" + std::to_string(i)));
    hi.emplace_back(tiles.ranges, tiles.ranges.result("hi" + std::to_string(i)));
  }
  for (int64_t q0 = 0; q0 < launch.q_len; q0 += launch.tile_q) {
    const int64_t q1 = std::min(q0 + launch.tile_q, launch.q_len) - 1;
    environment[Var::QueryLo] = q0 + launch.q_offset;
    environment[Var::QueryHi] = q1 + launch.q_offset;
    std::vector<std::pair<int64_t, int64_t>> ranges;
    for (int i = 0; i < tiles.range_count; ++i) {
      ranges.push_back({lo[static_cast<size_t>(i)].run(environment).integer,
                        hi[static_cast<size_t>(i)].run(environment).integer});
    }
    for (int64_t k0 = 0; k0 < launch.kv_len; k0 += launch.tile_k) {
      const int64_t k1 = std::min(k0 + launch.tile_k, launch.kv_len) - 1;
      environment[Var::KeyLo] = k0;
      environment[Var::KeyHi] = k1;
      const bool is_may = may.run(environment).integer != 0;
      const bool is_must = must.run(environment).integer != 0;
      int64_t active = 0;
      for (int64_t q = q0; q <= q1; ++q) {
        for (int64_t k = k0; k <= k1; ++k) {
          environment[Var::Query] = q + launch.q_offset;
          environment[Var::Key] = k;
          environment.score = static_cast<double>((q * 31 + k * 17) % 13 - 6) / 2;
          const bool on = mask.run(environment).integer != 0;
          active += on;
          const bool in_range = std::any_of(ranges.begin(), ranges.end(),
                                            [&](auto r) { return r.first <= k && k <= r.second; });
          const char* wrong = on && !is_may     ? "is active in a tile called Empty"
                              : !on && is_must  ? "is inactive in a tile called Full"
                              : on && !in_range ? "is active outside the key ranges"
                                                : nullptr;
          if (wrong == nullptr) continue;
          std::string text = fmt::format(
              "element q={} k={} {}; tile q {}..{} k {}..{}, q_len={} kv_len={} q_offset={}\n",
              q + launch.q_offset, k, wrong, q0 + launch.q_offset, q1 + launch.q_offset, k0, k1,
              launch.q_len, launch.kv_len, launch.q_offset);
          for (auto [a, b] : ranges) text += fmt::format("range {}..{}\n", a, b);
          return text + describe(environment) + ir::print(function) + ir::print(tiles.tile) +
                 ir::print(tiles.ranges);
        }
      }
      if (counts == nullptr) continue;
      const bool full = active == (q1 - q0 + 1) * (k1 - k0 + 1);
      const bool touched = std::any_of(ranges.begin(), ranges.end(), [&](auto r) {
        return std::max(r.first, k0) <= std::min(r.second, k1);
      });
      ++counts->tiles;
      counts->empty += active == 0;
      counts->full += full;
      counts->missed_empty += active == 0 && is_may;
      counts->missed_full += full && !is_must;
      counts->touched += touched;
    }
  }
  return std::nullopt;
}

}  // namespace maskjit::oracle
