// Product quantisation. The codebooks of n keys are those of the first 2^floor(log2 n), which
// change only where n doubles: they are trained on up to 4096 of these keys, spread evenly.
#include <bit>

#include "runtime/index/kmeans.h"
#include "runtime/index/part.h"
#include "runtime/index/random.h"

namespace maskjit::index {
namespace {

constexpr int64_t kTrainingKeys = 4096;

class PqCodes final : public PartData {
 public:
  PqCodes(const Setting& setting, const IndexKernels& kernels, const KeyIndex::PqCodes& options)
      : PartData(setting, kernels, MJ_SCORER_PQ_CODES, false), options_(options) {
    add_blocks(0, mj_strips_of_codes(groups(), options.bits), mj_code_bytes(options.bits));
  }

  bool matches(const KeyIndex::Part& part) const override {
    const auto* other = std::get_if<KeyIndex::PqCodes>(&part);
    return other != nullptr && other->sub_dims == options_.sub_dims && other->bits == options_.bits;
  }
  std::string describe() const override {
    return fmt::format("pq_codes(sub_dims = {}, bits = {})", options_.sub_dims, options_.bits);
  }
  void write_options(Writer& writer) const override {
    writer.number(options_.sub_dims);
    writer.number(options_.bits);
  }
  int64_t bytes() const override {
    return PartData::bytes() +
           static_cast<int64_t>((codebooks_.size() + norms_.size()) * sizeof(float));
  }

 private:
  int32_t head_dim() const { return static_cast<int32_t>(setting_.shape.head_dim); }
  int32_t groups() const { return (head_dim() + options_.sub_dims - 1) / options_.sub_dims; }
  int32_t centroids_of(int64_t epoch) const {
    return static_cast<int32_t>(
        std::min(std::min(int64_t{1} << options_.bits, kTrainingKeys), epoch));
  }
  int64_t key_heads() const { return setting_.shape.batch * setting_.shape.num_kv_heads; }
  size_t codebook_size(int32_t padded) const {
    return static_cast<size_t>(key_heads() * head_dim() * padded);
  }
  size_t norms_size(int32_t padded) const {
    return static_cast<size_t>(key_heads() * groups() * padded);
  }

  void prepare(const Keys& keys, int64_t unchanged, const Workers& workers,
               std::vector<int64_t>& from) override {
    const int64_t epoch = epoch_of(keys.count);
    if (epoch == epoch_ && unchanged >= epoch) return;
    if (epoch == 0) {
      forget();
      return;
    }
    const int32_t centroids = centroids_of(epoch);
    const int32_t padded = mj_pad_lanes(centroids);
    codebooks_.assign(codebook_size(padded), 0);
    norms_.assign(norms_size(padded), 0);
    epoch_ = epoch;
    centroids_ = centroids;
    std::fill(from.begin(), from.end(), 0);
    work_a_key_ = static_cast<double>(head_dim()) * padded;

    const std::vector<int64_t> training = training_keys(epoch);
    const auto points = static_cast<int64_t>(training.size());
    const int64_t items = key_heads() * groups();
    const int count = workers.count(
        items, static_cast<double>(key_heads() * points) * work_a_key_ * kLloydIterations);
    const int32_t widest = std::min(options_.sub_dims, head_dim());
    std::vector<KMeans> by_worker, of_last;
    const int32_t last_dims = head_dim() - (groups() - 1) * options_.sub_dims;
    for (int w = 0; w < count; ++w) {
      by_worker.emplace_back(kernels_.nearest, points, widest, centroids);
      of_last.emplace_back(kernels_.nearest, points, last_dims, centroids);
    }
    const Random random(setting_.seed, Random::Stream::FirstCentroids);
    workers.each(count, items, [&](int worker, int64_t item) {
      const auto head = static_cast<uint32_t>(item / groups());  // of all sequences
      const auto group = static_cast<int32_t>(item % groups());
      const bool is_last = group + 1 == groups();
      KMeans& kmeans = (is_last ? of_last : by_worker)[static_cast<size_t>(worker)];
      const int32_t dims = is_last ? last_dims : widest;
      const int64_t batch = head / setting_.shape.num_kv_heads;
      const char* rows = keys.rows(batch, head % setting_.shape.num_kv_heads);
      const int64_t first = int64_t{group} * options_.sub_dims;
      for (int64_t i = 0; i < points; ++i) {
        keys.widen(rows + training[static_cast<size_t>(i)] * keys.row_bytes, first, dims,
                   kmeans.points() + i * dims);
      }
      kmeans.train([&](int32_t i) {
        return random.uniform(
            static_cast<uint32_t>(i), static_cast<uint32_t>(group), head,
            static_cast<uint32_t>(std::countr_zero(static_cast<uint64_t>(epoch))));
      });
      std::ranges::copy(kmeans.codebook(),
                        codebooks_.begin() + (head * int64_t{head_dim()} + first) * padded);
      std::ranges::copy(kmeans.norms(), norms_.begin() + item * padded);
    });
  }

