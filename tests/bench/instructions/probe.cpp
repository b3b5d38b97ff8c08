// What __main__.py counts the instructions of: each part is done once to warm up (what is lazily
// made is there then) and then counted, under a name. Run by callgrind with --instr-atstart=no: it
// is switched on when all are warm, and stays on, for callgrind then translates all code anew.
//
//   instructions_probe FOLDER [TEXT]    the folder is for the disk cache; only parts that are named
//   so
#include <valgrind/callgrind.h>

#include <cstdio>
#include <cstdlib>
#include <functional>
#include <memory>
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

struct Part {
  std::string name;
  int times;
  std::function<void()> work;
};
using Parts = std::vector<Part>;

// Labels end in the divisor: "dispatch/100".
void count(const Parts& parts) {
  for (const Part& part : parts) part.work();
  CALLGRIND_START_INSTRUMENTATION;
  for (const Part& part : parts) {
    CALLGRIND_ZERO_STATS;
    for (int i = 0; i < part.times; ++i) part.work();
    const std::string label = part.name + "/" + std::to_string(part.times);
    CALLGRIND_DUMP_STATS_AT(label.c_str());
  }
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

Part compiles(const std::string& name, const Problem& problem, const Engine& engine) {
  // A program of its own each time: kernels are kept in memory.
  return {name, 1, [&problem, &engine, made = 0]() mutable {
            const std::string text = "attention main { mask causal() & local(" +
                                     std::to_string(++made + 100) + ") score softcap(s, 30.0) }";
            (void)checked(load(engine, text).prepare(problem.inputs, problem.outputs));
          }};
}

// Causal, bf16, D 128 to PTX for sm_80.
Part device_compiles(const std::string& name) {
  const driver::CheckedSource checked =
      driver::check("probe.masker", "attention main { mask causal() }");
  diag::DiagnosticEmitter diagnostics;
  const auto bound = std::make_shared<const driver::BoundProgram>(
      *driver::bind(*checked.program, {}, diagnostics));
  const codegen::Target target = *codegen::Target::parse("sm_80");
  codegen::ProblemSpec problem;
  problem.element = MJ_BF16;
  problem.head_dim = problem.head_dim_v = 128;
  const codegen::KernelSpec spec =
      *codegen::select_template(bound->program, problem, target, "nvptx/attention_forward").spec;
  return {name, 1, [=] {
            const auto compiled = codegen::compile(bound->program, bound->tiles, spec, target);
            if (std::holds_alternative<codegen::CompileError>(compiled)) std::exit(1);
          }};
}

Part calls(const std::string& name, const std::string& text, const Problem& problem,
           const Engine& engine) {
  return {name, 100, [&problem, attention = load(engine, text)] {
            const Status done = attention.run(problem.inputs, problem.outputs);
            if (!done) checked<int>(done.error());
          }};
}

void run(const std::string& folder, const std::string& only) {
  const Engine engine(options(CacheMode::Off));
  const Problem forward(64, 64, ElementType::BF16), decode(1, 4096, ElementType::F32),
      small(1, 1, ElementType::F32);
  Problem given(1, 1, ElementType::F32), packed(1, 1, ElementType::F32);
  given.inputs.runtime = {{"window", int64_t{8}}, {"cap", 3.0}};
  packed.inputs.tensors.emplace("document",
                                TensorView::contiguous(packed.document, ElementType::I32, {1, 1}));
  Parts parts = {
      {"front end", 10, [&] { (void)load(engine, kStreaming); }},
      compiles("compile forward bf16", forward, engine),
      compiles("compile decode f32", decode, engine),
      device_compiles("compile device bf16"),
      {"from disk", 1,
       [&] {
         const Engine again(options(CacheMode::ReadWrite, folder));
         (void)checked(load(again, kStreaming).prepare(small.inputs, small.outputs));
       }},
      calls("dispatch", "masker main() = causal()", small, engine),
      calls("dispatch with parameters",
            "attention main(runtime window: int, runtime cap: float = 2.0) { mask local(window) "
            "score s * cap }",
            given, engine),
      calls("dispatch with a tensor",
            "masker main(document: tensor<i32>[batch, kv_len]) = document[batch, q] == "
            "document[batch, k]",
            packed, engine),
  };
  std::erase_if(parts, [&](const Part& part) { return part.name.find(only) == std::string::npos; });
  count(parts);
}

}  // namespace
}  // namespace maskjit

int main(int count, char** arguments) {
  if (count != 2 && count != 3) {
    std::fprintf(stderr, "usage: instructions_probe FOLDER [TEXT]\n");
    return 2;
  }
  maskjit::run(arguments[1], count == 3 ? arguments[2] : "");
}
