// Sequences of maskers on the emulator, through the public API against the f64 reference.
#include <gtest/gtest.h>

#include <cmath>

#include "tests/runtime/engine/problem.h"

namespace maskjit {
namespace {

using testing::Layout;
using testing::Problem;
using testing::Tensor;

EngineOptions on_emulator(std::string only_template = {}) {
  EngineOptions options = testing::memory_only();
  options.device = "emulator";
  options.only_template = std::move(only_template);
  return options;
}

constexpr int64_t kHeadDim = 16;

Tensor channel_table(int64_t heads) {
  Tensor table(ElementType::I32, {heads, 5});
  for (int64_t i = 0; i < table.size(); ++i) table.set(i, static_cast<double>(i * 7 % kHeadDim));
  return table;
}

// A perceptron of two layers of 12 and 40 outputs for each head.
Tensor perceptron(int64_t heads, double phase) {
  Tensor mlp(ElementType::F32, {heads, kHeadDim * 12 + 12 + 12 * 40 + 40});
  for (int64_t i = 0; i < mlp.size(); ++i)
    mlp.set(i, std::sin(static_cast<double>(i) * 1.7 + phase));
  return mlp;
}

struct Case {
  const char* name;
  const char* attention;
};
constexpr Case kCases[] = {
    {"Best", "attention main { mask causal() & (sink(4) then local(8) then top_k(10%)) }"},
    {"All", "attention main { mask top_k(1000) then top_p(1.0) }"},
    {"None", "attention main { mask none() & top_k(3) }"},
    {"Budgets", "attention main { mask top_k(head + 2 + q % 3) then top_k(0) }"},
    {"Mass", "attention main { mask causal() & (sink(2) then top_p(0.6)) }"},
    {"NoMass", "attention main { mask top_p(0.0) then top_k(2) }"},
    {"Random", "attention main { mask causal() & (sink(2) then random(0.3)) }"},
    {"Adaptive",
     "attention main { mask causal() & (sink(2) then top_k(5) then adaptive(base = 20%, epsilon = "
     "0.2, delta = 0.2)) }"},
    {"Weights",
     "attention main { mask sink(3) then adaptive(base = 6, epsilon = 0.05, delta = 0.4) then "
     "random(0.5) then local(20) then top_p(0.3) }"},
    {"Scores",
     "attention main { mask local(60) & (top_k(3) then (k % 5 == 0) then random(0.25)) score "
     "softcap(s, 3.0) score alibi(s) }"},
    {"Pages",
     "attention main { mask causal() & (sink(4) then local(8) then top_k(40, by = "
     "page_bound(16))) }"},
    {"SmallPages",
     "attention main { mask causal() & top_k(30, by = page_bound(7, bits = 4, min_pages = 1)) }"},
    {"PagesByMass", "attention main { mask sink(4) then top_p(0.5, by = page_bound(16)) }"},
    {"NoPages", "attention main { mask top_k(0, by = page_bound(16, min_pages = 0)) }"},
    {"Channels",
     "attention main(table: tensor<i32>[num_heads, 5]) { mask causal() & (sink(4) then top_k(10%, "
     "by = channels(table, bits = 4)) then top_k(3, by = channels(table))) }"},
    {"WideChannels",
     "attention main(table: tensor<i32>[num_heads, 5]) { mask top_k(20, by = channels(table, bits "
     "= 10)) then top_k(9, by = channels(table, bits = 8)) }"},
    {"Hash",
     "attention main(a: tensor<f32>[num_heads, 724], b: tensor<f32>[num_heads, 724]) { mask "
     "causal() & (sink(4) then top_k(20, by = hash_bits(a, b, bits = 40, layers = 2, hidden = 12, "
     "activation = gelu))) }"},
    {"ProductQuantisation",
     "attention main { mask causal() & (local(8) then top_k(20, by = pq_codes(sub_dims = 8, bits = "
     "4)) then top_k(3, by = pq_codes(sub_dims = 3, bits = 5))) }"},
    {"MagicPig",
     "attention main { mask causal() & (sink(4) then magic_pig(tables = 20, bits = 3)) }"},
    {"MagicPigUncentred",
     "attention main { mask local(60) & magic_pig(tables = 8, bits = 2, centre = false) }"},
    {"MagicPigThenAdaptive",
     "attention main { mask magic_pig(tables = 4, bits = 3) then adaptive(base = 10%, epsilon = "
     "0.2, delta = 0.2) score softcap(s, 4.0) }"},
    {"Mixed",
     "attention main { mask causal() & (sink(2) then top_k(16, by = page_bound(4)) then "
     "top_k(8, by = pq_codes(sub_dims = 4, bits = 3)) then top_k(5) then adaptive(base = "
     "10%, epsilon = 0.2, delta = 0.2)) }"},
};

class DeviceSelection : public ::testing::TestWithParam<Case> {
 protected:
  Problem problem() const {
    Problem p{.spec = GetParam().attention,
              .num_heads = 4,
              .num_kv_heads = 2,
              .q_len = 5,
              .kv_len = 170,
              .head_dim = kHeadDim,
              .head_dim_v = 8,
              .weights = false,
              .sampling = {.seed = 3}};
    const std::string text = GetParam().attention;
    if (text.find("channels") != std::string::npos)
      p.tensors.emplace("table", channel_table(p.num_heads));
    if (text.find("hash_bits") != std::string::npos) {
      p.tensors.emplace("a", perceptron(p.num_heads, 0));
      p.tensors.emplace("b", perceptron(p.num_heads, 1));
    }
    return p;
  }
};

TEST_P(DeviceSelection, Rows) {
  const Engine engine(on_emulator());
  testing::expect_reference(engine, problem());
}

TEST_P(DeviceSelection, HalfPrecision) {
  const Engine engine(on_emulator());
  Problem p = problem();
  p.type = GetParam().name[0] % 2 == 0 ? ElementType::BF16 : ElementType::F16;
  p.layout = Layout::RowsFirst;
  p.batch = 2;
  p.q_len = 1;
  p.kv_len = 301;
  testing::expect_reference(engine, p);
}

TEST_P(DeviceSelection, AdditiveMasksAndDenseResults) {
  const Engine engine(on_emulator());
  Problem p = problem();
  p.q_len = 2;
  p.additive = ElementType::F32;
  p.weights = true;
  p.row_max_over_all = true;
  testing::expect_reference(engine, p);
}

INSTANTIATE_TEST_SUITE_P(All, DeviceSelection, ::testing::ValuesIn(kCases),
                         [](const auto& info) { return std::string(info.param.name); });

}  // namespace
}  // namespace maskjit
