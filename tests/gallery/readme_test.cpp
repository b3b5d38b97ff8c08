// The page of the gallery: its table is what the files say of themselves and what the analysis
// finds. MASKJIT_UPDATE=1 writes it.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "tests/gallery/bound_case.h"

namespace maskjit::gallery {
namespace {

constexpr std::string_view kBegin = "<!-- table -->\n", kEnd = "<!-- end of table -->\n";

// The first line of the comment that opens the file.
std::string meaning_of(const std::string& text) {
  return text.starts_with("# ") ? text.substr(2, text.find('\n') - 2) : "";
}

std::string skipping_of(const Check& check) {
  const BoundCase bound(check.name, check.cases.back());
  if (!bound.ok()) return "";
  const ir::Function& function = bound.program().function;
  if (function[function.result("mask")].op == ir::Op::Const) return "nothing to skip";
  const std::string how = bound.tiles().closed_form ? "ranges" : "tests";
  return bound.tiles().needs_summaries ? how + ", summaries" : how;
}

std::string table() {
  std::string rows = "| mask | 64 x 64 | meaning | tiles skipped by |\n|---|---|---|---|\n";
  for (const Check& check : all_checks()) {
    const std::string meaning = meaning_of(read_file(masks_folder() + check.name + ".masker"));
    EXPECT_FALSE(meaning.empty()) << check.name << " does not begin with a comment";
    EXPECT_TRUE(meaning.ends_with('.')) << meaning;
    rows += fmt::format(
        "| [{0}]({0}.masker) | <img src=\"images/{0}.png\" width=\"130\" alt=\"{0}\"> | {1} | {2} "
        "|\n",
        check.name, meaning, skipping_of(check));
  }
  return rows;
}

TEST(GalleryPage, HasARowForEveryFile) {
  const std::string path = masks_folder() + "README.md";
  const std::string text = read_file(path);
  const size_t begin = text.find(kBegin), end = text.find(kEnd);
  ASSERT_NE(begin, std::string::npos) << path;
  ASSERT_NE(end, std::string::npos) << path;
  const size_t first = begin + kBegin.size();
  const std::string expected = text.substr(0, first) + table() + text.substr(end);
  if (std::getenv("MASKJIT_UPDATE") != nullptr) std::ofstream(path) << expected;
  EXPECT_EQ(read_file(path), expected) << "MASKJIT_UPDATE=1 writes the table";
}

// Drawn by make_images.sh. Small, since every clone has them.
TEST(GalleryPage, HasAPictureForEveryFile) {
  for (const Check& check : all_checks()) {
    const std::string png = read_file(masks_folder() + "images/" + check.name + ".png");
    EXPECT_TRUE(png.starts_with("\x89PNG\r\n\x1a\n")) << check.name;
    EXPECT_LT(png.size(), 4096U) << check.name;
  }
  for (const auto& entry : std::filesystem::directory_iterator(masks_folder() + "images")) {
    const std::string name = entry.path().stem().string();
    EXPECT_TRUE(std::filesystem::exists(masks_folder() + name + ".masker")) << entry.path();
  }
}

}  // namespace
}  // namespace maskjit::gallery
