#include "tests/conformance/problems.h"

namespace maskjit::conformance {
namespace {

struct NamedMask {
  const char* text;
  std::map<std::string, double> runtime;
};

// Static masks, score functions, run-time parameters and tensors.
const std::vector<NamedMask>& masks() {
  static const std::vector<NamedMask> all = {
      {"full()", {}},
      {"causal()", {}},
      {"causal() & (sink(4) | local(40))", {}},
      {"none()", {}},
      {"attention main() {\n mask causal()\n score softcap(s, 2.5)\n}", {}},
      {"attention main() {\n mask full()\n score alibi(s)\n}", {}},
      {"window(17, 9) | strided(13)", {}},
      {"attention main(doc: tensor<i32>[batch, kv_len]) {\n mask causal() & document(doc)\n}", {}},
      {"attention main(runtime n: int, runtime cap: float) {\n mask causal() & local(n)\n score "
       "cap * tanh(s / cap)\n}",
       {{"n", 33}, {"cap", 3.5}}},
      {"attention main(seq_len: tensor<i32>[batch], bias: tensor<f32>[num_heads, kv_len]) {\n mask "
       "padding(seq_len)\n"
       " score s + bias[head, k]\n}",
       {}},
      {"block_diagonal(29) | local(10%)", {}},
      {"attention main() {\n mask k % 3 != 1 & (head % 2 == 0 | k <= q)\n score s + exp(-0.01 * "
       "abs(q - k))\n}",
       {}},
      {"attention main(flag: tensor<bool>[kv_len], bias: tensor<f16>[q_len, kv_len]) {\n"
       " mask causal() | global(flag)\n score s * 0.5 + bias[q_index, k]\n}",
       {}},
      {"attention main(step: tensor<bf16>[kv_len], big: tensor<i64>[kv_len]) {\n mask big[k] <= q\n"
       " score log(1.0 + exp(s)) + step[k]\n}",
       {}},
      {"((k ^ q) & 21) != 5 | (k << 1) // 7 == q >> 2", {}},
  };
  return all;
}

// Selectors that rank by the exact scores, or draw.
const std::vector<NamedMask>& sequences() {
  static const std::vector<NamedMask> all = {
      {"causal() & (sink(4) then local(9) then top_k(10%))", {}},
      {"top_p(0.4) then random(0.25)", {}},
      {"causal() & (sink(2) then top_k(3) then adaptive(base = 20%, epsilon = 0.2, delta = 0.2))",
       {}},
      {"attention main(runtime n: int, runtime r: float) {\n mask window(60, 40) & (top_k(n) then "
       "(k % 7 == 2) then random(r) then adaptive(base = 9, epsilon = 0.1, delta = 0.3))\n score "
       "softcap(s, 2.5)\n}",
       {{"n", 5}, {"r", 0.2}}},
      {"sink(3) then random(0.3)", {}},
      {"attention main(m: tensor<bit>[batch, num_heads, q_len, kv_len]) {\n mask causal() & "
       "(explicit(m) then top_k(head + 2) then explicit(m))\n}",
       {}},
  };
  return all;
}

// Explicit masks, whose weights are divided by, alone and in the algebra of masks.
const std::vector<NamedMask>& explicit_masks() {
  static const std::vector<NamedMask> all = {
      {"attention main(m: tensor<bit>[batch, num_heads, q_len, kv_len]) {\n mask explicit(m)\n}",
       {}},
      {"attention main(m: tensor<bit>[batch, num_heads, q_len, kv_len]) {\n mask causal() & "
       "(sink(4) | explicit(m))\n score softcap(s, 2.5)\n}",
       {}},
      {"attention main(m: tensor<bit>[num_kv_heads, q_len, kv_len], n: tensor<bit>[batch, q_len, "
       "kv_len]) {\n mask (m[kv_head, q_index, k] | n[batch, q_index, k]) & window(60, 40)\n}",
       {}},
      {"attention main(m: tensor<bit>[q_len, kv_len], n: tensor<bit>[kv_len]) {\n mask m[q_index, "
       "k] & !n[k] | n[q] & m[q_index + 1, k - 3]\n}",
       {}},
      {"attention main(m: tensor<bit>[batch, num_heads, q_len, kv_len], n: tensor<bit>[q_len, "
       "kv_len]) {\n mask q % 5 == 0 ? explicit(m) ^ n[q_index, k] : explicit(m) & n[q_index, "
       "k]\n}",
       {}},
  };
  return all;
}

}  // namespace

std::vector<ProblemDescription> conformance_problems() {
  struct Shape {
    int64_t batch, num_heads, num_kv_heads, q_len, kv_len;
  };
  // Primes, tile edges, 0 and 1, q_len above and below kv_len, groups, decoding.
  const std::vector<Shape> shapes = {
      {1, 2, 1, 64, 64},   {2, 3, 3, 67, 131}, {1, 4, 2, 1, 257},   {1, 2, 2, 128, 192},
      {2, 4, 4, 1, 1},     {1, 1, 1, 65, 63},  {1, 6, 2, 13, 101},  {1, 8, 1, 1, 513},
      {1, 2, 1, 97, 37},   {3, 2, 2, 2, 64},   {1, 1, 1, 200, 300}, {2, 2, 1, 3, 0},
      {1, 2, 2, 129, 128}, {1, 12, 4, 5, 96},  {1, 16, 1, 16, 70},
  };
  const int dims[] = {64, 40, 128, 32, 80, 96, 192, 256, 8, 17};
  const MjElement elements[] = {MJ_F32, MJ_BF16, MJ_F16, MJ_BF16, MJ_F32};
  const MjElement additives[] = {MJ_NONE, MJ_NONE, MJ_F32, MJ_NONE, MJ_BOOL, MJ_NONE, MJ_BF16};
  const Layout layouts[] = {Layout::HeadsFirst, Layout::RowsFirst, Layout::Padded};
  const auto problem_of = [&](size_t i, const Shape& shape, const NamedMask& mask) {
    ProblemDescription p;
    p.mask = mask.text;
    p.runtime = mask.runtime;
    p.batch = shape.batch;
    p.num_heads = shape.num_heads;
    p.num_kv_heads = shape.num_kv_heads;
    p.q_len = shape.q_len;
    p.kv_len = shape.kv_len;
    p.head_dim = dims[(i * 3 + i / 10) % std::size(dims)];
    p.element = elements[(i + i / 5) % std::size(elements)];
    p.layout = layouts[(i + i / 3) % std::size(layouts)];
    return p;
  };
  const auto vary_operands = [&](ProblemDescription& p, size_t i) {
    p.head_dim_v = i % 4 == 3 ? dims[(i * 7 + 1) % std::size(dims)] : 0;
    p.additive = additives[(i + i / 7) % std::size(additives)];
    p.additive_broadcast = i % 2 == 0;
    p.q_offset_delta = i % 9 == 8 ? 11 : 0;
    p.scale_factor = i % 13 == 7 ? -0.5 : i % 17 == 9 ? 0.0 : 1.0;
  };
  std::vector<ProblemDescription> problems;
  // A mixed-radix walk: the periods are coprime enough that all pairs of nearby choices come up.
  for (size_t i = 0; i < 75; ++i) {
    const Shape& shape = shapes[(i * 4 + i / 15) % shapes.size()];
    const NamedMask& mask = masks()[i % masks().size()];
    ProblemDescription p = problem_of(i, shape, mask);
    vary_operands(p, i);
    p.dense_results = i % 6 == 1;
    p.seed = 1000 + i;
    problems.push_back(p);
  }
  for (size_t i = 0; i < 30; ++i) {
    const Shape& shape = shapes[(i * 2 + i / 15) % shapes.size()];
    const NamedMask& mask = explicit_masks()[i % explicit_masks().size()];
    ProblemDescription p = problem_of(i, shape, mask);
    p.additive = i % 7 == 3 ? MJ_F32 : MJ_NONE;
    p.dense_results = i % 4 == 1;
    p.q_offset_delta = i % 9 == 8 ? 11 : 0;
    p.weighted = i % 6 != 5;
    p.seed = 2000 + i;
    problems.push_back(p);
  }
  for (size_t i = 0; i < 24; ++i) {
    const Shape& shape = shapes[(i * 7 + i / 15) % shapes.size()];
    const auto& kind = i % 3 == 2 ? explicit_masks() : masks();
    const NamedMask& mask = kind[i % kind.size()];
    ProblemDescription p = problem_of(i, shape, mask);
    p.additive = i % 7 == 3 ? MJ_F32 : MJ_NONE;
    p.dense_results = i % 4 == 1;
    p.dropout = i % 2 == 0 ? MJ_DROPOUT : MJ_DROPOUT_RENORMALISE;
    p.seed = 3000 + i;
    problems.push_back(p);
  }
  for (size_t i = 0; i < 28; ++i) {
    const Shape& shape = shapes[(i * 5 + i / 11) % shapes.size()];
    const NamedMask& mask = sequences()[i % sequences().size()];
    ProblemDescription p = problem_of(i, shape, mask);
    vary_operands(p, i);
    p.dense_results = i % 4 == 1;
    p.dropout = i % 10 == 4 ? MJ_DROPOUT : MJ_NO_DROPOUT;
    p.sequence = true;
    p.seed = 4000 + i;
    problems.push_back(p);
  }
  // Decoding in bf16: head dimensions and groups that kernels have ways of their own for.
  for (size_t i = 0; i < 12; ++i) {
    const int64_t groups[] = {8, 4, 16, 5, 1, 7};
    const int wide[] = {128, 256, 192, 64, 160};
    const Shape shape = {1, 2 * groups[i % std::size(groups)], 2, 1, i % 2 == 0 ? 740 : 384};
    ProblemDescription p = problem_of(i, shape, masks()[i % masks().size()]);
    p.element = MJ_BF16;
    p.head_dim = wide[i % std::size(wide)];
    p.head_dim_v = wide[(i + i / 5) % std::size(wide)];
    p.seed = 5000 + i;
    problems.push_back(p);
  }
  return problems;
}

}  // namespace maskjit::conformance
