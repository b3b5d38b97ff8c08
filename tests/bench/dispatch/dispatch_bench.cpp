// What a call costs beside the kernel: Attention::run on problems of one row and one key, whose
// kernels are in memory.
#include <benchmark/benchmark.h>

#include <cstdio>

#include "runtime/api/engine.h"

namespace maskjit {
namespace {

constexpr int64_t kDim = 16;

const Engine& engine() {
  static const Engine shared(EngineOptions{.cache_mode = CacheMode::Off, .threads = 1});
  return shared;
}

Attention bound(const char* text, const char* entry) {
  const auto spec = engine().load_text(text, entry);
  if (!spec) std::fprintf(stderr, "%s\n", spec.error().message.c_str());
  const auto attention = spec->bind();
  if (!attention) std::fprintf(stderr, "%s\n", attention.error().message.c_str());
  return *attention;
}

struct Call {
  float row[4 * kDim] = {};
  int32_t table[1] = {1};
  AttentionInputs inputs;
  AttentionOutputs outputs;
  Call() {
    const auto view = TensorView::contiguous(row, ElementType::F32, {1, 1, 1, kDim});
    inputs.query = inputs.key = inputs.value = view;
    outputs.output = TensorView::contiguous(row + kDim, ElementType::F32, {1, 1, 1, kDim});
  }
};

void run(benchmark::State& state, const Attention& attention, const Call& call) {
  (void)attention.run(call.inputs, call.outputs);  // compiles
  for (auto _ : state) {
    const Status done = attention.run(call.inputs, call.outputs);
    if (!done) state.SkipWithError(done.error().message.c_str());
  }
}

void dispatch(benchmark::State& state) {
  static const Attention attention = bound("", "causal");
  run(state, attention, Call());
}
BENCHMARK(dispatch)->ThreadRange(1, 2);

void dispatch_with_parameters(benchmark::State& state) {
  static const Attention attention = bound(
      "attention main(runtime window: int, runtime cap: float = 2.0) { mask local(window) score s "
      "* cap }",
      "");
  Call call;
  call.inputs.runtime = {{"window", int64_t{8}}, {"cap", 3.0}};
  run(state, attention, call);
}
BENCHMARK(dispatch_with_parameters);

void dispatch_with_a_tensor(benchmark::State& state) {
  static const Attention attention =
      bound("masker main(doc: tensor<i32>[batch, kv_len]) = doc[batch, q] == doc[batch, k]", "");
  Call call;
  call.inputs.tensors.emplace("doc", TensorView::contiguous(call.table, ElementType::I32, {1, 1}));
  run(state, attention, call);
}
BENCHMARK(dispatch_with_a_tensor);

// An Attention that has met eight kinds of problem finds the last of them.
void dispatch_among_eight_problems(benchmark::State& state) {
  static const Attention attention = [] {
    Attention a = bound("", "causal");
    std::vector<float> memory(64);
    for (int64_t dim = 1; dim < 8; ++dim) {
      Call call;
      call.inputs.query.shape[3] = call.inputs.key.shape[3] = dim;
      (void)a.prepare(call.inputs, call.outputs);
    }
    return a;
  }();
  run(state, attention, Call());
}
BENCHMARK(dispatch_among_eight_problems);

}  // namespace
}  // namespace maskjit

BENCHMARK_MAIN();
