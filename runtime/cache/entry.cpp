#include "runtime/cache/entry.h"

#include <array>
#include <cstring>

#define XXH_INLINE_ALL
#include <xxhash.h>

namespace maskjit::cache {
namespace {

constexpr std::string_view kMagic = "MJKERNEL";
constexpr size_t kChecksumOffset = 24;
constexpr size_t kKeyOffset = 40;
constexpr size_t kHeaderBytes = 72;

template <typename T>
void append(std::string& out, T value) {
  out.append(reinterpret_cast<const char*>(&value), sizeof(T));
}

void append_text(std::string& out, std::string_view text) {
  append(out, static_cast<uint32_t>(text.size()));
  out.append(text);
}

template <typename T>
T value_at(std::string_view bytes, size_t offset) {
  T value;
  std::memcpy(&value, bytes.data() + offset, sizeof(T));
  return value;
}

XXH128_canonical_t checksum(std::string_view bytes) {
  XXH3_state_t state;
  XXH3_128bits_reset(&state);
  XXH3_128bits_update(&state, bytes.data(), kChecksumOffset);
  XXH3_128bits_update(&state, bytes.data() + kKeyOffset, bytes.size() - kKeyOffset);
  XXH128_canonical_t canonical;
  XXH128_canonicalFromHash(&canonical, XXH3_128bits_digest(&state));
  return canonical;
}

// Takes values from the front of the metadata; after the first that does not fit, ok is false.
struct Reader {
  std::string_view bytes;
  bool ok = true;

