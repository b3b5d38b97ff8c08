// Key ranges as numbers and as words.
#include <gtest/gtest.h>

#include "masker_dsl/analysis/explain.h"
#include "masker_dsl/analysis/infix.h"
#include "masker_dsl/analysis/tile_analysis.h"
#include "masker_dsl/interp/interpreter.h"
#include "tests/analysis/gallery.h"

namespace maskjit {
namespace {

using analysis::analyse_tiles;
using analysis::explain_ranges;
using ir::Var;
using mask_expr::Builder;
using mask_expr::Expr;
using mask_expr::mask_of;
using mask_expr::Names;
using Ranges = std::vector<std::pair<int64_t, int64_t>>;

Ranges ranges_at(const analysis::TileFunctions& tiles, const interp::Environment& environment) {
  Ranges result;
  for (int i = 0; i < tiles.range_count; ++i) {
    const std::string number = std::to_string(i);
    interp::Evaluator lo(tiles.ranges, tiles.ranges.result("lo" + number));
    interp::Evaluator hi(tiles.ranges, tiles.ranges.result("hi" + number));
    result.push_back({lo.run(environment).integer, hi.run(environment).integer});
  }
  return result;
}

interp::Environment block(int64_t q_lo, int64_t q_hi, int64_t kv_len) {
  interp::Environment environment;
  environment[Var::QueryLo] = q_lo;
  environment[Var::QueryHi] = q_hi;
  environment[Var::QLen] = kv_len;
  environment[Var::KvLen] = kv_len;
  return environment;
}

// A window of 1,024 over 1,048,576 keys, tiles of 128 x 128: arithmetic alone gives exactly the
// active tiles of each of the 8,192 blocks of queries.
TEST(KeyRanges, MillionKeys) {
  const auto mask = mask_of([](Names n) { return (n.k <= n.q) & (n.q - n.k < 1024); });
  const auto tiles = analyse_tiles(mask);
  ASSERT_EQ(tiles.range_count, 1);
  EXPECT_TRUE(tiles.closed_form);
  EXPECT_FALSE(tiles.needs_summaries);
  interp::Evaluator lo(tiles.ranges, tiles.ranges.result("lo0"));
  interp::Evaluator hi(tiles.ranges, tiles.ranges.result("hi0"));
  interp::Evaluator may(tiles.tile, tiles.tile.result("may"));
  interp::Evaluator must(tiles.tile, tiles.tile.result("must"));
  const int64_t length = int64_t{1} << 20;
  int64_t visited = 0, full = 0;
  for (int64_t b = 0; b < length / 128; ++b) {
    interp::Environment environment = block(b * 128, b * 128 + 127, length);
    const int64_t first = std::max<int64_t>(0, lo.run(environment).integer) / 128;
    const int64_t last = std::min(length - 1, hi.run(environment).integer) / 128;
    EXPECT_EQ(first, std::max<int64_t>(0, b - 8));
    EXPECT_EQ(last, b);
    for (int64_t t = first - 1; t <= last + 1; ++t) {
      if (t < 0 || t >= length / 128) continue;
      environment[Var::KeyLo] = t * 128;
      environment[Var::KeyHi] = t * 128 + 127;
      EXPECT_EQ(may.run(environment).integer != 0, first <= t && t <= last);
      full += must.run(environment).integer;
      visited += may.run(environment).integer;
    }
  }
  EXPECT_EQ(visited, 8192 * 9 - 36);
  // All but the diagonal tile and the one that the window's far edge crosses.
  EXPECT_EQ(full, 8192 * 7 - 28);
}

TEST(KeyRanges, Values) {
  auto at = [](auto make, int64_t q_lo, int64_t q_hi) {
    return ranges_at(analyse_tiles(mask_of(make)), block(q_lo, q_hi, 1000));
  };
  EXPECT_EQ(at([](Names n) { return n.k <= n.q; }, 64, 127), (Ranges{{0, 127}}));
  EXPECT_EQ(at([](Names n) { return (n.k <= n.q) & ((n.k < 4) | (n.q - n.k < 32)); }, 64, 127),
            (Ranges{{0, 3}, {33, 127}}));
  EXPECT_EQ(at([](Names n) { return n.q / 16 == n.k / 16; }, 40, 50), (Ranges{{32, 63}}));
  EXPECT_EQ(at([](Names n) { return 3 * n.k <= 2 * n.q; }, 10, 20), (Ranges{{0, 13}}));
  EXPECT_EQ(at([](Names n) { return 3 * n.k >= 2 * n.q; }, 10, 20), (Ranges{{7, 999}}));
  EXPECT_EQ(at([](Names n) { return -3 * n.k + 100 <= n.q; }, 10, 20), (Ranges{{27, 999}}));
  EXPECT_EQ(at([](Names n) { return abs(n.q - n.k) < 3; }, 10, 20), (Ranges{{8, 22}}));
  EXPECT_EQ(at([](Names n) { return abs(n.q / 10 - n.k / 10) <= 1; }, 40, 49), (Ranges{{30, 59}}));
  EXPECT_EQ(at([](Names n) { return (n.k >> 3 >> 1) == n.q; }, 2, 3), (Ranges{{32, 63}}));
  EXPECT_EQ(at([](Names n) { return (n.k & -16) == n.q; }, 20, 50), (Ranges{{32, 63}}));
  EXPECT_EQ(at([](Names n) { return (n.k <= n.q) & (n.q < 30); }, 64, 127), (Ranges{{0, -1}}));
  EXPECT_EQ(at([](Names n) { return (n.k <= n.q) & (n.q < 100); }, 64, 127), (Ranges{{0, 99}}));
  EXPECT_EQ(at([](Names n) { return n.k - n.k % 8 <= n.q - n.q % 8; }, 64, 69), (Ranges{{0, 71}}));
  EXPECT_EQ(at([](Names n) { return max(n.k, n.q) <= 9; }, 0, 127), (Ranges{{0, 9}}));
  EXPECT_EQ(at([](Names n) { return min(n.k, n.q) >= 9; }, 0, 127), (Ranges{{9, 999}}));
  EXPECT_EQ(at([](Names n) { return n.k != n.q; }, 5, 9), (Ranges{{0, 999}}));
  EXPECT_EQ(at([](Names n) { return select(n.k < 10, n.q < 3, n.k < 20); }, 5, 9),
            (Ranges{{0, -1}, {10, 19}}));
}

// More disjoint windows than ranges: they are joined, and nothing is lost.
TEST(KeyRanges, AtMostEight) {
  const auto mask = mask_of([](Names n) {
    Expr any = n.k < 0;
    for (int i = 0; i < 12; ++i) any = any | ((n.k >= 100 * i) & (n.k < 100 * i + 10));
    return any;
  });
  const auto tiles = analyse_tiles(mask);
  ASSERT_EQ(tiles.range_count, analysis::kMaxRanges);
  const Ranges ranges = ranges_at(tiles, block(0, 63, 2000));
  int64_t covered = 0;
  for (auto [lo, hi] : ranges) covered += hi - lo + 1;
  EXPECT_EQ(covered, 8 * 10 + 4 * 100);
  for (int64_t i = 0; i < 12; ++i) {
    EXPECT_TRUE(std::any_of(ranges.begin(), ranges.end(),
                            [&](auto r) { return r.first <= 100 * i && 100 * i + 9 <= r.second; }));
  }
}

TEST(KeyRanges, ClosedForm) {
  auto closed = [](auto make) { return analyse_tiles(mask_of(make)).closed_form; };
  EXPECT_TRUE(closed([](Names n) { return n.k <= n.q; }));
  EXPECT_TRUE(closed([](Names n) { return n.k < 0; }));
  EXPECT_FALSE(closed([](Names n) { return n.k >= 0; }));
  EXPECT_FALSE(closed([](Names n) { return (n.q - n.k) % 4 == 0; }));
  const auto global =
      analyse_tiles(mask_of([](Names n) { return (abs(n.q - n.k) < 4) | (n.k % 9 == 0); }));
  EXPECT_FALSE(global.closed_form);
  EXPECT_EQ(global.range_count, 1);
  EXPECT_FALSE(closed([](Names n) { return (n.k <= n.q) | (n.k % 2 == 0); }));
}

TEST(Explain, Ranges) {
  EXPECT_EQ(explain_ranges(mask_of([](Names n) {
              return (n.k <= n.q) & ((n.q - n.k < 1024) | (n.k < 4)) & ((n.q - n.k) % 4 == 0);
            })),
            "for queries q_lo to q_hi, visit\n"
            "  keys from max(0, q_lo - 1023) to q_hi\n"
            "  keys from 0 to min(q_hi, 3)\n"
            "`(q - k) % 4 == 0` does not bound k\n");
  EXPECT_EQ(explain_ranges(mask_of([](Names n) { return n.k % 2 == 0; })),
            "every key is visited: the mask does not bound k\n"
            "`k % 2 == 0` does not bound k\n");
  EXPECT_EQ(explain_ranges(mask_of([](Names n) { return n.k < -3; })), "no key is ever active\n");
  EXPECT_EQ(explain_ranges(mask_of([](Names n) { return (n.k <= n.q) & (n.head == 2); })),
            "for queries q_lo to q_hi, visit\n"
            "  keys from 0 to q_hi if head == 2\n");
}

TEST(Infix, Precedence) {
  Builder b;
  Names n(b);
  auto text = [](const Expr& e) { return analysis::to_infix(e.builder->function, e.value); };
  EXPECT_EQ(text((n.q - n.k) % 4), "(q - k) % 4");
  EXPECT_EQ(text(n.q - (n.k - 3)), "q - (k - 3)");
  EXPECT_EQ(text(n.q + (n.k * 3)), "q + k * 3");
  EXPECT_EQ(text((n.q + n.k) * 3), "(q + k) * 3");
  EXPECT_EQ(text(-5 + n.q), "q - 5");
  EXPECT_EQ(text((n.k <= n.q) & ((n.k < 3) | (n.q < 4))), "k <= q & (k < 3 | q < 4)");
  EXPECT_EQ(text(!(n.k <= n.q)), "!(k <= q)");
  EXPECT_EQ(text(-(n.k + 1)), "-(k + 1)");
  EXPECT_EQ(text(select(n.k < 3, n.q, n.k)), "k < 3 ? q : k");
  EXPECT_EQ(text((n.k << 2) + 1), "(k << 2) + 1");
  EXPECT_EQ(text(n.load("doc", ir::Element::I32, gallery::kBatchKeys, {n.batch, n.k + 1})),
            "doc[batch, k + 1]");
  Expr deep = n.q;
  for (int i = 0; i < 200; ++i) deep = deep * deep + i;
  EXPECT_LT(text(deep).size(), 500u);
}

}  // namespace
}  // namespace maskjit
