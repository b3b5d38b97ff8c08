// Ranking 32768 keys of 128 bf16 channels by an index for one query of one head, preparing that
// query, and appending a key.
#include <benchmark/benchmark.h>

#include <random>

#include "runtime/index/aligned.h"
#include "runtime/index/kernels.h"
#include "runtime/index/key_index.h"
#include "runtime/plan/elements.h"

namespace maskjit {
namespace {

constexpr int64_t kKeys = 32768, kCapacity = kKeys + 512, kDim = 128, kKvHeads = 2, kHeads = 8;
constexpr int64_t kTile = 1024;

struct Problem {
  std::vector<uint16_t> keys;
  std::vector<float> query;
  std::vector<int32_t> table;
  std::vector<float> mlp;
  std::vector<std::pair<std::string, KeyIndex::Part>> parts;

  Problem() {
    std::mt19937 rng(1);
    std::normal_distribution<float> normal;
    for (int64_t i = 0; i < kKvHeads * kCapacity * kDim; ++i)
      keys.push_back(plan::float_to_bfloat16(normal(rng)));
    for (int64_t d = 0; d < kDim; ++d) query.push_back(normal(rng));
    for (int i = 0; i < kHeads * 16; ++i) table.push_back(static_cast<int32_t>(rng() % kDim));
    const int64_t parameters = 37152;  // 128 -> 128 -> 128 -> 32
    for (int64_t i = 0; i < kHeads * parameters; ++i) mlp.push_back(0.1f * normal(rng));
    const auto channels = TensorView::contiguous(table.data(), ElementType::I32, {kHeads, 16});
    const auto perceptron =
        TensorView::contiguous(mlp.data(), ElementType::F32, {kHeads, parameters});
    parts = {
        {"page_bound_16", KeyIndex::PageBound{.page = 16}},
        {"page_bound_16_4bits", KeyIndex::PageBound{.page = 16, .bits = 4}},
        {"channels_16", KeyIndex::Channels{.table = channels}},
        {"channels_16_4bits", KeyIndex::Channels{.table = channels, .bits = 4}},
        {"hash_32bits", KeyIndex::HashBits{.query_mlp = perceptron, .key_mlp = perceptron}},
        {"pq_16x8bits", KeyIndex::PqCodes{.sub_dims = 8, .bits = 8}},
        {"pq_16x6bits", KeyIndex::PqCodes{.sub_dims = 8, .bits = 6}},
        {"pq_32x4bits", KeyIndex::PqCodes{.sub_dims = 4, .bits = 4}},
        {"lsh_75x8bits", KeyIndex::Lsh{.tables = 75, .bits = 8}},
    };
  }
  TensorView view(int64_t count) const {
    TensorView view = TensorView::contiguous(const_cast<uint16_t*>(keys.data()), ElementType::BF16,
                                             {1, kKvHeads, kCapacity, kDim});
    view.shape[2] = count;
    return view;
  }
  KeyIndex index(const KeyIndex::Part& part) const {
    const KeyIndex::Shape shape = {ElementType::BF16, 1, kHeads, kKvHeads, kDim};
    KeyIndex made = *KeyIndex::create(shape, std::span(&part, 1), 1);
    (void)made.update(view(kKeys));
    return made;
  }
};

const Problem& problem() {
  static const Problem shared;
  return shared;
}

void score(benchmark::State& state, const KeyIndex::Part& part) {
  const KeyIndex index = problem().index(part);
  const MjScorer scorer = index.scorer(0);
  const auto kernels = index::kernels_of(codegen::Target::host().level);
  index::AlignedVector<char> prepared(static_cast<size_t>(scorer.scratch_bytes));
  kernels.prepare(&scorer, 0, 0, 0, problem().query.data(), kDim, prepared.data());
  const bool pages = std::holds_alternative<KeyIndex::PageBound>(part);
  const int64_t rows = pages ? kKeys / std::get<KeyIndex::PageBound>(part).page : kKeys;
  std::vector<float> scores(static_cast<size_t>(rows));
  for (auto _ : state) {
    for (int64_t at = 0; at < rows; at += kTile) {
      (pages ? kernels.page_scores : kernels.scores)(&scorer, 0, 0, 0, prepared.data(), at, kTile,
                                                     scores.data() + at);
    }
    benchmark::ClobberMemory();
  }
  state.counters["index_bytes_per_key"] =
      static_cast<double>(index.bytes()) / static_cast<double>(kKvHeads * kKeys);
}

void prepare(benchmark::State& state, const KeyIndex::Part& part) {
  const KeyIndex index = problem().index(part);
  const MjScorer scorer = index.scorer(0);
  const auto kernels = index::kernels_of(codegen::Target::host().level);
  index::AlignedVector<char> prepared(static_cast<size_t>(scorer.scratch_bytes));
  for (auto _ : state) {
    kernels.prepare(&scorer, 0, 0, 0, problem().query.data(), kDim, prepared.data());
    benchmark::ClobberMemory();
  }
}

// One key more, over and over; a roll-back to where it began is not timed.
void append(benchmark::State& state, const KeyIndex::Part& part) {
  KeyIndex index = problem().index(part);
  (void)index.update(problem().view(kCapacity));
  int64_t size = kKeys + 1;
  (void)index.update(problem().view(size));
  for (auto _ : state) {
    if (size == kCapacity) {
      state.PauseTiming();
      size = kKeys + 1;
      (void)index.update(problem().view(size));
      state.ResumeTiming();
    }
    (void)index.update(problem().view(++size));
  }
}

}  // namespace
}  // namespace maskjit

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  for (const auto& [name, part] : maskjit::problem().parts) {
    const auto add = [&](const char* what, auto run) {
      benchmark::RegisterBenchmark((name + "/" + what).c_str(), [run,
                                                                 part](benchmark::State& state) {
        run(state, part);
      })->Unit(benchmark::kMicrosecond);
    };
    add("score", maskjit::score);
    add("prepare", maskjit::prepare);
    add("append", maskjit::append);
  }
  benchmark::RunSpecifiedBenchmarks();
}
