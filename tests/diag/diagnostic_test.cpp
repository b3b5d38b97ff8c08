#include "masker_dsl/diag/diagnostic.h"

#include <gtest/gtest.h>

#include <set>

#include "masker_dsl/diag/text.h"

namespace maskjit::diag {
namespace {

using source::SourceFile;
using source::SourceRange;

TEST(Kinds, NamesAreUniqueAndReadBack) {
  std::set<std::string_view> names;
  for (const KindInfo& kind : kKinds) {
    EXPECT_TRUE(names.insert(kind.name).second) << kind.name;
    EXPECT_EQ(parse_kind(kind.name), kind.kind);
    EXPECT_EQ(name_of(kind.kind), kind.name);
  }
  EXPECT_EQ(parse_kind("no-such-kind"), std::nullopt);
}

TEST(Render, ShowsPlaceLineCaretNotesAndHint) {
  const SourceFile file("a.masker", "first\nmasker a() = kk <= q\n");
  DiagnosticEmitter emitter;
  emitter.error(Kind::UnknownName, {&file, 19, 21}, "nothing is called 'kk' here")
      .note({&file, 13, 14}, "in this masker")
      .with_hint("did you mean 'k'?");
  EXPECT_EQ(render_all(emitter),
            "a.masker:2:14: error: nothing is called 'kk' here [unknown-name]\n"
            " 2 | masker a() = kk <= q\n"
            "   |              ^~\n"
            "a.masker:2:8: note: in this masker\n"
            " 2 | masker a() = kk <= q\n"
            "   |        ^\n"
            "hint: did you mean 'k'?\n");
}

TEST(Render, WithoutPlace) {
  DiagnosticEmitter emitter;
  emitter.warning(Kind::InvalidValue, {}, "odd");
  EXPECT_FALSE(emitter.has_errors());
  EXPECT_EQ(render_all(emitter), "warning: odd [invalid-value]\n");
}

TEST(Render, ColoursOnlyWhenAsked) {
  DiagnosticEmitter emitter;
  emitter.error(Kind::InvalidValue, {}, "odd");
  EXPECT_NE(render_all(emitter, {.color = true}).find("\x1b[1;31m"), std::string::npos);
  EXPECT_EQ(render_all(emitter).find('\x1b'), std::string::npos);
}

// The caret line of a range is as wide as the text above it, whatever bytes that has.
TEST(Render, HandlesTabsControlCharactersAndMalformedText) {
  const SourceFile file("a.masker", "a\tb\x1b[31mc\xFF\xC3\xB6 d\x7F");
  DiagnosticEmitter emitter;
  emitter.error(Kind::InvalidCharacter, {&file, 2, 3}, "bad \x1b[31m message");
  EXPECT_EQ(render_all(emitter),
            "a.masker:1:3: error: bad \xEF\xBF\xBD[31m message [invalid-character]\n"
            " 1 | a   b\xEF\xBF\xBD[31mc\xEF\xBF\xBD\xC3\xB6 d\xEF\xBF\xBD\n"
            "   |     ^\n");
}

TEST(Render, CutsLongLinesAroundTheCaret) {
  const SourceFile file("a.masker", std::string(5000, 'x') + "HERE" + std::string(100000, 'y'));
  DiagnosticEmitter emitter;
  emitter.error(Kind::UnknownName, {&file, 5000, 5004}, "m");
  const std::string text = render_all(emitter);
  EXPECT_LT(text.size(), 400u);
  EXPECT_NE(text.find("xHEREy"), std::string::npos);
  const size_t line = text.find(" | "), carets = text.find(" | ", line + 1);
  EXPECT_EQ(text.find("HERE") - line, text.find("^~~~") - carets);
}

// A range over several lines is marked to the end of its first line; one at the end of the file has
// a caret.
TEST(Render, ClampsRanges) {
  const SourceFile file("a.masker", "ab\ncd");
  const auto render_range = [&](uint32_t begin, uint32_t end) {
    DiagnosticEmitter emitter;
    emitter.error(Kind::UnclosedBracket, {&file, begin, end}, "m");
    return render_all(emitter);
  };
  EXPECT_NE(render_range(1, 5).find(" 1 | ab\n   |  ^\n"), std::string::npos);
  EXPECT_NE(render_range(5, 5).find(" 2 | cd\n   |   ^\n"), std::string::npos);
  EXPECT_NE(render_range(2, 2).find(" 1 | ab\n   |   ^\n"), std::string::npos);
}

TEST(Render, EveryRangeOfAnyBytes) {
  std::string bytes;
  for (int i = 0; i < 256; ++i) bytes += static_cast<char>(i);
  const SourceFile file("a.masker", bytes);
  for (uint32_t begin = 0; begin <= 256; ++begin) {
    for (const uint32_t length : {0u, 1u, 3u}) {
      DiagnosticEmitter emitter;
      emitter.error(Kind::UnknownName, {&file, begin, std::min(begin + length, 256u)}, "m");
      EXPECT_NE(render_all(emitter).find('^'), std::string::npos) << begin;
    }
  }
}

TEST(Emitter, CountsEverythingButKeepsALimit) {
  DiagnosticEmitter emitter;
  for (int i = 0; i < 1000; ++i) emitter.error(Kind::UnknownName, {}, "m").with_hint("h");
  EXPECT_EQ(emitter.error_count(), 1000);
  EXPECT_EQ(emitter.diagnostics().size(), static_cast<size_t>(DiagnosticEmitter::kMaxErrors));
  EXPECT_NE(render_all(emitter).find("950 more errors are not shown"), std::string::npos);
}

TEST(ClosestName, FindsTyposAndAbbreviations) {
  const std::vector<std::string> names = {"causal",         "local", "sink", "window",
                                          "block_diagonal", "q",     "k"};
  EXPECT_EQ(closest_name("casual", names), "causal");
  EXPECT_EQ(closest_name("locl", names), "local");
  EXPECT_EQ(closest_name("widnow", names), "window");
  EXPECT_EQ(closest_name("block", names), "block_diagonal");
  EXPECT_EQ(closest_name("frobnicate", names), "");
  EXPECT_EQ(closest_name("z", names), "");
  EXPECT_EQ(closest_name("", names), "");
  EXPECT_EQ(closest_name(std::string(10000, 'a'), names), "");
}

TEST(Text, QuotedIsShortAndPrintable) {
  EXPECT_EQ(diag::quoted("abc"), "'abc'");
  EXPECT_EQ(diag::quoted("a\nb\x80"),
            "'a\xEF\xBF\xBD"
            "b\xEF\xBF\xBD'");
  EXPECT_LT(diag::quoted(std::string(5000, 'x')).size(), 80u);
  EXPECT_EQ(printable("\xE2\x80\xAE"
                      "abc"),
            "\xEF\xBF\xBD"
            "abc")
      << "direction marks are not printed";
}

}  // namespace
}  // namespace maskjit::diag
