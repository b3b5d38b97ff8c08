#include <cstdio>
#include <vector>

#include "runtime/api/engine.h"

int main() {
  using maskjit::ElementType;
  using maskjit::TensorView;

  constexpr int64_t batch = 1, heads = 8, length = 2048, dim = 64;
  std::vector<float> q(heads * length * dim, 0.5F), k = q, v = q, o(q.size());
  const auto view = [&](std::vector<float>& memory) {
    return TensorView::contiguous(memory.data(), ElementType::F32, {batch, heads, length, dim});
  };

  const maskjit::Engine engine;
  auto spec = engine.load_text(
      "masker streaming_llm(sinks: int = 4, window: int = 1024) =\n"
      "    causal() & (sink(sinks) | local(window))\n");
  if (!spec) return std::fputs(spec.error().message.c_str(), stderr), 1;

  auto attention = spec->bind({{"window", int64_t{256}}});
  if (!attention) return std::fputs(attention.error().message.c_str(), stderr), 1;

  auto done =
      attention->run({.query = view(q), .key = view(k), .value = view(v)}, {.output = view(o)});
  if (!done) return std::fputs(done.error().message.c_str(), stderr), 1;

  std::printf("output[0] = %g\n", static_cast<double>(o[0]));
}
