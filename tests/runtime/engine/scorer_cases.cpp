#include "tests/runtime/engine/scorer_cases.h"

#include <fmt/format.h>

#include <cmath>

namespace maskjit::testing {
namespace {

// A perceptron of two layers, of 12 and 40 outputs.
constexpr int64_t kHidden = 12, kBits = 40;
int64_t perceptron_size(int64_t head_dim) {
  return head_dim * kHidden + kHidden + kHidden * kBits + kBits;
}

Tensor perceptrons(int64_t heads, int64_t head_dim, double phase) {
  Tensor mlp(ElementType::F32, {heads, perceptron_size(head_dim)});
  for (int64_t i = 0; i < mlp.size(); ++i)
    mlp.set(i, std::sin(static_cast<double>(i) * 1.7 + phase));
  return mlp;
}

constexpr int64_t kChannels = 5;  // odd: two share a byte of their codes

Tensor channel_table(int64_t heads, int64_t head_dim) {
  Tensor table(ElementType::I32, {heads, kChannels});
  for (int64_t i = 0; i < table.size(); ++i) table.set(i, static_cast<double>(i * 7 % head_dim));
  return table;
}

}  // namespace

std::vector<SequenceCase> scorer_cases(int64_t head_dim) {
  const std::string with_table =
      fmt::format("attention main(table: tensor<i32>[num_heads, {}]) ", kChannels);
  const std::string with_perceptrons =
      fmt::format("attention main(a: tensor<f32>[num_heads, {0}], b: tensor<f32>[num_heads, {0}]) ",
                  perceptron_size(head_dim));
  return {
      {"Pages",
       "attention main { mask causal() & (sink(4) then local(8) then top_k(40, by = "
       "page_bound(16))) }"},
      {"SmallPages",
       "attention main { mask causal() & top_k(30, by = page_bound(7, bits = 4, min_pages = 1)) }"},
      {"PagesByMass", "attention main { mask sink(4) then top_p(0.5, by = page_bound(16)) }"},
      {"NoPages", "attention main { mask top_k(0, by = page_bound(16, min_pages = 0)) }"},
      {"Channels", with_table +
                       "{ mask causal() & (sink(4) then top_k(10%, by = channels(table, bits = 4)) "
                       "then top_k(3, by = channels(table))) }"},
      {"WideChannels", with_table +
                           "{ mask top_k(20, by = channels(table, bits = 10)) then top_k(9, by = "
                           "channels(table, bits = 8)) }"},
      {"Hash", with_perceptrons +
                   "{ mask causal() & (sink(4) then top_k(20, by = hash_bits(a, b, bits = 40, "
                   "layers = 2, hidden = 12, activation = gelu))) }"},
      {"ProductQuantisation",
       "attention main { mask causal() & (local(8) then top_k(20, by = pq_codes(sub_dims = 8, bits "
       "= 4)) then top_k(3, by = pq_codes(sub_dims = 3, bits = 5))) }"},
      {"MagicPig",
       "attention main { mask causal() & (sink(4) then magic_pig(tables = 20, bits = 3)) }"},
      {"MagicPigUncentred",
       "attention main { mask local(60) & magic_pig(tables = 8, bits = 2, centre = false) }"},
      {"MagicPigThenAdaptive",
       "attention main { mask magic_pig(tables = 4, bits = 3) then adaptive(base = 10%, epsilon = "
       "0.2, delta = 0.2) score softcap(s, 4.0) }"},
      {"Mixed",
       "attention main { mask causal() & (sink(2) then top_k(16, by = page_bound(4)) then "
       "top_k(8, by = pq_codes(sub_dims = 4, bits = 3)) then top_k(5) then adaptive(base = 10%, "
       "epsilon = 0.2, delta = 0.2)) }"},
  };
}

Problem scorer_problem(const SequenceCase& sequence, int64_t num_heads, int64_t num_kv_heads,
                       int64_t head_dim) {
  Problem problem{.spec = sequence.attention,
                  .num_heads = num_heads,
                  .num_kv_heads = num_kv_heads,
                  .kv_len = 170,
                  .head_dim = head_dim,
                  .sampling = {.seed = 3}};
  if (sequence.attention.find("(table: ") != std::string::npos)
    problem.tensors.emplace("table", channel_table(num_heads, head_dim));
  if (sequence.attention.find("(a: ") != std::string::npos) {
    problem.tensors.emplace("a", perceptrons(num_heads, head_dim, 0));
    problem.tensors.emplace("b", perceptrons(num_heads, head_dim, 1));
  }
  return problem;
}

}  // namespace maskjit::testing
