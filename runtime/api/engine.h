#pragma once
// The public C++ API.
//
//   maskjit::Engine engine;
//   auto spec = engine.load_file("streaming_llm.masker");
//   auto attention = spec->bind({{"window", 2048}});
//   auto done = attention->run({.query = q, .key = k, .value = v}, {.output = o});
//
// Every call that can fail returns a Result or Status; nothing throws for bad input. All objects
// may be used from several threads at once. Attention objects share their Engine's cache and keep
// it alive.
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "runtime/api/result.h"
#include "runtime/api/tensor_view.h"
#include "runtime/api/thread_pool.h"
#include "runtime/cache/cache_mode.h"
#include "runtime/index/key_index.h"
#include "runtime/mask/mask.h"

namespace maskjit {
namespace device {
class Device;
}

struct EngineOptions {
  // Empty: MASKJIT_CACHE_DIR, else $XDG_CACHE_HOME/maskjit, else ~/.cache/maskjit. CacheMode
  // likewise from MASKJIT_CACHE (off, ro, rw, check; default rw).
  std::string cache_directory = {};
  std::optional<CacheMode> cache_mode = {};
  uint64_t cache_limit_bytes = uint64_t{256} << 20;
  int threads = 0;                 // 0: all that the process may use
  std::string target = {};         // empty: the best this CPU supports; see `maskjit info`
  std::string only_template = {};  // empty: the best that supports the problem
  int opt_level = 3;
  std::shared_ptr<const ThreadPool> thread_pool = {};  // instead of `threads` of oneTBB
  // Empty: the CPU. "emulator": the PTX emulator as a GPU of `target` (default sm_80). "cuda",
  // "cuda:1": an NVIDIA GPU; `target` is the best that it executes, or an older one.
  std::string device = {};
  // Directories of kernels compiled ahead of time (`maskjit pack`), looked at before the cache. A
  // kernel for an older target of the same kind is taken where there is none for this one.
  std::vector<std::string> packed_kernels = {};
  // No kernel but a packed one: what has none is an error, nothing is compiled.
  bool require_packed = false;
};

// Where the tensors of a call are.
enum class MemorySpace : uint8_t { Host, Device };

// "12", 12, 0.5, true, or a share of the keys {.share = 0.1}.
struct Share {
  double share = 0;
};
using Value = std::variant<bool, int64_t, double, Share>;
using Values = std::map<std::string, Value>;

struct ParameterInfo {
  std::string name;
  std::string type;           // "int", "float", "bool", "i32[batch, kv_len]"
  std::string binding_time;   // "const", "runtime", "tensor"
  std::string default_value;  // empty: none
};

// Dropout of attention weights. Which weights are dropped follows from seed, offset and the place
// of the weight (batch, head, query row, key) alone: not from tile sizes, threads or target. Calls
// with one seed draw independent numbers if their offsets differ.
struct Dropout {
  uint64_t seed = 0;
  uint64_t offset = 0;
  std::optional<double> probability = {};  // [0, 1); default: the spec's dropout clause, else 0
  // Default: as the clause says, else false. False: weights are normalised first, as in eager
  // attention; lse and denominators are those without dropout. True: denominators sum what is left.
  std::optional<bool> renormalise = {};
};

// The random numbers of selectors (random, adaptive). Which keys are drawn follows from seed,
// offset and the place of the entry (batch, head, query row, key) alone; calls with one seed draw
// independently if their offsets differ.
struct Sampling {
  uint64_t seed = 0;
  uint64_t offset = 0;
};

// Query [B, Hq, Lq, D], key [B, Hkv, Lk, D], value [B, Hkv, Lk, Dv] of one element type (f32, f16,
// bf16), any strides with a unit stride on the last dimension (a [B, L, H, D] tensor is viewed with
// permuted strides).
struct AttentionInputs {
  TensorView query, key, value;
  // Added to the logits, or Boolean (true takes part): [B|1, Hq|1, Lq|1, >= Lk], unit stride on the
  // last dimension.
  TensorView additive_mask = {};
  std::map<std::string, TensorView> tensors = {};  // tensor parameters by name
  Values runtime = {};                             // run-time parameters by name
  std::optional<float> scale = {};                 // default 1 / sqrt(D)
  std::optional<int64_t> q_offset = {};            // position of query row 0; default Lk - Lq
  bool row_max_over_all =
      false;  // numerator and denominator relative to the maximum over all allowed keys
  // Explicit masks by name, for parameters of type tensor<bit>: [B|1, Hq|1, Lq|1, Lk|1] for
  // explicit(m). A view among `tensors`, Bool or weights, is turned into one for this call; a Mask
  // keeps what kernels need of it.
  std::map<std::string, Mask> masks = {};
  // Given in training; without it nothing is dropped, whatever the spec says.
  std::optional<Dropout> dropout = {};
  Sampling sampling = {};
  // Of `key`, for specs whose selectors rank by page_bound, channels, hash_bits or pq_codes, or
  // that use magic_pig. Without it, one with the seed of `sampling` is made for this call, which
  // reads every key: decoding keeps one (Attention::make_index) and updates it.
  std::optional<KeyIndex> index = {};
  // Of all tensors and results of the call. Engines without a device take Host. With one, Host
  // tensors are copied there and back and the call returns when it is done; Device tensors are
  // addresses on the engine's device, and the call returns when its work is in the stream.
  MemorySpace memory = MemorySpace::Host;
  // The CUstream of the call on a CUDA device; null: the default stream.
  void* stream = nullptr;
};

// Results on request: a view with a shape is written, one without is not wanted. At least one.
struct AttentionOutputs {
  TensorView output =
      {};               // [B, Hq, Lq, Dv], element type of query, any strides with unit last stride
  TensorView lse = {};  // f32 [B, Hq, Lq] contiguous, natural logarithm
  TensorView row_max = {};      // f32 [B, Hq, Lq] contiguous
  TensorView numerator = {};    // f32 [B, Hq, Lq, Dv]
  TensorView denominator = {};  // f32 [B, Hq, Lq] contiguous
  // f32 [B, Hq, Lq, Lk], what values are multiplied with: the only result of that size.
  TensorView weights = {};
};

// How a call was or would be executed.
struct LaunchInfo {
  std::string template_name, target, spec, key;
  std::vector<std::pair<std::string, std::string>> refused;  // template, reason
  std::string origin;  // "memory", "packed", "disk" or "compiled"
  std::vector<std::pair<std::string, double>> stage_milliseconds;
  int64_t work_items = 0;  // on a device: blocks
};

namespace detail {
struct EngineState;
struct SpecState;
struct AttentionState;
}  // namespace detail

class Attention {
 public:
  // Compiles (or finds) the kernel for these shapes and types and executes it.
  Status run(const AttentionInputs& inputs, const AttentionOutputs& outputs) const;
  // The same without executing: validates and compiles.
  Result<LaunchInfo> prepare(const AttentionInputs& inputs, const AttentionOutputs& outputs) const;
  // An index of inputs.key (given query and the spec's tensors) with a part for each scorer.
  Result<KeyIndex> make_index(const AttentionInputs& inputs) const;
  std::vector<ParameterInfo> parameters()
      const;  // those still open: run-time parameters and tensors

