#pragma once
// A problem: one bound spec, shapes, types, layouts and data, and the launch arguments that a
// kernel gets for it.
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "codegen/spec/kernel_spec.h"
#include "masker_dsl/driver/driver.h"
#include "masker_dsl/interp/attention.h"
#include "masker_dsl/interp/selection.h"
#include "runtime/mask/mask.h"

namespace maskjit::conformance {

enum class Layout { HeadsFirst, RowsFirst, Padded };  // [B, H, L, D], [B, L, H, D], rows with a gap

struct ProblemDescription {
  std::string mask;  // masker source, or an expression such as "causal() & sink(4)"
  int64_t batch = 1, num_heads = 1, num_kv_heads = 1, q_len = 1, kv_len = 1;
  int head_dim = 64, head_dim_v = 0;  // 0: as head_dim
  MjElement element = MJ_F32;
  Layout layout = Layout::HeadsFirst;
  MjElement additive = MJ_NONE;
  bool additive_broadcast =
      true;  // [1, 1, q_len, kv_len], else [batch, num_heads, q_len, kv_len + 3]
  std::map<std::string, double> runtime;
  std::map<std::string, driver::ParamValue> baked;
  bool sequence = false;              // it has selectors, by the exact scores
  MjDropout dropout = MJ_NO_DROPOUT;  // of p = 0.3
  bool weighted = true;               // explicit masks have weights
  bool dense_results = false;         // weights, and the row maximum over all keys
  int64_t q_offset_delta = 0;         // added to kv_len - q_len
  double scale_factor = 1;            // of 1 / sqrt(head_dim); may be negative or 0
  uint64_t seed = 1;

  std::string print() const;
};

// Storage of one operand and its f64 copy (contiguous), which is what the reference sees.
struct OperandData {
  std::vector<uint8_t> bytes;
  std::vector<double> values;
  MjOperand view{};
};

struct Results {
  std::vector<double> output, numerator;          // [B, Hq, Lq, Dv]
  std::vector<double> lse, row_max, denominator;  // [B, Hq, Lq]
  std::vector<double> weights;                    // [B, Hq, Lq, Lk] or empty
  std::vector<double> output_alone, lse_alone;  // of a launch that asks for nothing else, or empty
};

// Memory of an operand or result.
struct Buffer {
  std::string name;
  void* data = nullptr;
  size_t bytes = 0;
};

class Problem {
 public:
  explicit Problem(const ProblemDescription& description);

  const ProblemDescription& description() const { return d_; }
  const ir::Program& program() const { return bound_.program; }
  const analysis::TileFunctions& tiles() const { return bound_.tiles; }
  const codegen::ProblemSpec& spec() const { return spec_; }
  const std::vector<int64_t>& scalars() const { return scalars_; }
  const std::vector<MjTensor>& tensors() const { return tensors_; }
  const interp::AttentionInputs& reference_inputs() const { return reference_; }
  int head_dim_v() const { return d_.head_dim_v == 0 ? d_.head_dim : d_.head_dim_v; }

  // Runs a kernel given by its entry points on poisoned outputs and reads back what it wrote.
  Results launch(MjPlanFunction plan, MjRunFunction run, int threads) const;
  // The same for whatever runs it; `buffers` are all that the arguments point into.
  using Launch =
      std::function<void(const MjAttentionArgs& args, const std::vector<Buffer>& buffers)>;
  Results launch(const Launch& body) const { return launch(body, true); }
  // The f64 reference, and straightforward attention in the problem's own precision: what errors
  // are measured against and relative to.
  Results reference() const;
  Results plain() const;

 private:
  // Asks for every result, or for the output and lse alone.
  Results launch(const Launch& body, bool every_result) const;
  void build_program();
  void build_operands();
  void build_tensors();
  void build_stages();
  int64_t extent_of(const ir::Dim& dim) const;
  // An explicit mask: full, empty and random tiles, a third of the words with weights other than 1.
  void add_mask(const ir::Tensor& tensor, uint64_t seed);
  OperandData operand(int64_t heads, int64_t rows, int64_t columns, MjElement element,
                      Layout layout, const std::function<double(size_t)>& value) const;

  ProblemDescription d_;
  driver::BoundProgram bound_;
  codegen::ProblemSpec spec_;
  OperandData query_, key_, value_, additive_;
  std::vector<std::vector<uint8_t>> tensor_bytes_;
  std::vector<std::vector<int64_t>> summary_ints_;
  std::vector<std::vector<float>> summary_floats_;
  std::vector<MjTensor> tensors_;
  std::vector<Mask> masks_;
  std::vector<std::vector<float>> mask_weights_;  // of every element
  std::vector<int64_t> scalars_;
  std::vector<MjStage> stages_;
  std::vector<double> kept_;  // of sequences: the weights of what they select
  interp::AttentionInputs reference_;
};

}  // namespace maskjit::conformance
