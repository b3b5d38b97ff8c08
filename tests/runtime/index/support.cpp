#include "tests/runtime/index/support.h"

#include "runtime/index/tensors.h"
#include "runtime/plan/elements.h"

namespace maskjit::testing {

int64_t pick(Rng& rng, int64_t lo, int64_t hi) {
  return std::uniform_int_distribution<int64_t>(lo, hi)(rng);
}
double uniform(Rng& rng, double lo, double hi) {
  return std::uniform_real_distribution<double>(lo, hi)(rng);
}
double normal(Rng& rng) { return std::normal_distribution<double>()(rng); }

KeyCache::KeyCache(Rng& rng, const KeyIndex::Shape& shape, int64_t capacity)
    : shape_(shape), capacity_(capacity) {
  const int64_t row = shape.head_dim + pick(rng, 0, 3);
  if (pick(rng, 0, 1) == 0) {
    strides_ = {shape.num_kv_heads * capacity * row, capacity * row, row};
  } else {
    strides_ = {capacity * shape.num_kv_heads * row, row, shape.num_kv_heads * row};
  }
  memory_.resize(static_cast<size_t>(shape.batch * strides_[0] + row));
  fill(rng, 0);
}

int64_t KeyCache::offset(int64_t batch, int64_t kv_head, int64_t key, int64_t channel) const {
  return batch * strides_[0] + kv_head * strides_[1] + key * strides_[2] + channel;
}

TensorView KeyCache::view(int64_t first, int64_t count) const {
  TensorView view;
  const int64_t bytes = offset(0, 0, first, 0) * size_of(shape_.element);
  view.data = const_cast<char*>(reinterpret_cast<const char*>(memory_.data())) + bytes;
  view.type = shape_.element;
  view.shape = {shape_.batch, shape_.num_kv_heads, count, shape_.head_dim};
  view.strides = {strides_[0], strides_[1], strides_[2], 1};
  return view;
}

double KeyCache::at(int64_t batch, int64_t kv_head, int64_t key, int64_t channel) const {
  return static_cast<double>(
      plan::load_floating(memory_.data(), shape_.element, offset(batch, kv_head, key, channel)));
}

std::vector<double> KeyCache::row(int64_t batch, int64_t kv_head, int64_t key) const {
  std::vector<double> values;
  for (int64_t d = 0; d < shape_.head_dim; ++d) values.push_back(at(batch, kv_head, key, d));
  return values;
}

void KeyCache::set(int64_t batch, int64_t kv_head, int64_t key, int64_t channel, double value) {
  plan::store_floating(memory_.data(), shape_.element, offset(batch, kv_head, key, channel),
                       static_cast<float>(value));
}

void KeyCache::fill(Rng& rng, int64_t first, double outliers) {
  const double centre = uniform(rng, -1, 1);
  for (int64_t b = 0; b < shape_.batch; ++b) {
    for (int64_t h = 0; h < shape_.num_kv_heads; ++h) {
      for (int64_t k = first; k < capacity_; ++k) {
        const double size = uniform(rng, 0, 1) < outliers ? uniform(rng, 1, 8) : 1;
        const bool repeats = k > 0 && uniform(rng, 0, 1) < 0.05;
        for (int64_t d = 0; d < shape_.head_dim; ++d)
          set(b, h, k, d, repeats ? at(b, h, k - 1, d) : centre + size * normal(rng));
      }
    }
  }
}

std::unique_ptr<OwnedPart> random_part(Rng& rng, PartKind kind, const KeyIndex::Shape& shape) {
  auto owned = std::make_unique<OwnedPart>();
  switch (kind) {
    case PartKind::PageBound:
      owned->part = KeyIndex::PageBound{.page = one_of<int64_t>(rng, {1, 2, 7, 16, 64}),
                                        .bits = one_of<int>(rng, {1, 3, 4, 5, 8, 9, 15, 16, 16})};
      break;
    case PartKind::Channels: {
      const int64_t n = pick(rng, 1, shape.head_dim);
      const int64_t rows = one_of<int64_t>(rng, {shape.num_heads, shape.num_kv_heads, 1});
      for (int64_t i = 0; i < rows * n; ++i)
        owned->table.push_back(static_cast<int32_t>(pick(rng, 0, shape.head_dim - 1)));
      owned->part = KeyIndex::Channels{
          .table = TensorView::contiguous(owned->table.data(), ElementType::I32, {rows, n}),
          .bits = one_of<int>(rng, {2, 4, 6, 8, 12, 16, 16})};
      break;
    }
    case PartKind::HashBits: {
      KeyIndex::HashBits hash;
      hash.bits = one_of<int>(rng, {1, 8, 16, 31, 32, 33, 64, 100});
      hash.layers = static_cast<int>(pick(rng, 1, 3));
      hash.hidden = one_of<int>(rng, {5, 16, 24});
      hash.activation = one_of<KeyIndex::Activation>(
          rng, {KeyIndex::Activation::Relu, KeyIndex::Activation::Silu, KeyIndex::Activation::Gelu,
                KeyIndex::Activation::Tanh});
      const int64_t parameters = index::hash_parameters(hash, shape.head_dim);
      for (std::vector<float>* mlp : {&owned->query_mlp, &owned->key_mlp}) {
        for (int64_t i = 0; i < shape.num_heads * parameters; ++i)
          mlp->push_back(static_cast<float>(0.5 * normal(rng)));
      }
      const std::vector<int64_t> extents = {shape.num_heads, parameters};
      hash.query_mlp = TensorView::contiguous(owned->query_mlp.data(), ElementType::F32, extents);
      hash.key_mlp = TensorView::contiguous(owned->key_mlp.data(), ElementType::F32, extents);
      owned->part = hash;
      break;
    }
    case PartKind::PqCodes:
      owned->part = KeyIndex::PqCodes{.sub_dims = one_of<int>(rng, {1, 2, 3, 8, 16}),
                                      .bits = one_of<int>(rng, {1, 2, 4, 5, 6, 8, 9})};
      break;
    case PartKind::Lsh:
      owned->part = KeyIndex::Lsh{.tables = static_cast<int>(pick(rng, 1, 12)),
                                  .bits = one_of<int>(rng, {1, 3, 8, 9, 16, 20, 33, 64}),
                                  .centre = pick(rng, 0, 2) > 0};
      break;
  }
  return owned;
}

KeyIndex::Shape random_shape(Rng& rng) {
  KeyIndex::Shape shape;
  shape.element = one_of<ElementType>(rng, {ElementType::F32, ElementType::F16, ElementType::BF16});
  shape.batch = pick(rng, 1, 2);
  shape.num_kv_heads = pick(rng, 1, 3);
  shape.num_heads = shape.num_kv_heads * pick(rng, 1, 3);
  shape.head_dim = one_of<int64_t>(rng, {1, 3, 8, 16, 20, 32, 40});
  return shape;
}

KeyIndex make_index(const KeyCache& cache, const KeyIndex::Part& part, uint64_t seed,
                    codegen::HostLevel level) {
  KeyIndex::Execution execution;
  execution.target = codegen::Target{level}.print();
  auto made = KeyIndex::create(cache.shape(), std::span(&part, 1), seed, execution);
  if (!made) throw std::runtime_error(made.error().message);
  const Status updated = made->update(cache.view(cache.capacity()));
  if (!updated) throw std::runtime_error(updated.error().message);
  return *made;
}

std::vector<codegen::HostLevel> levels() {
  std::vector<codegen::HostLevel> result;
  for (const std::string& name : codegen::Target::names()) {
    const auto target = codegen::Target::parse(name);
    if (codegen::Target::executable(*target)) result.push_back(target->level);
  }
  return result;
}

Prepared::Prepared(const KeyIndex& index, size_t part, codegen::HostLevel level, int64_t batch,
                   int64_t head, const std::vector<float>& query)
    : kernels_(index::kernels_of(level)),
      scorer_(index.scorer(part)),
      batch_(static_cast<int32_t>(batch)),
      head_(static_cast<int32_t>(head)),
      kv_head_(static_cast<int32_t>(head / (index.shape().num_heads / index.shape().num_kv_heads))),
      prepared_(static_cast<size_t>(scorer_.scratch_bytes)) {
  kernels_.prepare(&scorer_, batch_, head_, kv_head_, query.data(),
                   static_cast<int32_t>(query.size()), prepared_.data());
}

std::vector<float> Prepared::call(MjScorerScoresFunction function, int64_t begin,
                                  int64_t count) const {
  // Nothing past the last score may be written.
  std::vector<float> scores(static_cast<size_t>(count) + 8, -12345.0f);
  function(&scorer_, batch_, head_, kv_head_, prepared_.data(), begin, static_cast<int32_t>(count),
           scores.data());
  for (size_t i = static_cast<size_t>(count); i < scores.size(); ++i) {
    if (scores[i] != -12345.0f) throw std::runtime_error("a score past the last one was written");
  }
  scores.resize(static_cast<size_t>(count));
  return scores;
}

std::vector<float> Prepared::scores(int64_t begin, int64_t count) const {
  return call(kernels_.scores, begin, count);
}
std::vector<float> Prepared::page_scores(int64_t begin, int64_t count) const {
  return call(kernels_.page_scores, begin, count);
}
float Prepared::lsh_weight(int64_t key, float product) const {
  return kernels_.lsh_weight(&scorer_, batch_, kv_head_, prepared_.data(), key, product);
}

const char* Prepared::row(int i) const {
  const MjIndexRows& rows = scorer_.rows[i];
  return static_cast<const char*>(rows.data) + batch_ * rows.batch_stride +
         (scorer_.by_head != 0 ? head_ : kv_head_) * rows.head_stride;
}

std::vector<float> random_query(Rng& rng, int64_t head_dim) {
  std::vector<float> query;
  for (int64_t d = 0; d < head_dim; ++d) query.push_back(static_cast<float>(normal(rng)));
  return query;
}

double dot(const std::vector<float>& a, const std::vector<double>& b) {
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i) sum += static_cast<double>(a[i]) * b[i];
  return sum;
}

}  // namespace maskjit::testing
