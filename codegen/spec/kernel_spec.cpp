#include "codegen/spec/kernel_spec.h"

#include <fmt/format.h>
#include <llvm/ADT/StringExtras.h>
#include <llvm/Config/llvm-config.h>
#include <llvm/Support/BLAKE3.h>

#include "codegen/spec/version.h"
#include "kernels_templates/include/embedded.h"
#include "masker_dsl/ir/text.h"

namespace maskjit::codegen {
namespace {

// Raise it when the meaning of a cached artifact changes in a way that no other part of the key
// shows.
constexpr int kFormatVersion = 1;

llvm::StringRef bytes_of(const std::string& s) { return s; }

std::string hash_hex(llvm::StringRef text) {
  llvm::BLAKE3 hasher;
  hasher.update(text);
  return llvm::toHex(llvm::ArrayRef<uint8_t>(hasher.final()), /*LowerCase=*/true);
}

std::string compute_build_id() {
  std::string text = fmt::format("{};llvm {};sources {}", kFormatVersion, LLVM_VERSION_STRING,
                                 MASKJIT_CODEGEN_HASH);
  for (const auto& t : templates::embedded_templates()) {
    text += fmt::format(";{} {}", t.name,
                        hash_hex(llvm::StringRef(reinterpret_cast<const char*>(t.data), t.size)));
  }
  return hash_hex(text);
}

}  // namespace

std::string KernelSpec::print() const {
  std::string tensors;
  for (const TensorLayout& t : problem.tensors) {
    tensors += fmt::format("{}{}{}{}", tensors.empty() ? "" : ",", t.broadcast,
                           t.unit_stride ? "u" : "s", t.weighted ? "w" : "");
  }
  return fmt::format(
      "{} element={} d={} dv={} additive={} dense={}{} tensors=[{}] words={}x{} tile={}x{} "
      "warps={} O{}",
      template_name, static_cast<int>(problem.element), problem.head_dim, problem.head_dim_v,
      static_cast<int>(problem.additive), problem.dense_results ? 1 : 0,
      problem.dropout == MJ_NO_DROPOUT
          ? ""
          : fmt::format(" dropout={}", static_cast<int>(problem.dropout)),
      tensors, pairs ? "pairs" : "single", word_multiple, tile_q, tile_k, warps, opt_level);
}

MjScorerKind scorer_kind(const ir::Stage& stage) {
  if (stage.rule == ir::Stage::Rule::MagicPig) return MJ_SCORER_LSH;
  if (stage.scorer == "page_bound") return MJ_SCORER_PAGE_BOUND;
  if (stage.scorer == "channels") return MJ_SCORER_CHANNELS;
  if (stage.scorer == "hash_bits") return MJ_SCORER_HASH_BITS;
  if (stage.scorer == "pq_codes") return MJ_SCORER_PQ_CODES;
  return MJ_SCORER_LOGITS;
}

bool has_weights(const ProblemSpec& problem) {
  return std::any_of(problem.tensors.begin(), problem.tensors.end(),
                     [](const TensorLayout& layout) { return layout.weighted; });
}

std::string SpecKey::hex() const {
  return llvm::toHex(llvm::ArrayRef<uint8_t>(bytes), /*LowerCase=*/true);
}

const std::string& build_id_text() {
  static const std::string id = compute_build_id();
  return id;
}

SpecKey spec_key(const ir::Program& program, const KernelSpec& spec, const Target& target) {
  // Names and defaults of parameters and tensors do not reach the code: positions stand for them in
  // the key.
  ir::Function canonical =
      ir::compact(ir::with_stage_results(program), /*drop_unused_params=*/false);
  canonical.set_name("main");
  for (size_t i = 0; i < canonical.params().size(); ++i) {
    ir::Param& param = canonical.mutable_params()[i];
    param.name = fmt::format("p{}", i);
    param.default_value.reset();
    param.default_share.reset();
  }
  for (size_t i = 0; i < canonical.tensors().size(); ++i) {
    canonical.mutable_tensors()[i].name = fmt::format("t{}", i);
  }
  std::string text = build_id_text();
  text += '\n' + ir::print(canonical) + '\n' + spec.print() + '\n' + target.print();
  llvm::BLAKE3 hasher;
  hasher.update(bytes_of(text));
  SpecKey key;
  const auto digest = hasher.final();
  std::copy(digest.begin(), digest.end(), key.bytes.begin());
  return key;
}

}  // namespace maskjit::codegen
