#pragma once
// maskjit on LibTorch's tensors.
//
//   auto spec = maskjit::torch::compile("causal() & (sink(4) | local(1024))");
//   at::Tensor output = maskjit::torch::attention(spec, query, key, value);
//
// The same from Python and TorchScript: the operators that ops.cpp registers when this library is
// loaded (torch.ops.load_library). Tensors are on the CPU and strided. Nothing is copied, except
// operands whose last dimension has another stride than 1. Kernels run on torch's own threads, as
// many as at::get_num_threads() says; calls from inside of at::parallel_for stay on their thread.
//
// What is wrong with a call is thrown as c10::ValueError (the caller's mistake),
// c10::NotImplementedError (what no kernel can do) or c10::Error (anything else).
#include <map>
#include <optional>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

#include "runtime/api/engine.h"

#define MASKJIT_TORCH_API __attribute__((visibility("default")))

namespace maskjit::torch {

// The process's engine, on torch's threads, with the options that the environment gives.
MASKJIT_TORCH_API const Engine& engine();

// What to compile, as text.
struct Source {
  std::string program;    // declarations; or a mask expression, "causal() & local(64)"; or the name
                          // of a standard masker
  std::string entry;      // the attention or masker to take; empty: the only one
  std::string path;       // of the program's file, for messages and imports; empty: it has none
  Values constants = {};  // values of baked parameters
};

// `warnings`, if given, gets what is suspicious about the program, rendered; empty if nothing.
MASKJIT_TORCH_API Attention compile(const Source& source, std::string* warnings = nullptr);
MASKJIT_TORCH_API Attention compile(std::string program, Values constants = {});

struct Options {
  // Added to the logits, or Boolean (true takes part), broadcast to [B, Hq, Lq, >= Lk].
  at::Tensor attn_mask = {};
  std::map<std::string, at::Tensor> tensors = {};  // tensor parameters of the spec
  std::map<std::string, Mask> masks = {};          // those of type tensor<bit>
  Values runtime = {};                             // its run-time parameters
  std::optional<double> scale = {};                // default 1 / sqrt(D)
  std::optional<int64_t> q_offset = {};            // position of query row 0; default Lk - Lq
  bool transposed = false;  // the output is [B, Lq, Hq, Dv] as eager attention returns it
  std::optional<Dropout> dropout = {};  // given in training; without it nothing is dropped
  bool row_max_over_all = false;  // numerator and denominator relative to the maximum over all keys
  Sampling sampling = {};         // of selectors that draw
  std::optional<KeyIndex> index = {};  // of `key`; default: made for this call, where one is needed
};

// Query [B, Hq, Lq, D], key [B, Hkv, Lk, D], value [B, Hkv, Lk, Dv] of one type (float32, float16,
// bfloat16) -> output [B, Hq, Lq, Dv] of that type. There is no backward: with gradients enabled
// no input may require one.
MASKJIT_TORCH_API at::Tensor attention(const Attention& spec, const at::Tensor& query,
                                       const at::Tensor& key, const at::Tensor& value,
                                       const Options& options = {});

// Output as above; the others float32: Lse, RowMax and Denominator [B, Hq, Lq], Numerator
// [B, Hq, Lq, Dv], Weights [B, Hq, Lq, Lk], the only one of that size.
enum class ResultKind { Output, Lse, RowMax, Numerator, Denominator, Weights };
std::optional<ResultKind> parse_result(std::string_view name);  // "output", "lse", "row_max", ...

// The results that are asked for, in that order.
MASKJIT_TORCH_API std::vector<at::Tensor> attention_results(
    const Attention& spec, const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
    const std::vector<ResultKind>& results, const Options& options = {});

// An index of `key` for the spec's selectors, to be given to calls and updated as keys are
// appended. Of the options, tensors and sampling.seed matter. Of the query, its type and number of
// heads.
MASKJIT_TORCH_API KeyIndex make_index(const Attention& spec, const at::Tensor& query,
                                      const at::Tensor& key, const Options& options = {});

// Partial results over disjoint keys -> the result over all of them, exactly. Outputs [..., L, Dv]
// of one type, lses float32 [..., L].
MASKJIT_TORCH_API std::pair<at::Tensor, at::Tensor> merge_partials(
    const std::vector<at::Tensor>& outputs, const std::vector<at::Tensor>& lses);

}  // namespace maskjit::torch
