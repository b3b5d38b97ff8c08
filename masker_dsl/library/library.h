#pragma once
// The text of the standard library, which is written in the language itself (the .masker files of
// this folder, embedded at build time) and in scope everywhere. The comment line above a
// declaration documents it.
#include <span>
#include <string_view>

namespace maskjit::library {

struct LibraryFile {
  std::string_view name;  // shown in diagnostics
  std::string_view text;
};

std::span<const LibraryFile> files();

}  // namespace maskjit::library
