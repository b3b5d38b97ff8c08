// The plan of a sequence, in words.
#include "masker_dsl/analysis/plan.h"

#include <gtest/gtest.h>

#include "masker_dsl/driver/driver.h"

namespace maskjit {
namespace {

std::string plan_of(const std::string& text) {
  const driver::CheckedSource checked = driver::check("test.masker", text);
  if (!checked.program) return diag::render_all(checked.diagnostics);
  diag::DiagnosticEmitter diagnostics;
  const auto bound = driver::bind(*checked.program, {}, diagnostics);
  return bound ? analysis::explain_plan(bound->program) : diag::render_all(diagnostics);
}

TEST(Plan, StaticMasksHaveNone) {
  EXPECT_EQ(plan_of("attention main { mask causal() & (sink(4) then local(8)) }"), "");
}

TEST(Plan, OfASequence) {
  EXPECT_EQ(
      plan_of("attention main(table: tensor<i32>[1, 4], runtime n: int = 64) { mask causal() & "
              "(sink(4) then (k % 7 == 0) then top_k(n) then top_k(10%, by = page_bound(16)) "
              "then top_p(0.5, by = channels(table)) then adaptive(base = 5%, epsilon = 0.25, "
              "delta = 0.25)) }"),
      R"(index    of the keys, kept between calls or made for one
           page_bound(page = 16, bits = 16, min_pages = 3)
           channels(table = table, bits = 16)
scores   exact, of every candidate: 4 bytes a key, of the rows of a block at a time
limit    k <= q -> candidates, 1 bit a key
stage 0  static: k % 7 == 0 | k < 4 -> active keys
stage 1  top_k(n = max(0, n)) by logits: scores -> threshold -> active keys
stage 2  top_k(n = floor(0.1 * kv_len)) by page_bound: index -> scores of pages -> threshold -> active keys
stage 3  top_p(p = 0.5) by channels: index -> scores of candidates -> threshold -> active keys
stage 4  adaptive(base = 0.05, epsilon = 0.25, delta = 0.25): base sample and its scores -> budget -> draws -> active keys, a weight a key
attend   over the active keys, keys and values read where they are
)");
}

TEST(Plan, NoScoresOfAllKeysWhereNoneAreNeeded) {
  EXPECT_EQ(plan_of("attention main { mask sink(4) then magic_pig(8, 4) }"),
            R"(index    of the keys, kept between calls or made for one
           magic_pig(tables = 8, bits = 4, centre = true)
scores   exact, of the keys that need one
limit    true -> candidates, 1 bit a key
stage 0  static: k < 4 -> active keys
stage 1  magic_pig(tables = 8, bits = 4, centre = true): index -> keys that share a code, and their scores -> active keys, a weight a key
attend   over the active keys, keys and values read where they are
)");
}

// What is known only at launch may be anything then.
TEST(Plan, ArgumentsKnownAtLaunchAreKeptInTheirRanges) {
  const std::string plan = plan_of(
      "attention main(runtime n: int, runtime p: float) { mask top_k(n) then top_k(n & 7) then "
      "top_p(p) then random(p) then adaptive(base = p, epsilon = p, delta = 1 - p) }");
  for (const char* stage : {"top_k(n = max(n, 0))", "top_k(n = n & 7)",
                            "top_p(p = max(min(p, 1), 0))", "random(rate = max(min(p, 1), 0))",
                            "adaptive(base = max(min(p, 1), 0), epsilon = max(min("
                            "p, 0.9999999403953552), 5.960464477539063e-08)"}) {
    EXPECT_NE(plan.find(stage), std::string::npos) << stage << "\n" << plan;
  }
}

}  // namespace
}  // namespace maskjit
