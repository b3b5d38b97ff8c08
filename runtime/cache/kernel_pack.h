#pragma once
// A directory of kernels that were compiled ahead of time: one file an entry, as in the cache
// directory, and a manifest that says what is there. Nothing writes into it when it is used.
//
//   <directory>/manifest.txt
//   <directory>/<64 hex digits>.mjk
//
// The manifest is text, a line each, fields separated by tabs:
//
//   maskjit-pack 1
//   build    <build id>
//   llvm     <version>
//   kernel   <key>  <target>  <template>  <bytes of the file>  <name>  <KernelSpec::print()>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "runtime/api/result.h"
#include "runtime/cache/entry.h"

namespace maskjit::cache {

struct PackedKernel {
  codegen::SpecKey key;
  std::string target, template_name;
  uint64_t bytes = 0;
  std::string name;  // of the program; for people
  std::string spec;
};

class KernelPack {
 public:
  // The error names the directory: no manifest, a manifest that is none or of another format or
  // build.
  static Result<KernelPack> open(const std::string& directory, std::string_view build_id);

  bool contains(const codegen::SpecKey& key) const;
  std::variant<codegen::CodeArtifact, BadEntry> read(const codegen::SpecKey& key) const;
  std::string path_of(const codegen::SpecKey& key) const;

  const std::string& directory() const { return directory_; }
  const std::string& build_id() const { return build_id_; }
  const std::vector<PackedKernel>& kernels() const { return kernels_; }  // by key

 private:
  std::string directory_, build_id_;
  std::vector<PackedKernel> kernels_;
};

struct KernelToPack {
  codegen::SpecKey key;
  codegen::CodeArtifact artifact;
  std::string name;
};

// Writes the kernels and then the manifest; a pack of the same build that is there already is added
// to, one of another build is an error. Returns all that is there afterwards.
Result<KernelPack> write_pack(const std::string& directory,
                              const std::vector<KernelToPack>& kernels, const std::string& build_id,
                              std::string_view llvm_version);

}  // namespace maskjit::cache
