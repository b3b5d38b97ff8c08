// Random-projection codes. The centre of n keys is the mean of the first 2^floor(log2 n); the norm
// N is at least that of every key less its centre, rounded up to a power of 2^(1/8). So the codes
// of old keys change only where n doubles or a norm passes such a power: any centre, and any N that
// is not too small, gives valid codes.
#include <cmath>

#include "runtime/index/part.h"
#include "runtime/index/random.h"

namespace maskjit::index {
namespace {

constexpr int32_t kNoLevel = INT32_MIN;

// 2^(level / 4): the square of 2^(level / 8).
double square_of(int32_t level) {
  static constexpr double kQuarters[] = {1, 1.189207115002721, 1.4142135623730951,
                                         1.681792830507429};
  return std::ldexp(kQuarters[level & 3], level >> 2);
}

// The least level whose square is at least `square`; kNoLevel for 0 and what is not finite.
int32_t level_of(double square) {
  if (!(square > 0) || !std::isfinite(square)) return kNoLevel;
  int exponent = 0;
  std::frexp(square, &exponent);
  int32_t level = 4 * (exponent - 1);
  while (square_of(level) < square) ++level;
  return level;
}

class Lsh final : public PartData {
 public:
  Lsh(const Setting& setting, const IndexKernels& kernels, const KeyIndex::Lsh& options)
      : PartData(setting, kernels, MJ_SCORER_LSH, false),
        options_(options),
        heads_(static_cast<size_t>(setting.shape.batch * setting.shape.num_kv_heads)) {
    add_blocks(0, options.tables, mj_lsh_code_bytes(options.bits));
    if (options.centre) add_blocks(3, 1, 4);
    state_.resize(heads_.size() * static_cast<size_t>(state_stride()));
    draw_projections();
    work_a_key_ = static_cast<double>(setting.shape.head_dim) * padded();
    forget();
  }

  bool matches(const KeyIndex::Part& part) const override {
    const auto* other = std::get_if<KeyIndex::Lsh>(&part);
    return other != nullptr && other->tables == options_.tables && other->bits == options_.bits &&
           other->centre == options_.centre;
  }
  std::string describe() const override {
    return fmt::format("lsh(tables = {}, bits = {}, centre = {})", options_.tables, options_.bits,
                       options_.centre);
  }
  void write_options(Writer& writer) const override {
    writer.number(options_.tables);
    writer.number(options_.bits);
    writer.number(static_cast<uint8_t>(options_.centre));
  }
  int64_t bytes() const override {
    return PartData::bytes() +
           static_cast<int64_t>((state_.size() + projections_.size()) * sizeof(float));
  }

 private:
  // A key whose norm is the first to need a level above all before it.
  struct Record {
    int64_t key;
    int32_t level;
  };

  int64_t head_dim() const { return setting_.shape.head_dim; }
  int32_t padded() const { return mj_pad_lanes(options_.tables * options_.bits); }
  int64_t state_stride() const { return (1 + head_dim() + 15) / 16 * 16; }
  float* state(size_t head) { return state_.data() + head * static_cast<size_t>(state_stride()); }

  // Standard normal numbers: column t * bits + b is bit b of table t.
  void draw_projections() {
    const Random random(setting_.seed, Random::Stream::Projections);
    const int32_t columns = options_.tables * options_.bits;
    projections_.resize(static_cast<size_t>((head_dim() + 1) * padded()));
    for (int64_t d = 0; d <= head_dim(); d += 2) {
      float* row = projections_.data() + d * padded();
      for (int32_t j = 0; j < columns; ++j) {
        const auto [a, b] = random.normals(static_cast<uint32_t>(j), static_cast<uint32_t>(d / 2));
        row[j] = static_cast<float>(a);
        if (d < head_dim()) row[padded() + j] = static_cast<float>(b);
      }
    }
  }

