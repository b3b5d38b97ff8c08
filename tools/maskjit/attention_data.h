#pragma once
// Query, key and value of a command, from files or at random, and the results that go with them.
#include <string>

#include "runtime/api/engine.h"
#include "tools/maskjit/mask_view.h"

namespace maskjit::cli {

struct DataOptions {
  std::string query, key, value, additive_mask;
  std::string dtype;            // empty: as the files
  std::string layout = "bhld";  // or blhd
};
void add_data_options(CLI::App& command, DataOptions& options);

struct AttentionData {
  io::Tensor query, key, value, additive_mask;
  // Seen as [B, H, L, D] whatever the layout in memory.
  TensorView query_view, key_view, value_view;
  Lengths lengths() const;
};
Result<AttentionData> read_data(const DataOptions& options);
// For what computes nothing.
Result<AttentionData> zero_data(const Lengths& lengths, int64_t value_dim, ElementType type);
// Reproducible numbers of mean 0 and variance 1.
Result<AttentionData> random_data(const Lengths& lengths, int64_t value_dim, ElementType type);

// [B, H, L, D] as a view of a new tensor in the layout of the options.
struct Laid {
  io::Tensor tensor;
  TensorView view;
};
Result<Laid> make_output(const AttentionData& data, const std::string& layout);

struct EngineChoice {
  std::string target, only_template;
  int threads = 0;
  int opt_level = 3;
  std::string device = "cpu";
  std::vector<std::string> packed;
  bool require_packed = false;
};
void add_engine_options(CLI::App& command, EngineChoice& options);
EngineOptions engine_options(const EngineChoice& options);

// The attention of a spec, with its baked parameters fixed, and the inputs that go with it.
struct Prepared {
  Attention attention;
  AttentionInputs inputs;  // views of `data` and `values`, which must outlive it
};
Result<Prepared> prepare(const Engine& engine, const Spec& spec, const AttentionData& data,
                         const LaunchValues& values);

}  // namespace maskjit::cli
