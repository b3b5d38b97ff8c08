#pragma once
// maskjit on LibTorch's tensors.
//
//   auto spec = maskjit::torch::compile("causal() & (sink(4) | local(1024))");
//   at::Tensor output = maskjit::torch::attention(spec, query, key, value);
//
// The same from Python and TorchScript: the operators that ops.cpp registers when this library is
// loaded (torch.ops.load_library). Tensors are strided, and all on the CPU or all on one CUDA
// device. Nothing is copied, except operands whose last dimension has another stride than 1.
//   CPU   Kernels run on torch's own threads, as many as at::get_num_threads() says; calls from
//         inside of at::parallel_for stay on their thread.
//   CUDA  Kernels run in the current stream of the tensors' device, whichever device is current;
//         results come from torch's allocator. Nothing of CUDA is linked: a build serves torch with
//         and without it. devices.h has the details.
//
// What is wrong with a call is thrown as c10::ValueError (the caller's mistake),
// c10::NotImplementedError (what no kernel can do) or c10::Error (anything else).
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

#include "runtime/api/engine.h"

#define MASKJIT_TORCH_API __attribute__((visibility("default")))

namespace maskjit::torch {

// The process's engine for tensors on a device, with the options that the environment gives; on the
// CPU it has torch's threads. Throws for devices that are neither CPU nor CUDA; what is wrong with
// a CUDA device is said by what is loaded there.
MASKJIT_TORCH_API const Engine& engine(c10::Device device = at::kCPU);

// What to compile, as text.
struct Source {
  std::string program;    // declarations; or a mask expression, "causal() & local(64)"; or the name
                          // of a standard masker
  std::string entry;      // the attention or masker to take; empty: the only one
  std::string path;       // of the program's file, for messages and imports; empty: it has none
  Values constants = {};  // values of baked parameters
};

// A spec for the devices of the tensors that it is called with. Copies are the same spec; calls may
// come from several threads.
class MASKJIT_TORCH_API CompiledSpec {
 public:
  explicit CompiledSpec(Source source);  // throws what is wrong with it
  // For the engine of a device, made at the first call. Throws where there is no such engine.
  const Attention& on(c10::Device device) const;
  // What calls take beside query, key and value.
  const std::vector<ParameterInfo>& parameters() const;
  // What is suspicious about the program, rendered; empty if nothing.
  const std::string& warnings() const;

 private:
  struct State;
  std::shared_ptr<State> state_;
};

MASKJIT_TORCH_API CompiledSpec compile(Source source);
MASKJIT_TORCH_API CompiledSpec compile(std::string program, Values constants = {});

struct Options {
  // Added to the logits, or Boolean (true takes part), broadcast to [B, Hq, Lq, >= Lk].
  at::Tensor attn_mask = {};
  // Tensor parameters of the spec, on the query's device. One of type tensor<bit> on a CUDA device
  // is copied to the host, which waits; give it as a Mask.
  std::map<std::string, at::Tensor> tensors = {};
  std::map<std::string, Mask> masks = {};  // those of type tensor<bit>
  Values runtime = {};                     // its run-time parameters
  std::optional<double> scale = {};        // default 1 / sqrt(D)
  std::optional<int64_t> q_offset = {};    // position of query row 0; default Lk - Lq
  bool transposed = false;  // the output is [B, Lq, Hq, Dv] as eager attention returns it
  std::optional<Dropout> dropout = {};  // given in training; without it nothing is dropped
  bool row_max_over_all = false;  // numerator and denominator relative to the maximum over all keys
  Sampling sampling = {};         // of selectors that draw
  std::optional<KeyIndex> index = {};  // of `key`; default: made for this call, where one is needed
};

// Query [B, Hq, Lq, D], key [B, Hkv, Lk, D], value [B, Hkv, Lk, Dv] of one type (float32, float16,
// bfloat16) -> output [B, Hq, Lq, Dv] of that type. There is no backward: with gradients enabled
// no input may require one.
MASKJIT_TORCH_API at::Tensor attention(const CompiledSpec& spec, const at::Tensor& query,
                                       const at::Tensor& key, const at::Tensor& value,
                                       const Options& options = {});

// Output as above; the others float32: Lse, RowMax and Denominator [B, Hq, Lq], Numerator
// [B, Hq, Lq, Dv], Weights [B, Hq, Lq, Lk], the only one of that size.
enum class ResultKind { Output, Lse, RowMax, Numerator, Denominator, Weights };
std::optional<ResultKind> parse_result(std::string_view name);  // "output", "lse", "row_max", ...

// The results that are asked for, in that order.
MASKJIT_TORCH_API std::vector<at::Tensor> attention_results(
    const CompiledSpec& spec, const at::Tensor& query, const at::Tensor& key,
    const at::Tensor& value, const std::vector<ResultKind>& results, const Options& options = {});

// An index of `key` for the spec's selectors, to be given to calls and updated as keys are
// appended. Of the options, tensors and sampling.seed matter. Of the query, its type and number of
// heads. Of a device's keys a copy in host memory is indexed.
MASKJIT_TORCH_API KeyIndex make_index(const CompiledSpec& spec, const at::Tensor& query,
                                      const at::Tensor& key, const Options& options = {});

// Partial results over disjoint keys -> the result over all of them, exactly. Outputs [..., L, Dv]
// of one type, lses float32 [..., L], all on one device, which computes.
MASKJIT_TORCH_API std::pair<at::Tensor, at::Tensor> merge_partials(
    const std::vector<at::Tensor>& outputs, const std::vector<at::Tensor>& lses);

}  // namespace maskjit::torch
