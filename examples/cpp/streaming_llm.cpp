#include <cstdio>
#include <vector>

#include "runtime/api/engine.h"

int main() {
  std::vector<float> q(8 * 2048 * 64, 0.5F), k = q, v = q, o(q.size());
  const auto view = [](std::vector<float>& memory) {  // [batch, heads, length, head dimension]
    return maskjit::TensorView::contiguous(memory.data(), maskjit::ElementType::F32,
                                           {1, 8, 2048, 64});
  };
  const auto failed = [](const maskjit::Error& error) {
    return std::fprintf(stderr, "%s\n", error.message.c_str()), 1;
  };

  const maskjit::Engine engine;
  auto spec = engine.load_text("masker recent(n: int) = causal() & (sink(4) | local(n))");
  if (!spec) return failed(spec.error());
  auto attention = spec->bind({{"n", int64_t{256}}});
  if (!attention) return failed(attention.error());
  auto done =
      attention->run({.query = view(q), .key = view(k), .value = view(v)}, {.output = view(o)});
  if (!done) return failed(done.error());
  std::printf("output[0] = %g\n", static_cast<double>(o[0]));
}
