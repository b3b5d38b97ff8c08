#include "runtime/index/state.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "runtime/plan/views.h"

namespace maskjit {

void KeyIndex::State::add(const Part& part) {
  const index::Setting setting = {shape, seed};
  struct Make {
    const index::Setting& setting;
    const index::IndexKernels& kernels;
    std::unique_ptr<index::PartData> operator()(const PageBound& p) const {
      return index::make_pages(setting, kernels, p);
    }
    std::unique_ptr<index::PartData> operator()(const Channels& p) const {
      return index::make_channels(setting, kernels, p);
    }
    std::unique_ptr<index::PartData> operator()(const HashBits& p) const {
      return index::make_hash(setting, kernels, p);
    }
    std::unique_ptr<index::PartData> operator()(const PqCodes& p) const {
      return index::make_pq(setting, kernels, p);
    }
    std::unique_ptr<index::PartData> operator()(const Lsh& p) const {
      return index::make_lsh(setting, kernels, p);
    }
  };
  parts.push_back(std::visit(Make{setting, kernels}, part));
}

Status KeyIndex::State::update(const index::Keys& keys, int64_t unchanged) {
  unchanged = std::min(unchanged, size);
  for (const Sample& sample : samples) {
    if (sample.key >= unchanged || hash_at(keys, sample.key) == sample.hash) continue;
    return plan::invalid(fmt::format(
        "key {} is not the one that this index was made from: say how many keys are unchanged",
        sample.key));
  }
  std::vector<Sample> seen;
  for (int64_t key = 0; key < keys.count; key = 2 * key + 1)
    seen.push_back({key, hash_at(keys, key)});
  if (keys.count > 0 && seen.back().key != keys.count - 1)
    seen.push_back({keys.count - 1, hash_at(keys, keys.count - 1)});
  for (const auto& part : parts) part->update(keys, unchanged, workers);
  size = keys.count;
  samples = std::move(seen);
  return Done{};
}

void KeyIndex::State::clear() {
  for (const auto& part : parts) part->clear();
  size = 0;
  samples.clear();
}

uint64_t KeyIndex::State::hash_at(const index::Keys& keys, int64_t key) const {
  const auto bytes = static_cast<size_t>(shape.head_dim * size_of(shape.element));
  uint64_t hash = 0;
  for (int64_t b = 0; b < shape.batch; ++b) {
    for (int64_t h = 0; h < shape.num_kv_heads; ++h)
      hash = XXH3_64bits_withSeed(keys.rows(b, h) + key * keys.row_bytes, bytes, hash);
  }
  return hash;
}

}  // namespace maskjit