  void prepare(const Keys& keys, int64_t unchanged, const Workers& workers,
               std::vector<int64_t>& from) override {
    const int64_t epoch = options_.centre ? epoch_of(keys.count) : 0;
    const bool moved = options_.centre && (epoch != epoch_ || unchanged < epoch);
    epoch_ = epoch;
    const auto items = static_cast<int64_t>(heads_.size());
    const double todo = static_cast<double>(keys.count - (moved ? 0 : unchanged));
    const int count =
        workers.count(items, static_cast<double>(items * head_dim()) * (2 * todo + 1));
    const auto width = static_cast<size_t>(head_dim());
    std::vector<float> rows(width * static_cast<size_t>(count));
    std::vector<double> sums(width * static_cast<size_t>(count));
    workers.each(count, items, [&](int worker, int64_t item) {
      float* row = rows.data() + width * static_cast<size_t>(worker);
      double* sum = sums.data() + width * static_cast<size_t>(worker);
      const auto head = static_cast<size_t>(item);
      const char* data =
          keys.rows(item / setting_.shape.num_kv_heads, item % setting_.shape.num_kv_heads);
      float* norm = state(head);
      float* centre = norm + 1;
      std::vector<Record>& records = heads_[head];
      int64_t start = unchanged;
      if (moved) {
        start = 0;
        centre_of(keys, data, epoch, row, sum, centre);
      }
      while (!records.empty() && records.back().key >= start) records.pop_back();
      for (int64_t k = start; k < keys.count; ++k) {
        keys.widen(data + k * keys.row_bytes, 0, head_dim(), row);
        double square = 0;
        for (size_t d = 0; d < width; ++d) {
          const float difference = row[d] - centre[d];
          square += static_cast<double>(difference) * static_cast<double>(difference);
        }
        const int32_t level = level_of(square);
        if (level != kNoLevel && (records.empty() || level > records.back().level))
          records.push_back({k, level});
      }
      const float before = *norm;
      *norm = norm_of(records);
      if (moved || *norm != before) from[head] = 0;
    });
  }

  void centre_of(const Keys& keys, const char* data, int64_t count, float* row, double* sum,
                 float* centre) const {
    const auto width = static_cast<size_t>(head_dim());
    std::fill(sum, sum + width, 0.0);
    for (int64_t k = 0; k < count; ++k) {
      keys.widen(data + k * keys.row_bytes, 0, head_dim(), row);
      for (size_t d = 0; d < width; ++d) sum[d] += static_cast<double>(row[d]);
    }
    for (size_t d = 0; d < width; ++d)
      centre[d] = static_cast<float>(sum[d] / static_cast<double>(std::max<int64_t>(count, 1)));
  }

  // 1 where every key is the centre: any positive number would do.
  static float norm_of(const std::vector<Record>& records) {
    if (records.empty()) return 1;
    return static_cast<float>(std::sqrt(square_of(records.back().level)));
  }

  void forget() override {
    epoch_ = 0;
    for (size_t head = 0; head < heads_.size(); ++head) {
      heads_[head].clear();
      std::fill_n(state(head), state_stride(), 0.0f);
      *state(head) = 1;
    }
  }

  void fill(MjScorer& scorer) const override {
    scorer.numbers[0] = options_.tables;
    scorer.numbers[1] = options_.bits;
    scorer.numbers[2] = static_cast<int32_t>(head_dim());
    scorer.numbers[3] = options_.centre ? 1 : 0;
    const int64_t stride = state_stride() * int64_t{sizeof(float)};
    scorer.rows[1] = {state_.data(), setting_.shape.num_kv_heads * stride, stride, 0};
    scorer.rows[2] = {projections_.data(), 0, 0, 0};
  }

  void write_state(Writer& writer) const override {
    writer.array(state_);
    for (const std::vector<Record>& records : heads_) {
      writer.number(static_cast<uint32_t>(records.size()));
      for (const Record& record : records) {
        writer.number(record.key);
        writer.number(record.level);
      }
    }
  }
  bool read_state(Reader& reader, int64_t keys) override {
    epoch_ = options_.centre ? epoch_of(keys) : 0;
    if (!reader.array(state_)) return false;
    for (std::vector<Record>& records : heads_) {
      const auto count = reader.number<uint32_t>();
      if (!reader.ok() || count > kMostLevels) return false;
      records.clear();
      for (uint32_t i = 0; i < count; ++i) {
        const auto key = reader.number<int64_t>();
        const auto level = reader.number<int32_t>();
        const bool ascends =
            records.empty() || (key > records.back().key && level > records.back().level);
        if (!reader.ok() || key < 0 || key >= keys || !ascends) return false;
        records.push_back({key, level});
      }
    }
    return true;
  }

  // Finite squares of f32 numbers have fewer levels.
  static constexpr size_t kMostLevels = 4096;

  const KeyIndex::Lsh options_;
  int64_t epoch_ = 0;  // keys that the centre is the mean of
  std::vector<std::vector<Record>> heads_;
  AlignedVector<float> state_;  // [batch, kv heads][norm, centre, padding]
  AlignedVector<float> projections_;
};

}  // namespace

std::unique_ptr<PartData> make_lsh(const Setting& setting, const IndexKernels& kernels,
                                   const KeyIndex::Lsh& options) {
  return std::make_unique<Lsh>(setting, kernels, options);
}

}  // namespace maskjit::index
