#pragma once
// Per-key data of scorers: what a selector needs in order to rank keys, or to draw them, without
// reading them. An index has any number of parts, one for each scorer it serves, over the keys
// [batch, num_kv_heads, n, head_dim] of one layer.
//
//   auto index = KeyIndex::create(shape, {{KeyIndex::PageBound{.page = 16}}}, {.seed = 42});
//   index->update(keys);    // the whole key cache: indexes what is new
//   index->update(longer);  // after a decoding step
//   index->update(shorter);             // rolls back: the last keys are gone
//   index->update(other, unchanged);    // rolls back to `unchanged` keys, then appends
//
// An index is a function of its options, its seed and the keys of the last update: however those
// arrived, it is bit for bit the index that one update with all of them makes, for any number of
// threads and on every CPU. What needs more than the new keys (codebooks, centres, norms) changes
// only where a count or a norm passes a power, so that it is amortised (docs/adr).
//
// A KeyIndex is a handle: copies are cheap and are the same index. Any number of threads may call
// const members and run kernels that read the index, but update() needs it for itself.
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "runtime/api/result.h"
#include "runtime/api/tensor_view.h"
#include "runtime/api/thread_pool.h"

struct MjScorer;

namespace maskjit {

// How an index is kept up to date; not part of what it is.
struct KeyIndexExecution {
  int threads = 0;          // of oneTBB; 0: all that the process may use
  std::string target = {};  // empty: the best this CPU supports; see `maskjit info`
  std::shared_ptr<const ThreadPool> thread_pool = {};  // instead of `threads` of oneTBB
};

class KeyIndex {
 public:
  // Minima and maxima of pages of `page` (1 to 2^20) consecutive keys (Quest, Tang et al. 2024).
  // bits 1 to 15: asymmetric min-max quantisation of each bound over its channels; 16: none.
  struct PageBound {
    int64_t page = 16;
    int bits = 16;
  };
  // The channels table[head, :] of each key (double sparsity, Yang et al. 2024). The table is
  // i32 [num_heads | num_kv_heads | 1, n], n at least 1, channels within 0 to head_dim - 1. Bits as
  // above, of the chosen channels of each key.
  struct Channels {
    TensorView table = {};
    int bits = 16;
  };
  enum class Activation : uint8_t { Relu, Silu, Gelu, Tanh };  // Gelu by erf
  // Signs of `bits` (1 to 1024) outputs of a perceptron of each query head (HashAttention, Desai et
  // al. 2024); bit 1 is an output above 0. A perceptron is f32 [num_heads, parameters]: for each of
  // `layers` (1 to 16) layers its matrix [in, out], then its bias [out]; in is head_dim, then
  // `hidden` (1 to 8192), and the last out is `bits`. The activation stands between layers.
  struct HashBits {
    int bits = 32;
    int layers = 3;
    int hidden = 128;
    Activation activation = Activation::Silu;
    TensorView query_mlp = {};
    TensorView key_mlp = {};
  };
  // Product quantisation (Jegou et al. 2011; PQCache, Zhang et al. 2024): consecutive groups of
  // `sub_dims` (1 to 1024) channels, the last may be smaller, each coded by the nearest of
  // 2^bits (bits 1 to 12) centroids of its key head. Centroids are trained by k-means++ and at most
  // 16 iterations of Lloyd's algorithm on up to 4096 keys.
  struct PqCodes {
    int sub_dims = 8;
    int bits = 8;
  };
  // Codes of `tables` (1 to 1024) random projections to `bits` (1 to 64) signs of norm-augmented
  // keys (MagicPIG, Chen et al. 2024), with `centre` relative to their mean.
  struct Lsh {
    int tables = 8;
    int bits = 8;
    bool centre = true;
  };
  using Part = std::variant<PageBound, Channels, HashBits, PqCodes, Lsh>;

  // num_heads is a multiple of num_kv_heads; element is F32, F16 or BF16.
  struct Shape {
    ElementType element = ElementType::F32;
    int64_t batch = 1;
    int64_t num_heads = 1;
    int64_t num_kv_heads = 1;
    int64_t head_dim = 1;
    bool operator==(const Shape&) const = default;
  };

  using Execution = KeyIndexExecution;

  // An index without keys. Tensors are copied. The seed draws projections and first centroids.
  static Result<KeyIndex> create(const Shape& shape, std::span<const Part> parts, uint64_t seed = 0,
                                 const Execution& execution = {});

  // Makes this the index of `keys` [batch, num_kv_heads, n, head_dim], any strides with a unit
  // stride on the last dimension. The first min(unchanged, n, size()) keys must be those of the
  // update before: a sample of them is compared, and a difference found is an error that leaves the
  // index as it was. After any other error (memory) the index is empty.
  Status update(const TensorView& keys, int64_t unchanged = INT64_MAX);

  int64_t size() const;  // keys a head
  const Shape& shape() const;
  uint64_t seed() const;
  size_t parts() const;
  // The part with these options; tensors without a shape match any, others are compared.
  std::optional<size_t> find(const Part& part) const;
  int64_t bytes() const;         // memory of all parts
  std::string describe() const;  // "2 parts of 4096 keys bf16[1, 8, 4096, 128]: ..."

  // What kernels read; valid until the next update and while a handle lives. `part` < parts().
  MjScorer scorer(size_t part) const;

  // A file that holds the whole index, written next to `path` and renamed. It names its format
  // version and carries a checksum: damaged, truncated and foreign files are errors.
  Status save(const std::string& path) const;
  static Result<KeyIndex> load(const std::string& path, const Execution& execution = {});

  struct State;  // internal
  const State& state() const { return *state_; }

 private:
  explicit KeyIndex(std::shared_ptr<State> state) : state_(std::move(state)) {}

  std::shared_ptr<State> state_;
};

std::string_view name_of(KeyIndex::Activation activation);

}  // namespace maskjit
