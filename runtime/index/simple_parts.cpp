// Parts whose rows are made of their keys alone: bounds of pages, channels, codes of perceptrons.
#include "runtime/index/part.h"
#include "runtime/index/tensors.h"

namespace maskjit::index {
namespace {

int32_t int32(int64_t n) { return static_cast<int32_t>(n); }

class Pages final : public PartData {
 public:
  Pages(const Setting& setting, const IndexKernels& kernels, const KeyIndex::PageBound& options)
      : PartData(setting, kernels, MJ_SCORER_PAGE_BOUND, false), options_(options) {
    const int64_t d = setting.shape.head_dim;
    if (options.bits == 16) {
      add_blocks(0, 2 * d, size_of(setting.shape.element));
    } else {
      add_blocks(0, mj_strips_of_codes(int32(2 * d), options.bits), mj_code_bytes(options.bits));
      add_blocks(1, 4, 4);
    }
    keys_a_row_ = options.page;
    work_a_key_ = static_cast<double>(d);
  }
  bool matches(const KeyIndex::Part& part) const override {
    const auto* other = std::get_if<KeyIndex::PageBound>(&part);
    return other != nullptr && other->page == options_.page && other->bits == options_.bits;
  }
  std::string describe() const override {
    return fmt::format("page_bound(page = {}, bits = {})", options_.page, options_.bits);
  }
  void write_options(Writer& writer) const override {
    writer.number(options_.page);
    writer.number(options_.bits);
  }

 private:
  void fill(MjScorer& scorer) const override {
    scorer.numbers[0] = int32(options_.page);
    scorer.numbers[1] = options_.bits;
    scorer.numbers[2] = element_of(setting_.shape.element);
    scorer.numbers[3] = int32(setting_.shape.head_dim);
  }

  const KeyIndex::PageBound options_;
};

class Channels final : public PartData {
 public:
  Channels(const Setting& setting, const IndexKernels& kernels, const KeyIndex::Channels& options)
      : Channels(setting, kernels, options.bits, copy_ints(options.table)) {}

  bool matches(const KeyIndex::Part& part) const override {
    const auto* other = std::get_if<KeyIndex::Channels>(&part);
    if (other == nullptr || other->bits != bits_) return false;
    return !other->table.defined() ||
           (other->table.shape == table_.shape && copy_ints(other->table).values == table_.values);
  }
  std::string describe() const override {
    return fmt::format("channels({} of each head, bits = {})", table_.shape[1], bits_);
  }
  void write_options(Writer& writer) const override {
    writer.number(bits_);
    writer.number(table_.shape[0]);
    writer.number(table_.shape[1]);
    writer.array(table_.values);
  }
  int64_t bytes() const override {
    return PartData::bytes() + static_cast<int64_t>(table_.values.size() * sizeof(int32_t));
  }

 private:
  Channels(const Setting& setting, const IndexKernels& kernels, int bits, Tensor<int32_t> table)
      : PartData(setting, kernels, MJ_SCORER_CHANNELS, differs_in_group(setting, table)),
        bits_(bits),
        table_(std::move(table)) {
    const int64_t n = table_.shape[1];
    if (bits_ == 16) {
      add_blocks(0, n, size_of(setting.shape.element));
    } else {
      add_blocks(0, mj_strips_of_codes(int32(n), bits_), mj_code_bytes(bits_));
      add_blocks(1, 2, size_of(setting.shape.element));
    }
    // Rows of the heads that the blocks have.
    const int64_t stride = table_.shape[0] / std::min(table_.shape[0], heads());
    for (int64_t row = 0; row < table_.shape[0]; row += stride) {
      rows_.insert(rows_.end(), table_.values.begin() + row * n,
                   table_.values.begin() + (row + 1) * n);
    }
    work_a_key_ = static_cast<double>(4 * n);
  }

  // Whether query heads of one key head have different channels.
  static bool differs_in_group(const Setting& setting, const Tensor<int32_t>& table) {
    const int64_t group = setting.shape.num_heads / setting.shape.num_kv_heads;
    if (group == 1 || table.shape[0] != setting.shape.num_heads) return false;
    const int64_t n = table.shape[1];
    for (int64_t h = 0; h < table.shape[0]; ++h) {
      const auto row = table.values.begin() + h * n;
      if (!std::equal(row, row + n, table.values.begin() + h / group * group * n)) return true;
    }
    return false;
  }
  void fill(MjScorer& scorer) const override {
    const int64_t n = table_.shape[1];
    scorer.numbers[0] = int32(n);
    scorer.numbers[1] = bits_;
    scorer.numbers[2] = element_of(setting_.shape.element);
    scorer.numbers[3] = int32(setting_.shape.head_dim);
    const bool one = static_cast<int64_t>(rows_.size()) == n;
    scorer.rows[2] = {rows_.data(), 0, one ? 0 : n * int64_t{sizeof(int32_t)}, 0};
  }

  const int bits_;
  const Tensor<int32_t> table_;
  std::vector<int32_t> rows_;
};

class Hash final : public PartData {
 public:
  Hash(const Setting& setting, const IndexKernels& kernels, const KeyIndex::HashBits& options)
      : PartData(setting, kernels, MJ_SCORER_HASH_BITS, true),
        options_(without_tensors(options)),
        query_(pad(options, copy_floats(options.query_mlp))),
        key_(pad(options, copy_floats(options.key_mlp))) {
    add_blocks(0, (options.bits + 31) / 32, 4);
    work_a_key_ = static_cast<double>(padded_size());
  }

