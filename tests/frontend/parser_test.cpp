#include <gtest/gtest.h>

#include "masker_dsl/driver/driver.h"

namespace maskjit {
namespace {

// The expression of `masker m() = TEXT` as an S-expression.
std::string tree(const std::string& text) {
  const std::string dump = driver::emit_ast("masker m() = " + text);
  const std::string prefix = "(masker m\n  (= ", suffix = "))\n";
  EXPECT_EQ(dump.substr(0, prefix.size()), prefix) << dump;
  return dump.substr(prefix.size(), dump.size() - prefix.size() - suffix.size());
}

TEST(Parser, Precedence) {
  EXPECT_EQ(tree("a | b & c"), "(| a (& b c))");
  EXPECT_EQ(tree("a | b ^ c & d"), "(| a (^ b (& c d)))");
  EXPECT_EQ(tree("causal() & k < 5 | q == k"), "(| (& (causal) (< k 5)) (== q k))");
  EXPECT_EQ(tree("q & 1 == 0"), "(& q (== 1 0))");
  EXPECT_EQ(tree("a < b << 1 + 2 * 3"), "(< a (<< b (+ 1 (* 2 3))))");
  EXPECT_EQ(tree("a - b - c"), "(- (- a b) c)");
  EXPECT_EQ(tree("a // b % c * d / e"), "(/ (* (% (// a b) c) d) e)");
  EXPECT_EQ(tree("!a & -b < ~c"), "(& (! a) (< (- b) (~ c)))");
  EXPECT_EQ(tree("- - a"), "(- (- a))");
  EXPECT_EQ(tree("(a | b) & c"), "(& (| a b) c)");
}

TEST(Parser, ConditionalAndThen) {
  EXPECT_EQ(tree("a ? b : c ? d : e"), "(? a b (? c d e))");
  EXPECT_EQ(tree("a ? b ? c : d : e"), "(? a (? b c d) e)");
  EXPECT_EQ(tree("a | b ? c : d"), "(? (| a b) c d)");
  EXPECT_EQ(tree("a then b | c then d"), "(then (then a (| b c)) d)");
  EXPECT_EQ(tree("a & (b then c)"), "(& a (then b c))");
}

TEST(Parser, CallsAndSubscripts) {
  EXPECT_EQ(tree("f(1, x = 10%, y = g(),)"), "(f 1 x= (share 0.1) y= (g))");
  EXPECT_EQ(tree("t[a + 1, k]"), "([] t (+ a 1) k)");
  EXPECT_EQ(tree("0x10 == 1_0 & 0.5 < 1e3"), "(& (== 16 10) (< 0.5 1000.0))");
}

TEST(Parser, Declarations) {
  EXPECT_EQ(
      driver::emit_ast(
          "import \"a.masker\"\n"
          "score f(s, runtime x: float = 1, t: tensor<i32>[batch, 3]) { let y = s return y }\n"
          "attention main { mask a() score f(s) dropout 0.1 renormalise }"),
      "(import \"a.masker\")\n"
      "(score f\n  (runtime param x float = 1)\n  (param t tensor i32 batch 3)\n  (let y s)\n  "
      "(return y))\n"
      "(attention main\n  (mask (a))\n  (score (f s))\n  (dropout 0.1 renormalise))\n");
  EXPECT_EQ(driver::emit_ast(""), "");
}

TEST(Parser, TokensCanBeShown) {
  EXPECT_EQ(
      driver::emit_tokens("masker a() =\n  k # c"),
      "1:1 Masker masker\n1:8 Identifier a\n1:9 LeftParen (\n1:10 RightParen )\n1:12 Assign =\n"
      "2:3 Identifier k\n2:5 Comment # c\n2:8 End \n");
}

// Depth is limited by a diagnostic, length is not limited by the parser at all.
TEST(Parser, SurvivesDeepAndLongInput) {
  const auto repeated = [](const std::string& piece, int count) {
    std::string text;
    for (int i = 0; i < count; ++i) text += piece;
    return text;
  };
  for (const std::string piece :
       {"(", "-", "!", "f(", "t[", "a ? ", "a ? b : ", "{", "score f(", "f(x = (", "~("}) {
    driver::emit_ast("masker m() = " + repeated(piece, 30000));
    driver::check("deep.masker", "masker m() = " + repeated(piece, 30000));
  }
  for (const std::string op : {" + ", " | ", " then ", " // ", " - "}) {
    const std::string text = "masker m() = k < 0" + repeated(op + "k", 30000);
    EXPECT_GT(driver::emit_ast(text).size(), 60000u);
    EXPECT_TRUE(driver::check("long.masker", text).diagnostics.has_errors());
    const auto formatted = driver::format("long.masker", text);
    EXPECT_TRUE(formatted.text) << op;
  }
}

}  // namespace
}  // namespace maskjit
