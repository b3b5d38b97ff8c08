#include "runtime/cache/kernel_pack.h"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <filesystem>

#include "runtime/cache/file_io.h"

namespace maskjit::cache {
namespace {

constexpr std::string_view kTitle = "maskjit-pack";
constexpr int kPackFormat = 1;

std::string manifest_of(const std::string& directory) { return directory + "/manifest.txt"; }

// The next of the fields that `separator` separates; they are taken from `text`.
std::string_view take(std::string_view& text, char separator) {
  const size_t end = std::min(text.find(separator), text.size());
  const std::string_view field = text.substr(0, end);
  text.remove_prefix(std::min(end + 1, text.size()));
  return field;
}

// A field holds no separator.
std::string field(std::string_view text) {
  std::string result(text);
  std::replace_if(result.begin(), result.end(), [](char c) { return c == '\t' || c == '\n'; }, ' ');
  return result;
}

template <typename T>
bool parse_number(std::string_view text, T& number) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc() && end == text.data() + text.size();
}

// Packs are for others to read. That they cannot be made so on some file system is no failure.
constexpr auto kReadable = std::filesystem::perms::owner_read |
                           std::filesystem::perms::owner_write |
                           std::filesystem::perms::group_read | std::filesystem::perms::others_read;

void allow(const std::string& path, std::filesystem::perms permissions) {
  std::error_code ignored;
  std::filesystem::permissions(path, permissions, ignored);
}

struct Manifest {
  std::string build_id, llvm;
  std::vector<PackedKernel> kernels;
};

bool by_key(const PackedKernel& a, const PackedKernel& b) { return a.key < b.key; }

// Its message says what is wrong with the manifest.
Result<Manifest> parse_manifest(std::string_view text) {
  const auto bad = [](std::string message) {
    return Error{ErrorKind::InvalidInput, std::move(message)};
  };
  std::string_view title = take(text, '\n');
  if (take(title, ' ') != kTitle) return bad("is no manifest of packed kernels");
  int format = 0;
  if (!parse_number(title, format) || format != kPackFormat)
    return bad(fmt::format("has format {}, not {}", title, kPackFormat));
  Manifest manifest;
  for (int number = 2; !text.empty(); ++number) {
    std::string_view line = take(text, '\n');
    const std::string_view what = take(line, '\t');
    if (what == "build") {
      manifest.build_id = line;
    } else if (what == "llvm") {
      manifest.llvm = line;
    } else if (what == "kernel") {
      PackedKernel kernel;
      const auto key = key_of_hex(take(line, '\t'));
      kernel.target = take(line, '\t');
      kernel.template_name = take(line, '\t');
      const bool counted = parse_number(take(line, '\t'), kernel.bytes);
      kernel.name = take(line, '\t');
      kernel.spec = line;
      if (!key || !counted || kernel.spec.empty())
        return bad(fmt::format("is malformed in line {}", number));
      kernel.key = *key;
      manifest.kernels.push_back(std::move(kernel));
    } else {
      return bad(fmt::format("is malformed in line {}", number));
    }
  }
  if (manifest.build_id.empty()) return bad("names no build");
  std::sort(manifest.kernels.begin(), manifest.kernels.end(), by_key);
  return manifest;
}

std::string print_manifest(const Manifest& manifest) {
  std::string text = fmt::format("{} {}\nbuild\t{}\nllvm\t{}\n", kTitle, kPackFormat,
                                 manifest.build_id, manifest.llvm);
  for (const PackedKernel& k : manifest.kernels) {
    text += fmt::format("kernel\t{}\t{}\t{}\t{}\t{}\t{}\n", hex_of(k.key), field(k.target),
                        field(k.template_name), k.bytes, field(k.name), field(k.spec));
  }
  return text;
}

}  // namespace