  bool matches(const KeyIndex::Part& part) const override {
    const auto* other = std::get_if<KeyIndex::HashBits>(&part);
    if (other == nullptr || other->bits != options_.bits || other->layers != options_.layers ||
        other->activation != options_.activation ||
        (options_.layers > 1 && other->hidden != options_.hidden)) {
      return false;
    }
    const auto same = [&](const TensorView& view, const AlignedVector<float>& padded) {
      if (!view.defined()) return true;
      const std::vector<int64_t> shape = {setting_.shape.num_heads,
                                          hash_parameters(options_, setting_.shape.head_dim)};
      return view.type == ElementType::F32 && view.shape == shape &&
             pad(*other, copy_floats(view)) == padded;
    };
    return same(other->query_mlp, query_) && same(other->key_mlp, key_);
  }
  std::string describe() const override {
    return fmt::format("hash_bits(bits = {}, layers = {}, hidden = {}, activation = {})",
                       options_.bits, options_.layers, options_.hidden,
                       name_of(options_.activation));
  }
  void write_options(Writer& writer) const override {
    writer.number(options_.bits);
    writer.number(options_.layers);
    writer.number(options_.hidden);
    writer.number(options_.activation);
    for (const auto* mlp : {&query_, &key_}) {
      for_each_run(options_, *mlp, [&](const float* padded, int64_t count) {
        writer.bytes(padded, static_cast<size_t>(count) * sizeof(float));
      });
    }
  }
  int64_t bytes() const override {
    return PartData::bytes() + static_cast<int64_t>((query_.size() + key_.size()) * sizeof(float));
  }

 private:
  static KeyIndex::HashBits without_tensors(KeyIndex::HashBits options) {
    options.query_mlp = options.key_mlp = {};
    return options;
  }
  // In and out of a layer.
  static std::pair<int64_t, int64_t> extents(const KeyIndex::HashBits& options, int64_t head_dim,
                                             int layer) {
    return {layer == 0 ? head_dim : options.hidden,
            layer + 1 == options.layers ? options.bits : options.hidden};
  }
  int64_t padded_size() const {
    int64_t size = 0;
    for (int layer = 0; layer < options_.layers; ++layer) {
      const auto [in, out] = extents(options_, setting_.shape.head_dim, layer);
      size += (in + 1) * mj_pad_lanes(int32(out));
    }
    return size;
  }
  // visit(padded, count) for each row of the matrices and biases of all heads.
  template <typename Values, typename Visit>
  void for_each_run(const KeyIndex::HashBits& options, Values& padded, const Visit& visit) const {
    auto* at = padded.data();
    for (int64_t head = 0; head < setting_.shape.num_heads; ++head) {
      for (int layer = 0; layer < options.layers; ++layer) {
        const auto [in, out] = extents(options, setting_.shape.head_dim, layer);
        for (int64_t row = 0; row <= in; ++row, at += mj_pad_lanes(int32(out))) visit(at, out);
      }
    }
  }
  AlignedVector<float> pad(const KeyIndex::HashBits& options,
                           const Tensor<float>& parameters) const {
    AlignedVector<float> padded(static_cast<size_t>(padded_size() * setting_.shape.num_heads));
    const float* from = parameters.values.data();
    for_each_run(options, padded, [&](float* to, int64_t count) {
      std::copy(from, from + count, to);
      from += count;
    });
    return padded;
  }
  void fill(MjScorer& scorer) const override {
    scorer.numbers[0] = options_.bits;
    scorer.numbers[1] = options_.layers;
    scorer.numbers[2] = options_.hidden;
    scorer.numbers[3] = int32(static_cast<int64_t>(options_.activation));
    scorer.numbers[4] = int32(setting_.shape.head_dim);
    const int64_t stride = padded_size() * int64_t{sizeof(float)};
    scorer.rows[1] = {query_.data(), 0, stride, 0};
    scorer.rows[2] = {key_.data(), 0, stride, 0};
  }

  const KeyIndex::HashBits options_;
  const AlignedVector<float> query_, key_;
};

static_assert(static_cast<int>(KeyIndex::Activation::Relu) == MJ_RELU &&
              static_cast<int>(KeyIndex::Activation::Silu) == MJ_SILU &&
              static_cast<int>(KeyIndex::Activation::Gelu) == MJ_GELU &&
              static_cast<int>(KeyIndex::Activation::Tanh) == MJ_TANH);

}  // namespace

std::unique_ptr<PartData> make_pages(const Setting& setting, const IndexKernels& kernels,
                                     const KeyIndex::PageBound& options) {
  return std::make_unique<Pages>(setting, kernels, options);
}
std::unique_ptr<PartData> make_channels(const Setting& setting, const IndexKernels& kernels,
                                        const KeyIndex::Channels& options) {
  return std::make_unique<Channels>(setting, kernels, options);
}
std::unique_ptr<PartData> make_hash(const Setting& setting, const IndexKernels& kernels,
                                    const KeyIndex::HashBits& options) {
  return std::make_unique<Hash>(setting, kernels, options);
}

}  // namespace maskjit::index
