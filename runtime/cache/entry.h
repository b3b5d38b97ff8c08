#pragma once
// CodeArtifact <-> the bytes of one cache file.
//
//   offset  size  little endian
//        0     8  magic "MJKERNEL"
//        8     4  format version
//       12     4  bytes of metadata
//       16     8  bytes of the code: the object, and a cubin if there is one
//       24    16  XXH3-128 of everything but this field
//       40    32  key
//       72     .  metadata: build id, target, template, spec (each a u32 length and bytes), a u32
//                 number of stage times, each a name and a double, a u32 number of resource usages,
//                 each a name and five i32, the bytes of the cubin as u64
//        .     .  object, cubin
//
// The file ends where the code ends. parse() reads nothing outside of `bytes` whatever they are.
#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "codegen/compile.h"

namespace maskjit::cache {

inline constexpr uint32_t kFormatVersion = 2;

struct Entry {
  codegen::SpecKey key;
  std::string build_id;
  codegen::CodeArtifact artifact;
};

struct BadEntry {
  std::string reason;
};

std::string print(const Entry& entry);
std::variant<Entry, BadEntry> parse(std::string_view bytes);

// Gives `bytes`, at least a header long, the checksum of what they hold.
void seal(std::string& bytes);

// Why an intact entry is not the one that is wanted, if it is not.
std::optional<BadEntry> mismatch(const Entry& entry, const codegen::SpecKey& key,
                                 std::string_view build_id);

std::string hex_of(const codegen::SpecKey& key);
std::optional<codegen::SpecKey> key_of_hex(std::string_view hex);

}  // namespace maskjit::cache