  template <typename T>
  T value() {
    if (!ok || bytes.size() < sizeof(T)) {
      ok = false;
      return T{};
    }
    const T result = value_at<T>(bytes, 0);
    bytes.remove_prefix(sizeof(T));
    return result;
  }
  std::string text() {
    const uint32_t length = value<uint32_t>();
    if (!ok || bytes.size() < length) {
      ok = false;
      return {};
    }
    std::string result(bytes.substr(0, length));
    bytes.remove_prefix(length);
    return result;
  }
};

std::array<int*, 5> numbers_of(codegen::ResourceUsage& usage) {
  return {&usage.registers, &usage.stack_bytes, &usage.spill_store_bytes, &usage.spill_load_bytes,
          &usage.shared_bytes};
}

}  // namespace

std::string print(const Entry& entry) {
  std::string metadata;
  append_text(metadata, entry.build_id);
  append_text(metadata, entry.artifact.target);
  append_text(metadata, entry.artifact.template_name);
  append_text(metadata, entry.artifact.spec);
  append(metadata, static_cast<uint32_t>(entry.artifact.times.size()));
  for (const auto& [stage, milliseconds] : entry.artifact.times) {
    append_text(metadata, stage);
    append(metadata, milliseconds);
  }
  append(metadata, static_cast<uint32_t>(entry.artifact.resources.size()));
  for (codegen::ResourceUsage usage : entry.artifact.resources) {
    append_text(metadata, usage.entry);
    for (const int* number : numbers_of(usage)) append(metadata, static_cast<int32_t>(*number));
  }
  append(metadata, static_cast<uint64_t>(entry.artifact.cubin.size()));
  std::string bytes(kMagic);
  append(bytes, kFormatVersion);
  append(bytes, static_cast<uint32_t>(metadata.size()));
  append(bytes, static_cast<uint64_t>(entry.artifact.object.size() + entry.artifact.cubin.size()));
  bytes.append(sizeof(XXH128_canonical_t), '\0');
  bytes.append(reinterpret_cast<const char*>(entry.key.bytes.data()), entry.key.bytes.size());
  bytes += metadata;
  bytes += entry.artifact.object;
  bytes += entry.artifact.cubin;
  seal(bytes);
  return bytes;
}

void seal(std::string& bytes) {
  const XXH128_canonical_t sum = checksum(bytes);
  std::memcpy(bytes.data() + kChecksumOffset, &sum, sizeof(sum));
}

std::variant<Entry, BadEntry> parse(std::string_view bytes) {
  if (bytes.empty()) return BadEntry{"is empty"};
  if (bytes.substr(0, kMagic.size()) != kMagic.substr(0, bytes.size())) {
    return BadEntry{"is not a cache entry"};
  }
  if (bytes.size() < kHeaderBytes) return BadEntry{"is truncated"};
  const auto version = value_at<uint32_t>(bytes, 8);
  if (version != kFormatVersion) {
    return BadEntry{fmt::format("has format version {}, not {}", version, kFormatVersion)};
  }
  const uint64_t metadata_bytes = value_at<uint32_t>(bytes, 12);
  const auto code_bytes = value_at<uint64_t>(bytes, 16);
  const uint64_t rest = bytes.size() - kHeaderBytes;
  if (metadata_bytes > rest || code_bytes > rest - metadata_bytes) {
    return BadEntry{"is truncated"};
  }
  if (code_bytes != rest - metadata_bytes) return BadEntry{"is longer than its header says"};
  const XXH128_canonical_t sum = checksum(bytes);
  if (std::memcmp(&sum, bytes.data() + kChecksumOffset, sizeof(sum)) != 0) {
    return BadEntry{"does not match its checksum"};
  }
  Entry entry;
  std::memcpy(entry.key.bytes.data(), bytes.data() + kKeyOffset, entry.key.bytes.size());
  Reader reader{bytes.substr(kHeaderBytes, metadata_bytes)};
  entry.build_id = reader.text();
  entry.artifact.target = reader.text();
  entry.artifact.template_name = reader.text();
  entry.artifact.spec = reader.text();
  const auto stages = reader.value<uint32_t>();
  for (uint32_t i = 0; i < stages && reader.ok; ++i) {
    std::string stage = reader.text();
    const auto milliseconds = reader.value<double>();
    entry.artifact.times.emplace_back(std::move(stage), milliseconds);
  }
  const auto kernels = reader.value<uint32_t>();
  for (uint32_t i = 0; i < kernels && reader.ok; ++i) {
    codegen::ResourceUsage usage;
    usage.entry = reader.text();
    for (int* number : numbers_of(usage)) *number = reader.value<int32_t>();
    entry.artifact.resources.push_back(std::move(usage));
  }
  const auto cubin_bytes = reader.value<uint64_t>();
  if (!reader.ok || !reader.bytes.empty() || cubin_bytes > code_bytes)
    return BadEntry{"has malformed metadata"};
  const std::string_view code = bytes.substr(kHeaderBytes + metadata_bytes);
  entry.artifact.object = code.substr(0, code_bytes - cubin_bytes);
  entry.artifact.cubin = code.substr(code_bytes - cubin_bytes);
  return entry;
}

std::optional<BadEntry> mismatch(const Entry& entry, const codegen::SpecKey& key,
                                 std::string_view build_id) {
  if (entry.build_id != build_id) {
    return BadEntry{fmt::format("was made by build {}, not {}", entry.build_id, build_id)};
  }
  if (entry.key != key) return BadEntry{fmt::format("has the key {}", hex_of(entry.key))};
  return std::nullopt;
}

std::string hex_of(const codegen::SpecKey& key) {
  std::string hex;
  for (uint8_t byte : key.bytes) {
    hex += "0123456789abcdef"[byte >> 4];
    hex += "0123456789abcdef"[byte & 15];
  }
  return hex;
}

std::optional<codegen::SpecKey> key_of_hex(std::string_view hex) {
  codegen::SpecKey key;
  if (hex.size() != 2 * key.bytes.size()) return std::nullopt;
  for (size_t i = 0; i < hex.size(); ++i) {
    const size_t digit = std::string_view("0123456789abcdef").find(hex[i]);
    if (digit == std::string_view::npos) return std::nullopt;
    key.bytes[i / 2] = static_cast<uint8_t>(key.bytes[i / 2] << 4 | digit);
  }
  return key;
}

}  // namespace maskjit::cache