  explicit Attention(std::shared_ptr<const detail::AttentionState> state)
      : state_(std::move(state)) {}
  const detail::AttentionState& state() const { return *state_; }

 private:
  std::shared_ptr<const detail::AttentionState> state_;
};

class Spec {
 public:
  const std::string& name() const;
  std::vector<ParameterInfo> parameters() const;
  const std::string& warnings() const;  // rendered, empty if none
  // Fixes the baked parameters; defaults where none is given.
  Result<Attention> bind(const Values& values = {}) const;

  explicit Spec(std::shared_ptr<const detail::SpecState> state) : state_(std::move(state)) {}
  const detail::SpecState& state() const { return *state_; }

 private:
  std::shared_ptr<const detail::SpecState> state_;
};

class Engine {
 public:
  explicit Engine(EngineOptions options = {});
  // `entry` names an attention or masker of the file; empty: the only one. A standard masker by
  // name: load_text with an empty text and entry "causal".
  Result<Spec> load_file(const std::string& path, const std::string& entry = {}) const;
  Result<Spec> load_text(const std::string& text, const std::string& entry = {},
                         const std::string& name = "<text>") const;

  // The device of EngineOptions::device, as long as this engine or its attentions live; null for
  // the CPU, and where it cannot be opened, which every load says.
  device::Device* device() const;

  const detail::EngineState& state() const { return *state_; }

 private:
  std::shared_ptr<detail::EngineState> state_;
};

// Combines partial results over disjoint keys exactly: out = sum_i exp(lse_i - lse) out_i, lse =
// log sum_i exp(lse_i). Shapes [.., L, Dv] and [.., L]; `output` and `lse` may alias an input.
Status merge_partials(const std::vector<TensorView>& outputs, const std::vector<TensorView>& lses,
                      const TensorView& output, const TensorView& lse);

}  // namespace maskjit