  // One key of each of as many equal stretches.
  std::vector<int64_t> training_keys(int64_t epoch) const {
    const int64_t count = std::min(epoch, kTrainingKeys);
    const int64_t stretch = epoch / count;
    const Random random(setting_.seed, Random::Stream::TrainingKeys);
    std::vector<int64_t> keys(static_cast<size_t>(count));
    for (int64_t i = 0; i < count; ++i) {
      const auto words = random.words(static_cast<uint32_t>(i));
      keys[static_cast<size_t>(i)] = i * stretch + words[0] % stretch;
    }
    return keys;
  }

  void forget() override {
    epoch_ = 0;
    centroids_ = 0;
    codebooks_.clear();
    norms_.clear();
  }

  void fill(MjScorer& scorer) const override {
    scorer.numbers[0] = options_.sub_dims;
    scorer.numbers[1] = options_.bits;
    scorer.numbers[2] = centroids_;
    scorer.numbers[3] = head_dim();
    const int64_t padded = mj_pad_lanes(centroids_);
    const auto rows = [&](const AlignedVector<float>& values, int64_t numbers) {
      const int64_t stride = numbers * padded * int64_t{sizeof(float)};
      return MjIndexRows{values.data(), setting_.shape.num_kv_heads * stride, stride, 0};
    };
    scorer.rows[1] = rows(codebooks_, head_dim());
    scorer.rows[2] = rows(norms_, groups());
  }

  void write_state(Writer& writer) const override {
    writer.array(codebooks_);
    writer.array(norms_);
  }
  bool read_state(Reader& reader, int64_t keys) override {
    epoch_ = epoch_of(keys);
    centroids_ = centroids_of(epoch_);
    const int32_t padded = mj_pad_lanes(centroids_);
    work_a_key_ = static_cast<double>(head_dim()) * padded;
    if (!reader.has((codebook_size(padded) + norms_size(padded)) * sizeof(float))) return false;
    codebooks_.resize(codebook_size(padded));
    norms_.resize(norms_size(padded));
    return reader.array(codebooks_) && reader.array(norms_);
  }
  // Codes are subscripts of tables.
  bool rows_are_valid(int64_t keys) const override {
    const MjScorer made = scorer();
    for (int64_t head = 0; head < key_heads(); ++head) {
      const int64_t batch = head / setting_.shape.num_kv_heads;
      const char* blocks = static_cast<const char*>(made.rows[0].data) +
                           batch * made.rows[0].batch_stride +
                           head % setting_.shape.num_kv_heads * made.rows[0].head_stride;
      const int64_t blocks_a_head = (keys + mj_index_block - 1) / mj_index_block;
      const auto bytes = static_cast<size_t>(blocks_a_head * made.rows[0].row_stride);
      if (!codes_are_valid(blocks, bytes)) return false;
    }
    return true;
  }
  bool codes_are_valid(const char* codes, size_t bytes) const {
    const auto* numbers = reinterpret_cast<const uint8_t*>(codes);
    for (size_t i = 0; i < bytes; i += static_cast<size_t>(mj_code_bytes(options_.bits))) {
      if (options_.bits <= 4) {
        if ((numbers[i] & 15) >= centroids_ || numbers[i] >> 4 >= centroids_) return false;
        continue;
      }
      const int32_t code = options_.bits <= 8 ? numbers[i] : numbers[i] | numbers[i + 1] << 8;
      if (code >= centroids_) return false;
    }
    return true;
  }

  const KeyIndex::PqCodes options_;
  int64_t epoch_ = 0;
  int32_t centroids_ = 0;
  AlignedVector<float> codebooks_;  // [batch, kv heads][head_dim][padded]
  AlignedVector<float> norms_;      // [batch, kv heads][groups][padded]
};

}  // namespace

std::unique_ptr<PartData> make_pq(const Setting& setting, const IndexKernels& kernels,
                                  const KeyIndex::PqCodes& options) {
  return std::make_unique<PqCodes>(setting, kernels, options);
}

}  // namespace maskjit::index
