#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "masker_dsl/driver/driver.h"

namespace maskjit {
namespace {

namespace fs = std::filesystem;

std::string format(const std::string& text) {
  const driver::FormattedSource formatted = driver::format("test.masker", text);
  EXPECT_TRUE(formatted.text) << diag::render_all(formatted.diagnostics);
  return formatted.text.value_or("");
}

TEST(Formatter, CanonicalLayout) {
  EXPECT_EQ(format("masker  f ( a:int=4,runtime b : float,c:tensor < i32 > [ "
                   "batch,kv_len,],)=a<b&k<=q | x( y=3,z=q//4 , )#t\n"),
            "masker f(a: int = 4, runtime b: float, c: tensor<i32>[batch, kv_len]) =\n"
            "    a < b & k <= q | x(y = 3, z = q // 4)  #t\n");
  EXPECT_EQ(format("import   \"a.masker\"\n\n\n\nmasker m(){let a=-1 let b=!(k<a)\n\n\n return b}"),
            "import \"a.masker\"\n\n"
            "masker m() {\n    let a = -1\n    let b = !(k < a)\n\n    return b\n}\n");
  EXPECT_EQ(format("attention a{mask causal() dropout 0.1 renormalise score q>k?s:0}"),
            "attention a {\n    mask    causal()\n    dropout 0.1 renormalise\n    score   q > k ? "
            "s : 0\n}\n");
  EXPECT_EQ(format("masker r()=q%10 %n==10 %3&local(10%)&local((10% ))"),
            "masker r() = q % 10 % n == 10 % 3 & local(10%) & local((10%))\n");
  EXPECT_EQ(format(""), "");
  EXPECT_EQ(format("\n\n# only a comment   \n\n\n# and another"),
            "# only a comment\n\n# and another\n");
}

TEST(Formatter, BreaksLongLinesAfterOperators) {
  const std::string a(40, 'a'), b(40, 'b'), c(40, 'c');
  EXPECT_EQ(format("masker m() = " + a + "() & " + b + "() | " + c + "() == q"),
            "masker m() =\n    " + a + "() & " + b + "() |\n    " + c + "() == q\n");
  EXPECT_EQ(format("masker m(" + a + ": int, " + b + ": int, " + c + ": int) = true"),
            "masker m(\n    " + a + ": int,\n    " + b + ": int,\n    " + c + ": int\n) = true\n");
  std::istringstream lines(format("masker m() = " + a + "(" + b + " // " + c + " // " + a + " // " +
                                  b + ", " + a + "[" + b + ", " + c + "])"));
  for (std::string line; std::getline(lines, line);) {
    EXPECT_LE(line.size(), 100u);
    EXPECT_NE(line.find_first_not_of(' '), line.find("//")) << "would become a comment";
  }
}

TEST(Formatter, KeepsEveryComment) {
  const std::string text =
      "# 1\nmasker f( # 2\n a: int, # 3\n // 4\n b: int # 5\n) = # 6\n a < # 7\n ( # 8\n b # 9\n # "
      "10\n ) # 11\n"
      "score g(s) { # 12\n let x = s # 13\n # 14\n return x # 15\n # 16\n} # 17\n"
      "attention h { # 18\n mask f(1, # 19\n 2) # 20\n # 21\n} # 22\n# 23\n";
  const std::string once = format(text);
  for (int i = 1; i <= 23; ++i) {
    const std::string comment = (i == 4 ? "// " : "# ") + std::to_string(i) + "\n";
    EXPECT_NE(once.find(comment), std::string::npos) << comment << once;
  }
  EXPECT_EQ(format(once), once);
}

TEST(Formatter, RefusesWhatItCannotParse) {
  const driver::FormattedSource formatted = driver::format("test.masker", "masker a( = k");
  EXPECT_FALSE(formatted.text);
  EXPECT_TRUE(formatted.diagnostics.has_errors());
}

// Formatting changes neither tokens nor tree and is idempotent, for every masker file of the
// repository.
TEST(Formatter, IdempotentOnEveryFile) {
  int formatted_files = 0;
  for (const char* folder : {"masker_dsl", "tests", "examples", "docs"}) {
    for (const auto& entry :
         fs::recursive_directory_iterator(fs::path(MASKJIT_SOURCE_DIR) / folder)) {
      if (entry.path().extension() != ".masker") continue;
      std::ifstream stream(entry.path(), std::ios::binary);
      std::ostringstream text;
      text << stream.rdbuf();
      const driver::FormattedSource once = driver::format(entry.path().string(), text.str());
      if (!once.text) continue;
      ++formatted_files;
      EXPECT_EQ(driver::emit_ast(text.str()), driver::emit_ast(*once.text)) << entry.path();
      EXPECT_EQ(format(*once.text), *once.text) << entry.path();
    }
  }
  EXPECT_GE(formatted_files, 30);
}

// The library is written in the canonical layout.
TEST(Formatter, LibraryIsFormatted) {
  for (const auto& entry :
       fs::directory_iterator(fs::path(MASKJIT_SOURCE_DIR) / "masker_dsl/library")) {
    if (entry.path().extension() != ".masker") continue;
    std::ifstream stream(entry.path(), std::ios::binary);
    std::ostringstream text;
    text << stream.rdbuf();
    EXPECT_EQ(format(text.str()), text.str()) << entry.path();
  }
}

}  // namespace
}  // namespace maskjit
