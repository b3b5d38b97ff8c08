// What __main__.py counts the instructions of: each part is done once to warm up (what is lazily
// made is there then) and then counted, under a name. Run by callgrind with --instr-atstart=no; it
// stays on from the first part on: callgrind translates all code anew whenever it is switched.
//
//   instructions_probe FOLDER [TEXT]    the folder is for the disk cache; only parts that are named
//   so
#include <valgrind/callgrind.h>

#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "codegen/compile.h"
#include "masker_dsl/driver/driver.h"
#include "runtime/api/engine.h"

namespace maskjit {
namespace {

constexpr int64_t kDim = 64;
// Every CPU that valgrind knows executes this, and it does not depend on the one that counts.
constexpr const char* kTarget = "x86-64+avx2";
constexpr const char* kStreaming =
    "masker streaming(sinks: int = 4, window: int = 1024) = causal() & (sink(sinks) | "
    "local(window))\n"
    "attention main(cap: float = 30.0) { mask streaming(window = 2048) score softcap(s, cap) }";

template <typename T>
T checked(Result<T> result) {
  if (result) return std::move(*result);
  std::fprintf(stderr, "%s\n", result.error().message.c_str());
  std::exit(1);
}

std::string only;

// The work, `times` times, after one that is not counted. Names end in the divisor: "dispatch/100".
template <typename Work>
void count(const std::string& name, int times, const Work& work) {
  if (name.find(only) == std::string::npos) return;
  CALLGRIND_START_INSTRUMENTATION;
  work();
  CALLGRIND_ZERO_STATS;
  for (int i = 0; i < times; ++i) work();
  const std::string label = name + "/" + std::to_string(times);
  CALLGRIND_DUMP_STATS_AT(label.c_str());
}

EngineOptions options(CacheMode mode, const std::string& folder = {}) {
  return {.cache_directory = folder, .cache_mode = mode, .threads = 1, .target = kTarget};
}

struct Problem {
  std::vector<float> memory;
  int32_t document[1] = {1};
  AttentionInputs inputs;
  AttentionOutputs outputs;
  Problem(int64_t rows, int64_t keys, ElementType type)
      : memory(static_cast<size_t>((2 * rows + 2 * keys) * kDim)) {
    const auto view = [&](int64_t begin, int64_t length) {
      return TensorView::contiguous(memory.data() + begin * kDim, type, {1, 1, length, kDim});
    };
    inputs.query = view(0, rows);
    inputs.key = view(rows, keys);
    inputs.value = view(rows + keys, keys);
    outputs.output = view(rows + 2 * keys, rows);
  }
};

Attention load(const Engine& engine, const std::string& text) {
  return checked(checked(engine.load_text(text)).bind());
}

void count_compiles(const std::string& name, const Problem& problem) {
  const Engine engine(options(CacheMode::Off));
  // A program of its own each time: kernels are kept in memory.
  int made = 0;
  count(name, 1, [&] {
    const std::string text = "attention main { mask causal() & local(" +
                             std::to_string(++made + 100) + ") score softcap(s, 30.0) }";
    (void)checked(load(engine, text).prepare(problem.inputs, problem.outputs));
  });
}

// Causal, bf16, D 128 to PTX for sm_80.
void count_device_compiles(const std::string& name) {
  const driver::CheckedSource checked =
      driver::check("probe.masker", "attention main { mask causal() }");
  diag::DiagnosticEmitter diagnostics;
  const auto bound = driver::bind(*checked.program, {}, diagnostics);
  const codegen::Target target = *codegen::Target::parse("sm_80");
  codegen::ProblemSpec problem;
  problem.element = MJ_BF16;
  problem.head_dim = problem.head_dim_v = 128;
  const codegen::KernelSpec spec =
      *codegen::select_template(bound->program, problem, target, "nvptx/attention_forward").spec;
  count(name, 1, [&] {
    const auto compiled = codegen::compile(bound->program, bound->tiles, spec, target);
    if (std::holds_alternative<codegen::CompileError>(compiled)) std::exit(1);
  });
}

void count_calls(const std::string& name, const std::string& text, const Problem& problem) {
  const Engine engine(options(CacheMode::Off));
  const Attention attention = load(engine, text);
  count(name, 100, [&] {
    const Status done = attention.run(problem.inputs, problem.outputs);
    if (!done) checked<int>(done.error());
  });
}

void run(const std::string& folder) {
  const Engine engine(options(CacheMode::Off));
  count("front end", 10, [&] { (void)load(engine, kStreaming); });

  count_compiles("compile forward bf16", Problem(64, 64, ElementType::BF16));
  count_compiles("compile decode f32", Problem(1, 4096, ElementType::F32));
  count_device_compiles("compile device bf16");

  const Problem small(1, 1, ElementType::F32);
  count("from disk", 1, [&] {
    const Engine again(options(CacheMode::ReadWrite, folder));
    (void)checked(load(again, kStreaming).prepare(small.inputs, small.outputs));
  });

  count_calls("dispatch", "masker main() = causal()", small);
  Problem given(1, 1, ElementType::F32);
  given.inputs.runtime = {{"window", int64_t{8}}, {"cap", 3.0}};
  count_calls("dispatch with parameters",
              "attention main(runtime window: int, runtime cap: float = 2.0) { mask local(window) "
              "score s * cap }",
              given);
  Problem packed(1, 1, ElementType::F32);
  packed.inputs.tensors.emplace("document",
                                TensorView::contiguous(packed.document, ElementType::I32, {1, 1}));
  count_calls("dispatch with a tensor",
              "masker main(document: tensor<i32>[batch, kv_len]) = document[batch, q] == "
              "document[batch, k]",
              packed);
}

}  // namespace
}  // namespace maskjit

int main(int count, char** arguments) {
  if (count != 2 && count != 3) {
    std::fprintf(stderr, "usage: instructions_probe FOLDER [TEXT]\n");
    return 2;
  }
  if (count == 3) maskjit::only = arguments[2];
  maskjit::run(arguments[1]);
}
