#include "runtime/cache/entry.h"

#include "tests/runtime/cache/support.h"

namespace maskjit::cache {
namespace {

using testing::artifact_of;
using testing::key_of;

std::string sample() { return print({key_of(1), "build", artifact_of(key_of(1), 900)}); }

TEST(Entry, PrintsAndParsesBack) {
  const auto parsed = parse(sample());
  ASSERT_TRUE(std::holds_alternative<Entry>(parsed)) << std::get<BadEntry>(parsed).reason;
  const auto& entry = std::get<Entry>(parsed);
  EXPECT_EQ(entry.key, key_of(1));
  EXPECT_EQ(entry.build_id, "build");
  EXPECT_EQ(entry.artifact.object, testing::object_of(key_of(1), 900));
  EXPECT_EQ(entry.artifact.target, "x86-64+avx2");
  EXPECT_EQ(entry.artifact.template_name, "host/attention_forward");
  EXPECT_EQ(entry.artifact.times, (codegen::StageTimes{{"link", 1.5}, {"codegen", 40.25}}));
  EXPECT_FALSE(mismatch(entry, key_of(1), "build"));
  EXPECT_EQ(entry.artifact.cubin, "");
}

TEST(Entry, KeepsWhatADeviceNeeds) {
  codegen::CodeArtifact artifact = artifact_of(key_of(3), 700);
  artifact.spec = "nvptx/attention_forward d=64";
  artifact.cubin = std::string(
      "\x7f"
      "ELF\0cubin",
      10);
  artifact.resources = {{"mj_attention", 128, 16, 8, 4, 512}, {"mj_merge", 32, 0, 0, 0, -1}};
  const auto parsed = parse(print({key_of(3), "build", artifact}));
  ASSERT_TRUE(std::holds_alternative<Entry>(parsed)) << std::get<BadEntry>(parsed).reason;
  const codegen::CodeArtifact& read = std::get<Entry>(parsed).artifact;
  EXPECT_EQ(read.object, artifact.object);
  EXPECT_EQ(read.cubin, artifact.cubin);
  EXPECT_EQ(read.spec, artifact.spec);
  EXPECT_EQ(read.resources, artifact.resources);
}

TEST(Entry, EmptyObjectAndTexts) {
  const auto parsed = parse(print({key_of(2), "", {}}));
  ASSERT_TRUE(std::holds_alternative<Entry>(parsed));
  EXPECT_EQ(std::get<Entry>(parsed).artifact.object, "");
}

TEST(Entry, EveryBitMatters) {
  const std::string good = sample();
  for (size_t i = 0; i < good.size(); ++i) {
    for (int bit = 0; bit < 8; ++bit) {
      std::string bytes = good;
      bytes[i] = static_cast<char>(bytes[i] ^ (1 << bit));
      EXPECT_TRUE(std::holds_alternative<BadEntry>(parse(bytes))) << "byte " << i << " bit " << bit;
    }
  }
}

TEST(Entry, EveryTruncationAndExtensionIsBad) {
  const std::string good = sample();
  for (size_t length = 0; length < good.size(); ++length) {
    // A copy of just that length lets ASan see a read past the end.
    const std::vector<char> cut(good.begin(), good.begin() + static_cast<std::ptrdiff_t>(length));
    EXPECT_TRUE(std::holds_alternative<BadEntry>(parse({cut.data(), cut.size()}))) << length;
  }
  EXPECT_TRUE(std::holds_alternative<BadEntry>(parse(good + '\0')));
  EXPECT_TRUE(std::holds_alternative<BadEntry>(parse(good + good)));
}

TEST(Entry, SaysWhy) {
  const auto reason = [](std::string bytes) { return std::get<BadEntry>(parse(bytes)).reason; };
  std::string bytes = sample();
  EXPECT_EQ(reason(""), "is empty");
  EXPECT_EQ(reason("\177ELF"), "is not a cache entry");
  EXPECT_EQ(reason(bytes.substr(0, 50)), "is truncated");
  EXPECT_EQ(reason(bytes + "x"), "is longer than its header says");
  bytes.back() ^= 1;
  EXPECT_EQ(reason(bytes), "does not match its checksum");
  bytes[8] = 7;
  EXPECT_EQ(reason(bytes), "has format version 7, not 2");
  const Entry entry = std::get<Entry>(parse(sample()));
  EXPECT_EQ(mismatch(entry, key_of(1), "other")->reason, "was made by build build, not other");
  EXPECT_EQ(mismatch(entry, key_of(2), "build")->reason, "has the key " + hex_of(key_of(1)));
}

// A file may be malformed and yet carry a right checksum: the lengths inside are not trusted.
TEST(Entry, MetadataLengthsAreNotTrusted) {
  const std::string good = sample();
  const size_t metadata_end = good.size() - 900;
  int bad = 0;
  for (size_t i = 8; i < metadata_end; ++i) {
    if (i >= 24 && i < 40) continue;  // the checksum itself
    for (int byte : {0x00, 0x01, 0x7F, 0xFF}) {
      std::string bytes = good;
      bytes[i] = static_cast<char>(byte);
      seal(bytes);
      const std::vector<char> exact(bytes.begin(), bytes.end());
      const auto parsed = parse({exact.data(), exact.size()});
      if (std::holds_alternative<BadEntry>(parsed)) {
        ++bad;
        EXPECT_NE(std::get<BadEntry>(parsed).reason, "does not match its checksum");
      }
    }
  }
  EXPECT_GT(bad, 100);
}

TEST(Entry, Hex) {
  const std::string hex = hex_of(key_of(4));
  EXPECT_EQ(hex.size(), 64u);
  EXPECT_EQ(key_of_hex(hex), key_of(4));
  EXPECT_FALSE(key_of_hex(hex.substr(1)));
  EXPECT_FALSE(key_of_hex("G" + hex.substr(1)));
  EXPECT_FALSE(key_of_hex(""));
}

}  // namespace
}  // namespace maskjit::cache