Result<KernelPack> KernelPack::open(const std::string& directory, std::string_view build_id) {
  const std::string path = manifest_of(directory);
  const auto contents = read_whole(path);
  if (const auto* error = std::get_if<FileError>(&contents)) {
    return Error{ErrorKind::Io,
                 error->code == ENOENT
                     ? fmt::format("{} has no packed kernels: there is no {}", directory, path)
                     : fmt::format("packed kernels: {} {}", path, error->reason)};
  }
  Result<Manifest> manifest = parse_manifest(std::get<FileContents>(contents).bytes);
  if (!manifest) {
    return Error{ErrorKind::InvalidInput,
                 fmt::format("packed kernels: {} {}", path, manifest.error().message)};
  }
  if (manifest->build_id != build_id) {
    return Error{ErrorKind::Unsupported,
                 fmt::format("the packed kernels in {} were made by maskjit build {} (LLVM {}); "
                             "this is build {}: pack them again with this one",
                             directory, manifest->build_id, manifest->llvm, build_id)};
  }
  KernelPack pack;
  pack.directory_ = directory;
  pack.build_id_ = build_id;
  pack.kernels_ = std::move(manifest->kernels);
  return pack;
}

bool KernelPack::contains(const codegen::SpecKey& key) const {
  const auto at = std::lower_bound(
      kernels_.begin(), kernels_.end(), key,
      [](const PackedKernel& k, const codegen::SpecKey& wanted) { return k.key < wanted; });
  return at != kernels_.end() && at->key == key;
}

std::string KernelPack::path_of(const codegen::SpecKey& key) const {
  return fmt::format("{}/{}.mjk", directory_, hex_of(key));
}

std::variant<codegen::CodeArtifact, BadEntry> KernelPack::read(const codegen::SpecKey& key) const {
  const auto contents = read_whole(path_of(key));
  if (const auto* error = std::get_if<FileError>(&contents)) return BadEntry{error->reason};
  auto parsed = parse(std::get<FileContents>(contents).bytes);
  if (auto* bad = std::get_if<BadEntry>(&parsed)) return std::move(*bad);
  auto& entry = std::get<Entry>(parsed);
  if (auto bad = mismatch(entry, key, build_id_)) return std::move(*bad);
  return std::move(entry.artifact);
}

Result<KernelPack> write_pack(const std::string& directory,
                              const std::vector<KernelToPack>& kernels, const std::string& build_id,
                              std::string_view llvm_version) {
  Manifest manifest;
  manifest.build_id = build_id;
  manifest.llvm = llvm_version;
  const auto existing = read_whole(manifest_of(directory));
  if (std::holds_alternative<FileContents>(existing)) {
    Result<KernelPack> pack = KernelPack::open(directory, build_id);
    if (!pack) return pack.error();
    manifest.kernels = pack->kernels();
  }
  const auto write = [](const std::string& path, std::string_view bytes) -> Status {
    const auto written = write_atomically(path, bytes);
    if (const auto* error = std::get_if<FileError>(&written))
      return Error{ErrorKind::Io, fmt::format("{} {}", path, error->reason)};
    allow(path, kReadable);
    return Done{};
  };
  for (const KernelToPack& kernel : kernels) {
    const std::string bytes = print({kernel.key, build_id, kernel.artifact});
    const Status done = write(fmt::format("{}/{}.mjk", directory, hex_of(kernel.key)), bytes);
    if (!done) return done.error();
    std::erase_if(manifest.kernels, [&](const PackedKernel& k) { return k.key == kernel.key; });
    manifest.kernels.push_back({kernel.key, kernel.artifact.target, kernel.artifact.template_name,
                                bytes.size(), kernel.name, kernel.artifact.spec});
  }
  std::sort(manifest.kernels.begin(), manifest.kernels.end(), by_key);
  const Status done = write(manifest_of(directory), print_manifest(manifest));
  if (!done) return done.error();
  allow(directory, kReadable | std::filesystem::perms::owner_exec |
                       std::filesystem::perms::group_exec | std::filesystem::perms::others_exec);
  return KernelPack::open(directory, build_id);
}

}  // namespace maskjit::cache
