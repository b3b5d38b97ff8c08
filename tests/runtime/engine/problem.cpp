#include "tests/runtime/engine/problem.h"

#include <sys/mman.h>

#include <atomic>
#include <cfloat>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <list>

#include "masker_dsl/interp/selection.h"
#include "runtime/index/kernels.h"
#include "runtime/mask/bit_rows.h"
#include "runtime/plan/elements.h"

namespace maskjit::testing {
namespace {

bool is_floating(ElementType type) {
  return type == ElementType::F32 || type == ElementType::F16 || type == ElementType::BF16;
}

// How far a result of this type may be from the reference, relative to the magnitude of what was
// summed.
double tolerance(ElementType type) {
  switch (type) {
    case ElementType::F16:
      return 1e-3;
    case ElementType::BF16:
      return 1e-2;
    default:
      return 1e-5;
  }
}

void expect_near(const std::string& what, const Tensor& got, const std::vector<double>& want,
                 double absolute, const std::function<double(int64_t)>& scale) {
  ASSERT_EQ(static_cast<size_t>(got.size()), want.size()) << what;
  int reported = 0;
  for (int64_t i = 0; i < got.size(); ++i) {
    const double g = got.at(i);
    const double w = want[static_cast<size_t>(i)];
    if (g == w || std::abs(g - w) <= absolute * std::max(1.0, scale(i))) continue;
    ADD_FAILURE() << what << "[" << i << "] is " << g << ", the reference gives " << w;
    if (++reported == 3) return;
  }
  EXPECT_TRUE(got.gaps_untouched()) << what;
}

// `bytes` of memory between two pages without access, at the end (or the start) of what lies
// between them.
std::shared_ptr<void> guarded_pages(size_t bytes, bool at_end, std::span<uint8_t>& memory) {
  constexpr size_t kPage = 4096;
  const size_t inner = (bytes + kPage - 1) / kPage * kPage;
  const size_t all = inner + 2 * kPage;
  void* pages = mmap(nullptr, all, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (pages == MAP_FAILED) std::abort();
  uint8_t* first = static_cast<uint8_t*>(pages) + kPage;
  if (mprotect(first, inner, PROT_READ | PROT_WRITE) != 0) std::abort();
  memory = {at_end ? first + inner - bytes : first, bytes};
  return {pages, [all](void* p) { munmap(p, all); }};
}

}  // namespace

Tensor::Tensor(ElementType type, std::vector<int64_t> shape, Layout layout) {
  view_ = TensorView::contiguous(nullptr, type, std::move(shape));
  const size_t rank = view_.shape.size();
  if (rank == 4 && layout != Layout::HeadsFirst) {
    const int64_t gap = layout == Layout::Padded ? 5 : 0;
    view_.strides[3] = 1;
    view_.strides[1] = view_.shape[3] + gap;
    view_.strides[2] = view_.strides[1] * view_.shape[1] + gap;
    view_.strides[0] = view_.strides[2] * view_.shape[2] + gap;
  }
  int64_t last = 0;
  for (size_t d = 0; d < rank; ++d) {
    last += std::max<int64_t>(view_.shape[d] - 1, 0) * view_.strides[d];
  }
  static std::atomic<unsigned> count{0};
  const auto bytes = static_cast<size_t>((last + 1) * size_of(type));
  pages_ = guarded_pages(bytes, count++ % 4 != 0, bytes_);
  std::memset(bytes_.data(), poison(), bytes);
  view_.data = bytes_.data();
}

uint8_t Tensor::poison() const { return is_floating(view_.type) ? 0xFF : 0x7F; }

int64_t Tensor::offset(int64_t index) const {
  int64_t result = 0;
  for (size_t d = view_.shape.size(); d-- > 0;) {
    result += index % view_.shape[d] * view_.strides[d];
    index /= view_.shape[d];
  }
  return result;
}

double Tensor::at(int64_t index) const {
  const int64_t at = offset(index);
  if (is_floating(view_.type)) return plan::load_floating(view_.data, view_.type, at);
  switch (view_.type) {
    case ElementType::I32:
      return static_cast<const int32_t*>(view_.data)[at];
    case ElementType::I64:
      return static_cast<double>(static_cast<const int64_t*>(view_.data)[at]);
    case ElementType::F64:
      return static_cast<const double*>(view_.data)[at];
    default:
      return static_cast<const uint8_t*>(view_.data)[at];
  }
}

void Tensor::set(int64_t index, double value) {
  const int64_t at = offset(index);
  if (is_floating(view_.type)) {
    plan::store_floating(view_.data, view_.type, at, static_cast<float>(value));
    return;
  }
  switch (view_.type) {
    case ElementType::I32:
      static_cast<int32_t*>(view_.data)[at] = static_cast<int32_t>(value);
      break;
    case ElementType::I64:
      static_cast<int64_t*>(view_.data)[at] = static_cast<int64_t>(value);
      break;
    case ElementType::F64:
      static_cast<double*>(view_.data)[at] = value;
      break;
    default:
      static_cast<uint8_t*>(view_.data)[at] = static_cast<uint8_t>(value);
  }
}

std::vector<double> Tensor::values() const {
  std::vector<double> result(static_cast<size_t>(size()));
  for (int64_t i = 0; i < size(); ++i) result[static_cast<size_t>(i)] = at(i);
  return result;
}

bool Tensor::gaps_untouched() const {
  std::vector<uint8_t> expected(bytes_.size(), poison());
  const auto bytes = static_cast<size_t>(size_of(view_.type));
  for (int64_t i = 0; i < size(); ++i) {
    const size_t at = static_cast<size_t>(offset(i)) * bytes;
    std::memcpy(expected.data() + at, bytes_.data() + at, bytes);
  }
  return std::ranges::equal(expected, bytes_);
}

EngineOptions memory_only() {
  EngineOptions options;
  options.cache_mode = CacheMode::Off;
  return options;
}

namespace {

// An explicit mask as the interpreter reads it.
struct SeenMask {
  explicit SeenMask(Mask of)
      : mask(std::move(of)), weights(Tensor(ElementType::F32, mask.shape())) {
    EXPECT_TRUE(mask.to_dense(weights.view()).ok());
    const BitRows& bits = **mask.bits();
    value.element = ir::Element::Bit;
    value.data = bits.words.data();
    value.extents = mask.shape();
    value.strides.assign(mask.shape().size(), 1);
    int64_t stride = bits.row_words * 64;
    for (size_t d = mask.shape().size() - 1; d-- > 0;) {
      value.strides[d] = stride;
      stride *= mask.shape()[d];
    }
    padded.resize(bits.words.size() * 64);
    for (int64_t i = 0; i < weights.size(); ++i) {
      const int64_t row = i / bits.columns, column = i % bits.columns;
      padded[static_cast<size_t>(row * bits.row_words * 64 + column)] =
          static_cast<float>(weights.at(i));
    }
    value.weights = padded.data();
  }
  Mask mask;
  Tensor weights;
  std::vector<float> padded;
  interp::TensorValue value;
};

// interp::SelectionInputs::scores, by the index and its microkernels, whose own tests are those of
// runtime/index.
std::vector<std::vector<double>> scores_by_index(const detail::AttentionState& attention,
                                                 const KeyIndex& index,
                                                 const interp::AttentionInputs& inputs) {
  const codegen::Target& target = attention.engine->target;
  const index::IndexKernels kernels =
      index::kernels_of((target.is_host() ? target : codegen::Target::host()).level);
  const interp::AttentionShape& shape = inputs.shape;
  std::vector<std::vector<double>> all;
  const double scale = inputs.scale.value_or(1 / std::sqrt(static_cast<double>(shape.head_dim)));
  for (size_t s = 0; s < attention.signature.stages.size(); ++s) {
    const plan::StageParameter& stage = attention.signature.stages[s];
    const bool scaled = attention.bound.program.stages[s].rule == ir::Stage::Rule::TopP;
    std::vector<double>& scores = all.emplace_back();
    if (!stage.part) continue;
    const MjScorer scorer = index.scorer(*index.find(*stage.part));
    const auto bytes = static_cast<size_t>(scorer.scratch_bytes);
    std::unique_ptr<void, decltype(&std::free)> prepared(std::aligned_alloc(64, bytes), std::free);
    std::vector<float> query(static_cast<size_t>(shape.head_dim));
    std::vector<float> row(static_cast<size_t>(shape.kv_len));
    for (int64_t r = 0; r < shape.batch * shape.num_heads * shape.q_len; ++r) {
      const auto head = static_cast<int32_t>(r / shape.q_len % shape.num_heads);
      const auto batch = static_cast<int32_t>(r / shape.q_len / shape.num_heads);
      const auto kv_head = static_cast<int32_t>(head / (shape.num_heads / shape.num_kv_heads));
      for (size_t d = 0; d < query.size(); ++d)
        query[d] = static_cast<float>(inputs.query[static_cast<size_t>(r * shape.head_dim) + d]);
      kernels.prepare(&scorer, batch, head, kv_head, query.data(),
                      static_cast<int32_t>(shape.head_dim), prepared.get());
      kernels.scores(&scorer, batch, head, kv_head, prepared.get(), 0,
                     static_cast<int32_t>(shape.kv_len), row.data());
      for (int64_t k = 0; k < shape.kv_len; ++k) {
        double score = row[static_cast<size_t>(k)];
        if (scorer.kind == MJ_SCORER_LSH && score > 0) {
          double product = 0;
          const int64_t key = (batch * shape.num_kv_heads + kv_head) * shape.kv_len + k;
          for (int64_t d = 0; d < shape.head_dim; ++d) {
            product += inputs.query[static_cast<size_t>(r * shape.head_dim + d)] *
                       inputs.key[static_cast<size_t>(key * shape.head_dim + d)];
          }
          score = kernels.lsh_weight(&scorer, batch, kv_head, prepared.get(), k,
                                     static_cast<float>(product));
        } else if (scorer.kind != MJ_SCORER_LSH) {
          // top_p takes estimates of <q, k> to be scaled as products are.
          score *= scaled ? scale : 1.0;
        }
        scores.push_back(score);
      }
    }
  }
  return all;
}

}  // namespace

void expect_reference(const Engine& engine, const Problem& p) {
  const auto spec = engine.load_text(p.spec);
  ASSERT_TRUE(spec) << spec.error().message;
  const auto attention = spec->bind(p.baked);
  ASSERT_TRUE(attention) << attention.error().message;

  std::mt19937 random(7);
  std::normal_distribution<double> normal;
  const auto random_tensor = [&](std::vector<int64_t> shape) {
    Tensor tensor(p.type, std::move(shape), p.layout);
    for (int64_t i = 0; i < tensor.size(); ++i) tensor.set(i, normal(random));
    return tensor;
  };
  const Tensor query = random_tensor({p.batch, p.num_heads, p.q_len, p.head_dim});
  const Tensor key = random_tensor({p.batch, p.num_kv_heads, p.kv_len, p.head_dim});
  const Tensor value = random_tensor({p.batch, p.num_kv_heads, p.kv_len, p.head_dim_v});

  AttentionInputs inputs;
  inputs.query = query.view();
  inputs.key = key.view();
  inputs.value = value.view();
  inputs.scale = p.scale;
  inputs.q_offset = p.q_offset;
  inputs.runtime = p.runtime;
  inputs.row_max_over_all = p.row_max_over_all;
  inputs.dropout = p.dropout;
  inputs.sampling = p.sampling;
  for (const auto& [name, tensor] : p.tensors) inputs.tensors.emplace(name, tensor.view());

  interp::AttentionInputs reference;
  reference.shape = {p.batch,  p.num_heads, p.num_kv_heads, p.q_len,
                     p.kv_len, p.head_dim,  p.head_dim_v};
  const auto query_values = query.values(), key_values = key.values(),
             value_values = value.values();
  reference.query = query_values;
  reference.key = key_values;
  reference.value = value_values;
  if (p.scale) reference.scale = *p.scale;
  reference.q_offset = p.q_offset;

  if (p.dropout) {
    reference.dropout.emplace(*p.dropout->probability, p.dropout->seed, p.dropout->offset,
                              p.dropout->renormalise.value_or(false));
  }

  Tensor additive;
  std::vector<double> additive_values;
  if (p.additive) {
    std::vector<int64_t> shape = p.additive_shape;
    if (shape.empty()) shape = {p.batch, p.num_heads, p.q_len, p.kv_len};
    additive = Tensor(*p.additive, shape, p.layout);
    const double lowest = *p.additive == ElementType::F16    ? -65504
                          : *p.additive == ElementType::BF16 ? -0x1.FEp127
                                                             : -double{FLT_MAX};
    const double excluded = p.additive_is_finite ? lowest : -INFINITY;
    for (int64_t i = 0; i < additive.size(); ++i) {
      const bool out = random() % 3 == 0;
      additive.set(i, *p.additive == ElementType::Bool ? (out ? 0.0 : 1.0)
                      : out                            ? excluded
                                                       : normal(random));
    }
    inputs.additive_mask = additive.view();
    additive_values = additive.values();
    interp::AdditiveMask mask;
    mask.values = additive_values;
    std::copy(shape.begin(), shape.end(), mask.extents.begin());
    mask.boolean = *p.additive == ElementType::Bool;
    mask.lowest = lowest;
    reference.additive = mask;
  }
  const ir::Function& function = attention->state().bound.program.function;
  for (const ir::Param& param : function.params()) {
    ir::Scalar scalar = param.default_value.value_or(ir::Scalar{param.type, 0, 0});
    if (const auto given = p.runtime.find(param.name); given != p.runtime.end()) {
      if (const auto* integer = std::get_if<int64_t>(&given->second)) {
        scalar = param.type == ir::Type::Float ? ir::Scalar::of_float(static_cast<double>(*integer))
                                               : ir::Scalar::of_int(*integer);
      }
      if (const auto* real = std::get_if<double>(&given->second))
        scalar = ir::Scalar::of_float(*real);
    }
    reference.params.push_back(scalar);
  }
  std::list<SeenMask> seen;
  inputs.masks = p.masks;
  for (const ir::Tensor& tensor : function.tensors()) {
    if (tensor.element == ir::Element::Bit) {
      const auto given = p.masks.find(tensor.name);
      seen.emplace_back(given != p.masks.end()
                            ? given->second
                            : *Mask::from_dense(p.tensors.at(tensor.name).view()));
      reference.tensors.push_back(seen.back().value);
      continue;
    }
    const TensorView& view = p.tensors.at(tensor.name).view();
    reference.tensors.push_back({view.data, tensor.element, view.shape, view.strides});
  }
  std::optional<KeyIndex> index;
  if (attention->state().signature.needs_index()) {
    auto made = attention->make_index(inputs);
    ASSERT_TRUE(made) << made.error().message;
    index = std::move(*made);
  }
  std::vector<double> kept;
  const ir::Program& program = attention->state().bound.program;
  if (!program.stages.empty()) {
    kept = interp::select_entries(program, reference,
                                  {p.sampling.seed, p.sampling.offset,
                                   index ? scores_by_index(attention->state(), *index, reference)
                                         : std::vector<std::vector<double>>{}});
    reference.kept = kept;
  }
  const interp::AttentionResults want = interp::reference_attention(
      function, reference, {.dense_weights = p.weights, .row_max_over_all = p.row_max_over_all});

  const std::vector<int64_t> rows = {p.batch, p.num_heads, p.q_len};
  const std::vector<int64_t> values = {p.batch, p.num_heads, p.q_len, p.head_dim_v};
  Tensor output(p.type, values, p.layout), numerator(ElementType::F32, values, p.layout);
  Tensor lse(ElementType::F32, rows), row_max(ElementType::F32, rows),
      denominator(ElementType::F32, rows);
  Tensor weights(ElementType::F32, {p.batch, p.num_heads, p.q_len, p.kv_len}, p.layout);
  AttentionOutputs outputs;
  outputs.output = output.view();
  outputs.lse = lse.view();
  outputs.row_max = row_max.view();
  outputs.numerator = numerator.view();
  outputs.denominator = denominator.view();
  if (p.weights) outputs.weights = weights.view();

  const Status done = attention->run(inputs, outputs);
  ASSERT_TRUE(done) << done.error().message;
  const double e = tolerance(p.type);
  const double f = std::max(1e-5, e / 8);
  const auto plain = [](int64_t) { return 4.0; };
  const auto sums = [&](int64_t i) {
    return want.denominator[static_cast<size_t>(i / p.head_dim_v)] * 4.0;
  };
  expect_near("output", output, want.output, e, plain);
  expect_near("lse", lse, want.lse, f, plain);
  expect_near("row_max", row_max, want.row_max, f, plain);
  expect_near("denominator", denominator, want.denominator, f,
              [&](int64_t i) { return 4.0 * want.denominator[static_cast<size_t>(i)]; });
  expect_near("numerator", numerator, want.numerator, std::max(e, 1e-5), sums);
  if (p.weights) expect_near("weights", weights, want.weights, f, plain);

  // The same with one result alone, for which the template may be another one.
  Tensor alone(p.type, values, p.layout);
  const Status again = attention->run(inputs, {.output = alone.view()});
  ASSERT_TRUE(again) << again.error().message;
  expect_near("output alone", alone, want.output, e, plain);

  if (!index) return;
  // An index that is kept gives the bits of one that the call makes; its tensors are not asked for.
  inputs.index = index;
  for (const plan::StageParameter& stage : attention->state().signature.stages) {
    for (const auto& [name, tensor] : stage.tensors) inputs.tensors.erase(tensor);
  }
  Tensor indexed(p.type, values, p.layout);
  const Status with_index = attention->run(inputs, {.output = indexed.view()});
  ASSERT_TRUE(with_index) << with_index.error().message;
  EXPECT_EQ(indexed.values(), alone.values());
}

}  // namespace maskjit::testing
