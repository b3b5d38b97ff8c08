#include "masker_dsl/lex/lexer.h"

#include <gtest/gtest.h>

#include <random>

namespace maskjit::lex {
namespace {

struct Lexed {
  explicit Lexed(std::string text)
      : file("test.masker", std::move(text)), buffer(tokenize(file, diagnostics)) {}
  // "q // 2" as names of kinds, without the End.
  std::string kinds() const {
    std::string names;
    for (const Token& token : buffer.tokens) {
      if (token.kind != TokenKind::End)
        names += std::string(names.empty() ? "" : " ") + std::string(name_of(token.kind));
    }
    return names;
  }
  source::SourceFile file;
  diag::DiagnosticEmitter diagnostics;
  TokenBuffer buffer;
};

TEST(Lexer, Numbers) {
  EXPECT_EQ(Lexed("12 1_000 0xFF 0.5 1e-3 10%, 12.5%").kinds(),
            "Integer Integer Integer Float Float Percent Comma Percent");
  EXPECT_EQ(integer_value("1_000_000"), 1000000);
  EXPECT_EQ(integer_value("0x7fff_ffff_ffff_ffff"), INT64_MAX);
  EXPECT_EQ(integer_value("9223372036854775807"), INT64_MAX);
  EXPECT_EQ(integer_value("9223372036854775808"), std::nullopt);
  EXPECT_EQ(integer_value("0xFFFFFFFFFFFFFFFF"), std::nullopt);
  EXPECT_EQ(float_value("1e400"), std::nullopt);
  EXPECT_EQ(float_value("1e-400"), 0.0);
  EXPECT_EQ(float_value("0." + std::string(500, '0') + "1"), 0.0);
  EXPECT_EQ(float_value(std::string(400, '9') + ".0"), std::nullopt);
  EXPECT_EQ(percent_value("10%"), 0.1);
  EXPECT_EQ(percent_value("0.1%"), 0.001);
  EXPECT_EQ(percent_value("29%"), 0.29);
  EXPECT_EQ(percent_value("100%"), 1.0);
}

TEST(Lexer, PercentIsARemainderBeforeAnOperand) {
  EXPECT_EQ(Lexed("10% n").kinds(), "Integer PercentSign Identifier");
  EXPECT_EQ(Lexed("10%3").kinds(), "Integer PercentSign Integer");
  EXPECT_EQ(Lexed("10 % (n)").kinds(), "Integer PercentSign LeftParen Identifier RightParen");
  EXPECT_EQ(Lexed("10%true").kinds(), "Integer PercentSign True");
  EXPECT_EQ(Lexed("(10%)").kinds(), "LeftParen Percent RightParen");
  EXPECT_EQ(Lexed("10% then").kinds(), "Percent Then");
  EXPECT_EQ(Lexed("10%\nn").kinds(), "Percent Identifier");
  EXPECT_EQ(Lexed("10%").kinds(), "Percent");
  EXPECT_EQ(Lexed("0x10%").kinds(), "Integer PercentSign");
}

TEST(Lexer, CommentsAndFloorDivision) {
  const Lexed lexed("// own line\na // b # trailing \n  // own again\nc");
  EXPECT_EQ(lexed.kinds(), "Identifier SlashSlash Identifier Identifier");
  ASSERT_EQ(lexed.buffer.comments.size(), 3u);
  const auto text = [&](size_t i) {
    const Comment& comment = lexed.buffer.comments[i];
    return lexed.file.text().substr(comment.begin, comment.end - comment.begin);
  };
  EXPECT_EQ(text(0), "// own line");
  EXPECT_EQ(text(1), "# trailing");
  EXPECT_EQ(text(2), "// own again");
  EXPECT_TRUE(lexed.buffer.comments[0].own_line);
  EXPECT_FALSE(lexed.buffer.comments[1].own_line);
  EXPECT_EQ(lexed.buffer.comments[2].next_token, 3u);
}

TEST(Lexer, Operators) {
  EXPECT_EQ(Lexed("+-*/ // % & | ^ ! ~ == != < <= > >= << >> ? : = , && || ** ===").kinds(),
            "Plus Minus Star Slash SlashSlash PercentSign Amp Pipe Caret Bang Tilde EqualEqual "
            "BangEqual Less LessEqual "
            "Greater GreaterEqual ShiftLeft ShiftRight Question Colon Assign Comma AmpAmp PipePipe "
            "StarStar TripleEqual");
}

TEST(Lexer, SkipsByteOrderMarkAndReportsARunOnce) {
  EXPECT_EQ(Lexed("\xEF\xBB\xBFq").kinds(), "Identifier");
  const Lexed lexed("q \x01\x02\xFF\xFE q");
  EXPECT_EQ(lexed.kinds(), "Identifier Invalid Identifier");
  EXPECT_EQ(lexed.diagnostics.error_count(), 1);
}

TEST(Lexer, RefusesHugeFiles) {
  const Lexed lexed(std::string(kMaxFileSize + 1, ' '));
  EXPECT_EQ(lexed.buffer.tokens.size(), 1u);
  ASSERT_TRUE(lexed.diagnostics.has_errors());
  EXPECT_EQ(lexed.diagnostics.diagnostics()[0].kind, diag::Kind::ProgramTooLarge);
}

// Tokens and comments cover every byte that is no blank, in order.
TEST(Lexer, LosesNoByteOfRandomText) {
  std::mt19937 random(3);
  for (int round = 0; round < 2000; ++round) {
    std::string text(1 + random() % 60, ' ');
    for (char& c : text)
      c = static_cast<char>(random() % 4 == 0 ? random() % 256
                                              : "aq09%/#.\n\"&=<_x("[random() % 16]);
    const Lexed lexed(text);
    std::vector<bool> covered(text.size(), false);
    uint32_t end = 0;
    for (const Token& token : lexed.buffer.tokens) {
      EXPECT_LE(end, token.begin);
      EXPECT_LE(token.end, text.size());
      end = token.end;
      for (uint32_t i = token.begin; i < token.end; ++i) covered[i] = true;
    }
    for (const Comment& comment : lexed.buffer.comments) {
      for (uint32_t i = comment.begin; i < comment.end; ++i) covered[i] = true;
    }
    if (lexed.diagnostics.has_errors()) continue;  // block comments are reported and skipped
    for (size_t i = 0; i < text.size(); ++i) {
      const bool blank = std::string_view(" \t\r\v\f\n").find(text[i]) != std::string_view::npos;
      EXPECT_TRUE(covered[i] || blank) << testing::PrintToString(text) << " at " << i;
    }
  }
}

}  // namespace
}  // namespace maskjit::lex
