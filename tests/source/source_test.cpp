#include "masker_dsl/source/source.h"

#include <gtest/gtest.h>

namespace maskjit::source {
namespace {

TEST(SourceFile, LinesAndColumnsCountCodePoints) {
  const SourceFile file("a.masker", "one\nzw\xC3\xB6lf x\r\n\nend");
  EXPECT_EQ(file.line_count(), 4);
  EXPECT_EQ(file.line_text(1), "one");
  EXPECT_EQ(file.line_text(2), "zw\xC3\xB6lf x");
  EXPECT_EQ(file.line_text(3), "");
  EXPECT_EQ(file.line_text(4), "end");
  EXPECT_EQ(file.line_text(0), "");
  EXPECT_EQ(file.line_text(5), "");
  const auto x = file.line_column(static_cast<uint32_t>(file.text().find('x')));
  EXPECT_EQ(x.line, 2);
  EXPECT_EQ(x.column, 7);
  const auto beyond = file.line_column(1000);
  EXPECT_EQ(beyond.line, 4);
  EXPECT_EQ(beyond.column, 4);
}

TEST(SourceFile, EmptyTextHasOneLine) {
  const SourceFile file("a.masker", "");
  EXPECT_EQ(file.line_count(), 1);
  EXPECT_EQ(file.line_column(0).line, 1);
  EXPECT_EQ(file.line_text(1), "");
}

TEST(SourceRange, CoverIsTheSmallestCommonRange) {
  const SourceFile file("a.masker", "abcdef");
  const SourceRange both = cover({&file, 3, 5}, {&file, 1, 4});
  EXPECT_EQ(both.text(), "bcde");
  EXPECT_EQ(cover({}, {&file, 1, 2}).text(), "b");
  EXPECT_EQ(cover({&file, 1, 2}, {}).text(), "b");
  EXPECT_EQ(SourceRange().text(), "");
}

}  // namespace
}  // namespace maskjit::source
