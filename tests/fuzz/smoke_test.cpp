// The corpus and random mutations of it through the fuzzer's entry function, with a fixed seed.
// MASKJIT_FUZZ_MUTANTS=FIRST:COUNT runs other and more of them, MASKJIT_FUZZ_CORPUS=FOLDER adds
// seeds.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <random>
#include <sstream>

#include "tests/fuzz/fuzz_entry.h"

namespace maskjit {
namespace {

namespace fs = std::filesystem;

std::vector<std::string> corpus() {
  std::vector<fs::path> paths;
  const fs::path root = MASKJIT_SOURCE_DIR;
  for (const fs::path& folder : {root / "tests/fuzz/corpus", root / "tests/frontend/diagnostics",
                                 root / "masker_dsl/library"}) {
    for (const auto& entry : fs::directory_iterator(folder)) {
      if (entry.is_regular_file() && entry.path().extension() != ".expected")
        paths.push_back(entry.path());
    }
  }
  if (const char* more = std::getenv("MASKJIT_FUZZ_CORPUS")) {
    for (const auto& entry : fs::directory_iterator(more)) paths.push_back(entry.path());
  }
  std::sort(paths.begin(), paths.end());
  std::vector<std::string> texts;
  for (const fs::path& path : paths) {
    std::ifstream stream(path, std::ios::binary);
    std::ostringstream text;
    text << stream.rdbuf();
    texts.push_back(text.str());
  }
  return texts;
}

void run(const std::string& text, bool bind_always = false) {
  SCOPED_TRACE(text);
  fuzz::run(reinterpret_cast<const uint8_t*>(text.data()), text.size(), bind_always);
}

TEST(FuzzSmoke, Corpus) {
  const std::vector<std::string> texts = corpus();
  ASSERT_GE(texts.size(), 50u);
  for (const std::string& text : texts) run(text, true);
}

// Cuts, doubles, swaps and replaces pieces of the corpus; every mutant that crashes can be made
// again from the seed, which is its number.
TEST(FuzzSmoke, Mutations) {
  unsigned first = 0, count = 3000;
  if (const char* range = std::getenv("MASKJIT_FUZZ_MUTANTS")) {
    ASSERT_EQ(std::sscanf(range, "%u:%u", &first, &count), 2) << range;
  }
  static const std::vector<std::string> kPieces = {
      "(",   ")",     "{",     "}",    "[",  "]", ",",  "=", " // ", "%",
      "10%", "then ", "mask ", "q",    "k",  "s", "\n", "#", "\"",   "9223372036854775807",
      "0",   "-",     "!",     "\xFF", "? :"};
  const std::vector<std::string> texts = corpus();
  for (unsigned seed = first; seed < first + count; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937 random(seed);
    const auto below = [&](size_t n) {
      return std::uniform_int_distribution<size_t>(0, n - 1)(random);
    };
    std::string text = texts[below(texts.size())];
    for (size_t i = 0; i <= below(4) && !text.empty(); ++i) {
      const size_t at = below(text.size());
      const size_t length = 1 + below(12);
      switch (below(4)) {
        case 0:
          text.erase(at, length);
          break;
        case 1:
          text.insert(at, kPieces[below(kPieces.size())]);
          break;
        case 2:
          text.insert(at, text.substr(below(text.size()), length));
          break;
        case 3: {
          const std::string& other = texts[below(texts.size())];
          if (!other.empty()) text.insert(at, other.substr(below(other.size()), 4 * length));
          break;
        }
      }
    }
    run(text);
  }
}

}  // namespace
}  // namespace maskjit
